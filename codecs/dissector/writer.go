package dissector

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/frame"
)

// A writer writes a file of Lua.
type writer struct{ strings.Builder }

func (w *writer) f(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// head writes what every file begins with.
func (w *writer) head(spec, filter string, o Options) {
	w.f("-- A dissector for TLS and DTLS in frames of the codec %s.\n", comment(spec))
	w.f("-- Written by encase codec dissector: a change is better made there.\n\n")
	w.f("local NAME, TITLE = %s, %s\n", quote("encase."+filter), quote(filter))
	w.f("local TCP_PORTS, UDP_PORTS = %s, %s\n\n", quote(port(o.TCP)), quote(port(o.UDP)))
}

func port(n uint16) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}

// comment returns s so that it stays in one comment.
func comment(s string) string {
	q := strconv.QuoteToASCII(s)
	return q[1 : len(q)-1]
}

// quote returns s as a string of Lua. It has no escape of Go's that is none of Lua's: other bytes than printable ASCII
// are written in decimal.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// include writes files as they are.
func (w *writer) include(names ...string) {
	for _, name := range names {
		text, err := files.ReadFile("lua/" + name)
		if err != nil {
			panic(err) // it is part of this program
		}
		w.Write(text)
		w.WriteByte('\n')
	}
}

// options writes the argument of a spec as a table: what stands first, and options with their values.
func (w *writer) options(arg string) {
	w.f("local OPTIONS = {\n")
	for i, word := range strings.Split(arg, ",") {
		name, value, valued := strings.Cut(word, "=")
		if !valued {
			value = "yes"
		}
		if i == 0 && !valued {
			w.f("  first = %s,\n", quote(word))
		}
		w.f("  [%s] = %s,\n", quote(name), quote(value))
	}
	w.f("}\n\n")
}

// description writes the tables that described.lua works with.
func (w *writer) description(d *desc.Description) {
	fields := d.Fields()
	w.layout(d, fields)
	w.f("local FIELDS = {\n")
	filters := map[string]bool{}
	for i := range fields {
		w.field(&fields[i], i, filters)
	}
	w.f("}\n\n")
}

// layout writes what is true of all frames.
func (w *writer) layout(d *desc.Description, fields []desc.Field) {
	var size [desc.Closing + 1]int // of each part, in bytes
	align, front, base := 0, 0, 0
	for i := range fields {
		f := &fields[i]
		if f.Part != desc.Payload && f.Part != desc.Padding {
			size[f.Part] = max(size[f.Part], (f.Offset+f.Bits+7)/8)
		}
		switch {
		case f.Part == desc.Padding:
			align = f.Meaning.Align
		case f.Meaning.Kind == desc.Length:
			front, base = (f.Offset+f.Bits+7)/8, f.Meaning.Base
		}
	}
	w.f("local LAYOUT = { header = %d, trailer = %d, closing = %d, align = %d, front = %d, base = %d, max = %d }\n\n",
		size[desc.Header], size[desc.Trailer], size[desc.Closing], align, front, base, longest(d))
}

// longest returns the longest payload.
func longest(d *desc.Description) int {
	m, err := d.Maker()(frame.Client)
	if err != nil {
		return math.MaxInt32
	}
	return m.Limits().Max
}

// field writes one field. filters are the names that are taken.
func (w *writer) field(f *desc.Field, index int, filters map[string]bool) {
	m := &f.Meaning
	filter := strings.ToLower(f.Name)
	for n := 2; filters[filter]; n++ {
		filter = fmt.Sprintf("%s_%d", strings.ToLower(f.Name), n) // such as a and A, which are two
	}
	filters[filter] = true
	w.f("  { name = %s, filter = %s, part = %s, kind = %s, offset = %d, bits = %d", quote(f.Name), quote(filter),
		quote(f.Part.String()), quote(m.Kind.String()), f.Offset, f.Bits)
	if f.LittleEndian {
		w.f(", le = true")
	}
	if m.Checked {
		w.f(", checked = true")
	}
	switch m.Kind {
	case desc.Constant:
		w.constant("client", m.Consts[frame.Client], f.Bits)
		w.constant("server", m.Consts[frame.Server], f.Bits)
	case desc.Checksum:
		w.f(", algorithm = %s, first = %d, last = %d", quote(m.Algorithm), m.First+1, m.Last+1)
		if m.First <= index && index <= m.Last {
			w.f(", covers_own = true")
		}
	}
	w.f(", text = %s },\n", quote(" ("+m.Text+")"))
}

// constant writes what the frames of one end must have, if they must.
func (w *writer) constant(role string, c desc.Const, bits int) {
	if c.Required {
		w.f(", %s = { value = %s, text = \"%#x\" }", role, number(c.Value, bits), c.Value)
	}
}

// number returns v as the value that a field of so many bits has: beyond 32 it is no number of Lua.
func number(v uint64, bits int) string {
	if bits <= 32 {
		return fmt.Sprintf("%#x", v)
	}
	return fmt.Sprintf("UInt64.new(%#x, %#x)", uint32(v), v>>32)
}

// Names returns the codecs of this module that have a dissector, those made from descriptions included, sorted.
func Names() []string {
	names := []string{"channeldata", "desc", "length", "shim", "tpkt"}
	for name := range written {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
