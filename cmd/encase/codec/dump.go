package codec

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs/described"
	"github.com/encase-tls/encase/codecs/inspect"
)

const (
	dumpBytes = 8  // of a field, on a line
	dumpMost  = 64 // of a field that are shown
)

// A dumper writes frames field by field, bytes on the left and what they mean on the right.
type dumper struct {
	out     io.Writer
	show    terminal.Terminal
	known   *described.Description // nil: no description says what lies where
	records inspect.RecordReader
	frames  int
}

// newDumper returns a dumper of frames of the codec.
func (d *description) newDumper(w io.Writer) (*dumper, error) {
	known, err := inspect.Describe(d.spec)
	return &dumper{out: w, show: terminal.Of(w), known: known}, err
}

// frame writes one frame. payload is what the codec says is in it. why is what is wrong with the frame, or nil.
func (d *dumper) frame(p, payload []byte, why error) error {
	d.frames++
	var b strings.Builder
	b.WriteString(d.show.Paint(terminal.Bold, fmt.Sprintf("frame %d: %s, %d of them payload", d.frames,
		bytesText(len(p)), len(payload))) + "\n")
	fields := inspect.Fields(d.known, p, payload)
	width := 0
	for _, f := range fields {
		width = max(width, len(f.Name))
	}
	for _, f := range fields {
		d.field(&b, f, p, width)
	}
	if d.known == nil && len(payload) > 0 && !bytes.Contains(p, payload) {
		d.bytes(&b, terminal.Normal, "", payload, fmt.Sprintf("%-*s  %s, without mask and escapes", width, "payload",
			bytesText(len(payload))))
	}
	if why != nil {
		b.WriteString(d.show.Paint(terminal.Red, "  "+terminal.Message(why.Error())) + "\n")
	}
	if len(payload) > 1 && why == nil && looksLikeTLS(payload) {
		t := transcript{show: d.show}
		for _, r := range d.records.Read(payload) {
			t.record(&b, r)
		}
	}
	_, err := io.WriteString(d.out, b.String())
	return err
}

// looksLikeTLS spares payloads for tests the remark that they are no TLS.
func looksLikeTLS(p []byte) bool { return p[0] >= 20 && p[0] <= 25 && (p[1] == 3 || p[1] == 0xfe) }

func (d *dumper) field(b *strings.Builder, f inspect.Field, frame []byte, width int) {
	text, color := valueText(f), terminal.Yellow
	switch {
	case f.Wrong != "":
		text, color = text+"  "+f.Wrong, terminal.Red
	case f.Name == "payload":
		color = terminal.Normal
	}
	if f.At < 0 {
		d.bytes(b, color, "", nil, fmt.Sprintf("%-*s  %s", width, f.Name, text))
		return
	}
	raw := frame[f.At/8 : (f.At+f.Bits+7)/8]
	offset := fmt.Sprintf("%04x", f.At/8)
	if f.At%8 != 0 || f.Bits%8 != 0 {
		offset += fmt.Sprintf(".%d", f.At%8) // and the bit
	}
	d.bytes(b, color, offset, raw, fmt.Sprintf("%-*s  %s", width, f.Name, text))
}

// bytes writes the bytes on the left, on as many lines as they need, and the text beside the first.
func (d *dumper) bytes(b *strings.Builder, color terminal.Color, offset string, raw []byte, text string) {
	raw, more := raw[:min(len(raw), dumpMost)], len(raw) > dumpMost
	for first := true; first || len(raw) > 0; first = false {
		n := min(len(raw), dumpBytes)
		line := fmt.Sprintf("%-8s%-*s%s", offset, 3*dumpBytes+1, fmt.Sprintf("% x", raw[:n]), text)
		b.WriteString("  " + d.show.Paint(color, strings.TrimRight(line, " ")) + "\n")
		raw, offset, text = raw[n:], "", ""
	}
	if more {
		b.WriteString("          ..\n")
	}
}

// bytesText returns "1 byte", "2 bytes".
func bytesText(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}
