package codec

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs/inspect"
)

func inspectCommand() *cobra.Command {
	var spec string
	var port uint16
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect FILE --codec SPEC",
		Short: "Take a capture of packets apart: frames, fields, TLS records, what went wrong",
		Long: `Read a capture in the form of pcap or pcapng, put the streams of TCP in it
together, and show the frames of a codec: their fields, the TLS or DTLS records
in them with type, version and length, the messages of handshakes with the name
of the server, as far as they are in the clear, and what was sent again, is
missing or malformed. "-" for FILE is standard input.

With --json each line is an object, the last one a summary: its member "kind" is
connection, frame, side (of the protocol, and not TLS), tls (without frames),
skipped, retransmission, lost, malformed, end or summary.

What is encrypted by the protocol itself, as by tls-crypt, is not looked into.`,
		Example: `  encase codec inspect traffic.pcap --codec length:16be --port 4433
  encase codec inspect traffic.pcapng --codec desc:demo.frame --json
  tcpdump -i lo -w - port 4433 | encase codec inspect - --codec websocket`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in, done, err := input(c.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			defer done()
			d, err := parse(spec)
			if err != nil {
				return err
			}
			return d.inspect(c.OutOrStdout(), in, port, asJSON)
		},
	}
	c.Flags().StringVar(&spec, "codec", "", "`SPEC` of the framing, see encase-codec(1)")
	c.Flags().Uint16Var(&port, "port", 0, "the server's `PORT`; other connections are not looked at (default all)")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object per line")
	must(c.MarkFlagRequired("codec"))
	must(c.RegisterFlagCompletionFunc("codec", complete))
	return c
}

// must is for what can fail only if this program is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// input opens a file, or returns stdin for "-".
func input(stdin io.Reader, path string) (in io.Reader, done func() error, err error) {
	if path == "-" {
		return stdin, func() error { return nil }, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, exit.Usagef("%w", err)
	}
	return f, f.Close, nil
}

var errNoFrame = errors.New("no frame of this codec is in the capture; are --codec and --port right?")

// inspect shows what is in a capture.
func (d *description) inspect(w io.Writer, capture io.Reader, port uint16, asJSON bool) error {
	known, err := inspect.Describe(d.spec)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	t := &transcript{out: out, show: terminal.Of(w)}
	report := t.event
	if asJSON {
		report = func(e inspect.Event) error { return writeJSON(out, e) }
	}
	o := inspect.Options{Spec: d.spec, Maker: d.maker, Carriers: d.info.Carriers, Description: known, Port: port}
	sum, err := inspect.Inspect(capture, o, report)
	if err == nil {
		if asJSON {
			err = writeJSON(out, sum)
		} else {
			err = t.summary(sum)
		}
	}
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if err == nil && sum.Frames == 0 && sum.Records == 0 {
		err = errNoFrame
	}
	return err
}

func writeJSON(w io.Writer, v any) error {
	p, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(p, '\n'))
	return err
}

// A transcript writes events as text.
type transcript struct {
	out   *bufio.Writer
	show  terminal.Terminal
	start time.Time // of the first event
}

func (t *transcript) event(e inspect.Event) error {
	if t.start.IsZero() {
		t.start = e.Time
	}
	if e.Kind == inspect.Connection {
		t.line(terminal.Bold, "connection %d  %s  client %s, server %s", e.Connection, e.Carrier, client(e), server(e))
		return nil
	}
	t.line(colorOf(e), "#%d  %.6f s  connection %d  %s: %s", e.Packet, e.Time.Sub(t.start).Seconds(), e.Connection,
		e.From, headline(e))
	if len(e.Fields) > 1 { // one says no more than the line above
		t.line(colorOf(e), "    %s", strings.Join(fieldTexts(e.Fields), "  "))
	}
	for _, r := range e.Records {
		t.record(t.out, r)
	}
	_, err := t.out.Write(nil) // the first error of out
	return err
}

func client(e inspect.Event) string {
	if e.From == "client" {
		return e.Source
	}
	return e.Target
}

