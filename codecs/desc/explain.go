package desc

import (
	"bytes"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// A FieldValue is what one field of a frame says.
type FieldValue struct {
	Field
	At    int    // in bits from the start of the frame; -1 if the field is not there
	Width int    // in bits; of the payload and the padding as well
	Value uint64 // of the payload and of padding: their length in bytes
	Wrong string // why a reader refuses the frame; "" if not for this field
}

// missing is what is wrong with a field that the frame is too short for, or that cannot be found.
const missing = "missing"

// Explain takes a frame apart, whatever it is, for a person to read: it returns one value for each of Fields. It takes
// the frame as one that the client sent, or as one that the server sent if less of it is wrong then. A frame in which
// nothing is wrong is one that a reader accepts, apart from a count that is checked: Explain knows no other frame.
//
// b is neither changed nor retained.
func (d *Description) Explain(b []byte) []FieldValue {
	var best []FieldValue
	least := 0
	for role, c := range d.programs {
		x := explainer{program: c, sender: frame.Role(role), frame: bytes.Clone(b)}
		if values, wrong := x.explain(d.fields); best == nil || wrong < least {
			best, least = values, wrong
		}
	}
	return best
}

// An explainer takes one frame apart.
type explainer struct {
	*program
	sender frame.Role
	frame  []byte // may be changed for a while
	layout layout
	fits   bool   // the frame is as long as its header says; otherwise all behind the header is taken for payload
	wrong  string // what is wrong with the length, or the payload if no field tells it
}

// explain returns the values and how many of them are wrong.
func (x *explainer) explain(fields []Field) (values []FieldValue, wrong int) {
	x.locate()
	for i := range fields {
		v := FieldValue{Field: fields[i], At: -1}
		if from, to, ok := x.find(&v.Field); !ok {
			v.Wrong = missing
		} else {
			v.At, v.Width = from, to-from
			x.read(&v, i)
		}
		if v.Wrong != "" {
			wrong++
		}
		values = append(values, v)
	}
	return values, wrong
}

// locate finds out where everything lies.
func (x *explainer) locate() {
	have := len(x.frame)
	x.layout.at[trailer] = have
	if have < x.runs[header].size() {
		return
	}
	n, err := x.payloadLen(x.frame)
	switch {
	case x.length == nil && have < x.fixed:
		return
	case x.length == nil:
		if n = have - x.fixed; err != nil {
			x.wrong = fmt.Sprintf("longer than %d bytes", x.max)
		}
	case err != nil:
		x.wrong = fmt.Sprintf("out of range: %d to %d are possible", x.base, x.base+uint64(x.max))
		return
	}
	l := x.program.layout(n)
	if l.end != have {
		x.wrong = fmt.Sprintf("says that the frame has %d bytes, it has %d", l.end, have)
		return
	}
	x.layout, x.fits = l, true
}

// find returns where the field lies in the frame, in bits.
func (x *explainer) find(f *Field) (from, to int, ok bool) {
	l := &x.layout
	switch f.Part {
	case Header:
		return f.Offset, f.Offset + f.Bits, f.Offset+f.Bits <= len(x.frame)*8
	case Payload:
		from = x.runs[header].size()
		return from * 8, l.at[trailer] * 8, from <= l.at[trailer]
	case Padding:
		return (l.at[closing] - l.pad) * 8, l.at[closing] * 8, x.fits
	}
	from = l.at[runOf[f.Part]]*8 + f.Offset
	return from, from + f.Bits, x.fits
}

// read sets the value, and what is wrong with it.
func (x *explainer) read(v *FieldValue, index int) {
	m := &v.Meaning
	if m.Kind == Fill || m.Kind == Data {
		p := x.frame[v.At/8 : (v.At+v.Width)/8]
		v.Value = uint64(len(p))
		switch {
		case m.Kind == Data && x.length == nil:
			v.Wrong = x.wrong
		case m.Kind == Fill && m.Checked && !zero(p):
			v.Wrong = "must be zero"
		}
		return
	}
	s := newSlot(v.Offset, v.Bits, v.LittleEndian)
	v.Value = s.get(x.frame[(v.At-v.Offset)/8:])
	switch m.Kind {
	case Constant:
		if c := m.Consts[x.sender]; c.Required && c.Value != v.Value {
			v.Wrong = fmt.Sprintf("must be %#x", c.Value)
		}
	case Length:
		v.Wrong = x.wrong
	case Checksum:
		v.Wrong = x.judgeSum(index)
	}
}

// judgeSum returns what is wrong with the checksum that has the index among the fields.
func (x *explainer) judgeSum(index int) string {
	for i := range x.sums {
		s := &x.sums[i]
		if s.field != index || !x.fits {
			continue
		}
		if want := s.compute(x.frame, &x.layout); want != s.get(x.frame[x.layout.at[s.run]:]) {
			return fmt.Sprintf("must be %#x", want)
		}
	}
	return ""
}
