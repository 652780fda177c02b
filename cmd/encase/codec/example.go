package codec

import (
	"bytes"
	"crypto/tls"
	"fmt"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/cmd/encase/picture"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// example draws what the client sends first, and the server's header if it is another one.
func (d *description) example(p *page) error {
	hello, err := clientHello()
	if err != nil {
		return err
	}
	client, err := d.encode(frame.Client, hello)
	if err != nil {
		return err
	}
	server, err := d.encode(frame.Server, hello)
	if err != nil {
		return err
	}
	p.heading("A ClientHello in it")
	p.draw(frame.Client, client)
	if !bytes.Equal(first(client).Frame, first(server).Frame) {
		p.heading("The same bytes, if the server sent them")
		p.draw(frame.Server, server)
	}
	return p.err
}

// clientHello returns the first flight of a real client.
func clientHello() ([]byte, error) {
	maker, err := bio.TLS(&bio.Config{TLS: &tls.Config{ServerName: "demo.example"}})
	if err != nil {
		return nil, err
	}
	engine, err := maker(frame.Client)
	if err != nil {
		return nil, err
	}
	defer engine.Abort(nil)
	hello, _ := engine.Flush(nil, 0)
	return hello, nil
}

// encode returns the frames that one end makes of TLS bytes, beginning with those that open the exchange.
func (d *description) encode(role frame.Role, payload []byte) ([]wrap.Trace, error) {
	m, err := d.maker(role)
	if err != nil {
		return nil, err
	}
	opening, err := m.Start(nil)
	traces := take(nil, opening, nil)
	for len(payload) > 0 && err == nil {
		l := m.Limits()
		part := payload[:min(len(payload), l.Max)]
		payload = payload[len(part):]
		var sent []frame.Event
		sent, err = m.Send(nil, frame.NewBuf(l.Head, part, l.Tail), len(payload) == 0)
		traces = take(traces, sent, part)
	}
	if err != nil {
		return nil, fmt.Errorf("codec: %s: %w", d.spec, err)
	}
	return traces, nil
}

// take copies the frames among ev, the first of which holds payload, and releases them.
func take(traces []wrap.Trace, ev []frame.Event, payload []byte) []wrap.Trace {
	for _, e := range ev {
		if e.Buf == nil {
			continue
		}
		if e.Kind == frame.Out {
			traces = append(traces, wrap.Trace{Sent: true, Frame: bytes.Clone(e.Buf.Bytes()), TLS: payload})
			payload = nil
		}
		e.Buf.Release()
	}
	return traces
}

// first returns the first frame with TLS in it.
func first(traces []wrap.Trace) wrap.Trace {
	for _, t := range traces {
		if t.TLS != nil {
			return t
		}
	}
	return wrap.Trace{}
}

const maxDrawn = 3 // a codec with short frames makes many of a ClientHello

func (p *page) draw(role frame.Role, traces []wrap.Trace) {
	if len(traces) == 0 {
		p.write("  none yet: this end waits for the other\n")
		return
	}
	var b bytes.Buffer
	painter := picture.New(&b, p.show, role, nil)
	for i, t := range traces {
		if i == maxDrawn {
			fmt.Fprintf(&b, "    and %d frames more\n", len(traces)-i)
			break
		}
		painter.Frame(t)
	}
	p.write(string(bytes.TrimRight(b.Bytes(), "\n")) + "\n")
}