func server(e inspect.Event) string {
	if e.From == "client" {
		return e.Target
	}
	return e.Source
}

func (t *transcript) line(c terminal.Color, format string, args ...any) {
	t.out.WriteString(t.show.Paint(c, fmt.Sprintf(format, args...)) + "\n")
}

func colorOf(e inspect.Event) terminal.Color {
	switch e.Kind {
	case inspect.Malformed, inspect.Lost:
		return terminal.Red
	case inspect.Retransmission, inspect.Skipped:
		return terminal.Yellow
	case inspect.Side:
		return terminal.Dim
	}
	return terminal.Normal
}

// headline says what an event is about.
func headline(e inspect.Event) string {
	size := bytesText(e.Length)
	switch e.Kind {
	case inspect.Frame:
		return fmt.Sprintf("frame %d, %s, %d of them TLS", e.Frame, size, e.Payload)
	case inspect.Side:
		return strings.TrimSuffix(fmt.Sprintf("frame %d, %s, not for TLS: %s", e.Frame, size, e.Message), ": ")
	case inspect.TLS:
		return size + " of TLS without frames"
	case inspect.Skipped:
		return size + " before a frame: " + e.Message
	case inspect.Lost:
		return size + " lost: " + e.Message
	case inspect.Malformed:
		return "MALFORMED, " + size + ": " + terminal.Message(e.Message)
	case inspect.End:
		return "the protocol ends"
	}
	return string(e.Kind) + ": " + e.Message
}

func fieldTexts(fields []inspect.Field) (texts []string) {
	for _, f := range fields {
		text := f.Name + " " + valueText(f)
		if f.Wrong != "" {
			text += " (" + f.Wrong + ")"
		}
		texts = append(texts, text)
	}
	return texts
}

// valueText returns what a field says: hexadecimal in as many digits as it has, or how many bytes it is.
func valueText(f inspect.Field) string {
	switch {
	case f.At < 0:
		return "-"
	case f.Bytes:
		return bytesText(int(f.Value))
	}
	return fmt.Sprintf("0x%0*x", (f.Bits+3)/4, f.Value)
}

// record writes a record of TLS.
func (t *transcript) record(w io.StringWriter, r inspect.Record) {
	text := fmt.Sprintf("%s %s, %s", r.Version, r.Type, bytesText(r.Length))
	if r.Epoch != nil {
		text += fmt.Sprintf(", epoch %d, number %d", *r.Epoch, *r.Number)
	}
	color := terminal.Green
	switch {
	case r.Wrong != "":
		text, color = text+": "+r.Wrong, terminal.Red
	case r.Alert != "":
		text, color = text+": "+r.Alert, terminal.Red
	case r.Encrypted:
		text, color = text+", encrypted", terminal.Dim
	}
	w.WriteString(t.show.Paint(color, "    "+strings.TrimSpace(text)) + "\n")
	for _, m := range r.Messages {
		w.WriteString(t.show.Paint(terminal.Green, "      "+messageText(m)) + "\n")
	}
}

func messageText(m inspect.Message) string {
	text := m.Type + ", " + bytesText(m.Length)
	if m.Number != nil {
		text += fmt.Sprintf(", number %d", *m.Number)
	}
	if m.Fragment != "" {
		text += ", bytes " + m.Fragment
	}
	if m.ServerName != "" {
		text += ", server name " + m.ServerName
	}
	if m.Version != "" {
		text += ", chooses " + m.Version + ", " + m.CipherSuite
	}
	if m.Again {
		text += ", sent again"
	}
	if m.Wrong != "" {
		text += ": " + m.Wrong
	}
	return text
}

func (t *transcript) summary(s inspect.Summary) error {
	t.line(terminal.Bold, "%d packets (%d not looked at), %d connections, %d frames, %d records, %d sent again, "+
		"%d bytes lost, %d errors", s.Packets, s.Ignored, s.Connections, s.Frames, s.Records, s.Retransmissions,
		s.LostBytes, s.Errors)
	if s.Truncated {
		t.line(terminal.Yellow, "the capture ends inside a packet")
	}
	return nil
}
