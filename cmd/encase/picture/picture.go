// Package picture draws frames so that a person sees what lies where: the bytes of the codec apart from the TLS record
// in them, one field to a line, and what can be read of the handshake.
//
//	--> frame 1, client to server, 1543 bytes
//	    header   06 05                    2 bytes from the codec
//	    ------------------------------------------------------------
//	    type     16                       handshake
//	    version  03 01                    TLS 1.0, as every first flight says
//	    length   06 00                    1536 bytes
//	    message  01 00 05 fc              ClientHello, 1532 bytes
//	                                      server name demo.encase.test
//
// What it draws comes from the peer: no byte of it reaches the output unless it is printable ASCII, and what it makes
// the Painter keep is bounded.
package picture

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A Painter draws the frames of one connection. It is safe for concurrent use: its method Frame can be the Trace of a
// wrap.Config.
type Painter struct {
	mu       sync.Mutex
	out      io.Writer
	show     terminal.Terminal
	role     frame.Role
	frames   int
	tls      shared
	codec    frame.Maker
	tells    bool   // a Trace tells which bytes are TLS
	from, to stream // the peer's bytes, and ours
	buf      bytes.Buffer
}

// New returns a Painter that draws to out, as far as show allows, what the end in role sees. codec is that of the
// connection; it serves to read the frames of a frame.Machine, of which a Trace does not tell the TLS bytes, and may be
// nil. Errors of out are ignored.
func New(out io.Writer, show terminal.Terminal, role frame.Role, codec frame.Maker) *Painter {
	p := &Painter{out: out, show: show, role: role, codec: codec, tells: tells(codec)}
	p.from.shared, p.to.shared = &p.tls, &p.tls
	return p
}

// Frame draws one frame with a single Write. It keeps nothing of t.
func (p *Painter) Frame(t wrap.Trace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames++
	s, from := &p.from, p.role.Peer()
	if t.Sent {
		s, from = &p.to, p.role
	}
	p.title(t.Sent, fmt.Sprintf("frame %d, %v to %v, %s", p.frames, from, from.Peer(), count(len(t.Frame), "byte")))
	tls, known := t.TLS, t.TLS != nil || p.tells
	if !known {
		tls, known = p.readAlong(s, from, t.Frame)
	}
	around := s.cut(t.Frame, tls, known)
	p.lines(around.front)
	p.lines(s.dissect(tls))
	p.lines(around.behind)
	p.buf.WriteByte('\n')
	p.out.Write(p.buf.Bytes())
	p.buf.Reset()
}

// readAlong returns the TLS bytes in a frame whose Trace does not tell, which the end in role from has sent.
func (p *Painter) readAlong(s *stream, from frame.Role, whole []byte) (tls []byte, known bool) {
	if s.along == nil {
		s.along = newShadow(p.codec, from.Peer())
	}
	return s.along.read(whole)
}

// A field is one line of the picture.
type field struct {
	name string
	raw  []byte // shown in hexadecimal; may be part of a frame, so it is used before the frame is given back
	text string
	kind kind
}

// A kind is what a field is about; it becomes a colour.
type kind uint8

const (
	plain    kind = iota
	wrapping      // of the codec
	message       // what a person looks for
	hidden        // encrypted
	trouble       // alerts, bytes that are wrong
	border        // a line between codec and TLS
	between       // a line between two records
)

// The columns: indentation, name, bytes, text.
const (
	indent    = 4
	nameWidth = 9
	hexBytes  = 8 // on a line
	hexWidth  = 3*hexBytes + 1
	textAt    = indent + nameWidth + hexWidth
	ruleWidth = 56
	maxHex    = 64 // bytes of one field that are shown
)

func (p *Painter) title(sent bool, text string) {
	arrow := "<--"
	if sent {
		arrow = "-->"
	}
	p.buf.WriteString(p.show.Paint(terminal.Bold, arrow+" "+text) + "\n")
}

func (p *Painter) lines(fields []field) {
	for _, f := range fields {
		switch f.kind {
		case border:
			p.rule("-")
		case between:
			p.rule("- ")
		default:
			p.field(f)
		}
	}
}

func (p *Painter) rule(pattern string) {
	line := strings.TrimRight(strings.Repeat(pattern, ruleWidth/len(pattern)), " ")
	p.buf.WriteString(strings.Repeat(" ", indent) + p.show.Paint(terminal.Dim, line) + "\n")
}

// field writes the bytes on the left and the text on the right, each on as many lines as it needs.
func (p *Painter) field(f field) {
	raw, text := f.raw, terminal.Wrap(f.text, p.show.Columns()-textAt)
	if len(raw) > maxHex {
		raw = raw[:maxHex]
	}
	name := f.name
	for len(raw) > 0 || len(text) > 0 {
		hex, said := "", ""
		if n := min(len(raw), hexBytes); n > 0 {
			hex, raw = fmt.Sprintf("% x", raw[:n]), raw[n:]
		}
		if len(text) > 0 {
			said, text = text[0], text[1:]
		}
		p.line(name, hex, said, f.kind)
		name = ""
	}
}

func (p *Painter) line(name, hex, said string, k kind) {
	start := fmt.Sprintf("%*s%-*s", indent, "", nameWidth, name)
	gap := strings.Repeat(" ", hexWidth-len(hex))
	line := start + p.show.Paint(k.ofBytes(), hex) + gap + p.show.Paint(k.ofText(), said)
	p.buf.WriteString(strings.TrimRight(line, " ") + "\n")
}

// count returns "1 byte", "2 bytes".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
