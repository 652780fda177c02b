package codec

import (
	"fmt"
	"io"
	"strings"

	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/inspect"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A description is a codec as a person asks for it.
type description struct {
	spec  string
	info  codecs.Info
	maker frame.Maker
}

// show writes all there is to say about the codec.
func (d *description) show(w io.Writer, t terminal.Terminal) error {
	client, err := d.maker(frame.Client)
	if err != nil {
		return err
	}
	server, err := d.maker(frame.Server)
	if err != nil {
		return err
	}
	known, err := inspect.Describe(d.spec)
	if err != nil {
		return err
	}
	d.learn(known)
	p := page{out: w, show: t}
	p.rows(d.spec, d.about(client))
	p.text("How a SPEC is written", d.syntax())
	if known != nil {
		p.text("A frame", strings.TrimRight(known.Diagram()+"\n"+known.Beside, "\n"))
	}
	p.rows("Limits", limits(client.Limits(), server.Limits()))
	p.rows("Over Ethernet, MTU 1500", d.room(client.Limits(), ethernetMTU))
	p.rows("Where the MTU is 1280", d.room(client.Limits(), leastMTU))
	if p.err == nil {
		p.err = d.example(&p)
	}
	return p.err
}

func (d *description) about(m frame.Machine) []terminal.Row {
	rows := []terminal.Row{
		{Name: "what", Text: d.info.Summary},
		{Name: "class", Text: string(d.info.Class)},
		{Name: "carriers", Text: d.info.Carriers.String()},
	}
	if d.info.Tested != "" {
		rows = append(rows, terminal.Row{Name: "tested", Text: "against " + d.info.Tested})
	}
	if _, ok := m.(frame.Preamble); ok {
		rows = append(rows, terminal.Row{Name: "begins", Text: "with a dialogue before the first frame"})
	}
	if _, ok := m.(wrap.TLSLimiter); ok {
		rows = append(rows, terminal.Row{Name: "TLS", Text: "restricted to what the protocol bears"})
	}
	return rows
}

func (d *description) syntax() string {
	if d.info.Syntax == "" {
		return d.info.Name
	}
	return d.info.Name + ":" + d.info.Syntax
}

func limits(client, server frame.Limits) []terminal.Row {
	if client == server {
		return []terminal.Row{{Name: "each end", Text: describe(client)}}
	}
	return []terminal.Row{{Name: "client", Text: describe(client)}, {Name: "server", Text: describe(server)}}
}

func describe(l frame.Limits) string {
	return fmt.Sprintf("bytes in front of a payload: at most %d; behind it: %d; longest payload: %d",
		l.Head, l.Tail, l.Max)
}

// A page is written section by section, until an error.
type page struct {
	out  io.Writer
	show terminal.Terminal
	err  error
	done bool // a section has been written
}

func (p *page) heading(s string) {
	if p.done {
		p.write("\n")
	}
	p.done = true
	p.write(p.show.Paint(terminal.Bold, s) + "\n")
}

func (p *page) rows(heading string, rows []terminal.Row) {
	p.heading(heading)
	if p.err == nil {
		p.err = p.show.WriteRows(p.out, 2, rows)
	}
}

// text writes lines as they are.
func (p *page) text(heading, s string) {
	p.heading(heading)
	for line := range strings.Lines(s) {
		p.write(strings.TrimRight("  "+line, " \n") + "\n")
	}
}

func (p *page) write(s string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.out, s)
	}
}
