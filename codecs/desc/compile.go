package desc

import (
	"fmt"
	"strings"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A program is a description made ready for one direction. It does not change: codecs share it.
//
// A frame is three runs of bytes of fixed length, header, trailer and closing, with the payload behind the first and
// the padding behind the second. Each has a template that is copied into the frame, with zeros where it differs from
// frame to frame; a short list of writes fills these in. The bits that a reader requires are compared in words.
type program struct {
	runs  [3]run
	fixed int // length of all runs
	align int // of the padding; 0: none
	max   int // longest payload

	length   *slot // nil: none
	base     uint64
	frontLen int     // bytes up to the end of the length
	front    matcher // of what is required there

	writes    []write
	counts    []counted // that are checked
	checked   bool      // the padding must be zero
	sums      []sum
	constants []constant
	random    bool
	lenient   string // the names of fields that a reader ignores
	now       func() time.Time
}

// The runs of bytes of fixed length.
const (
	header = iota
	trailer
	closing
)

// runOf maps parts to runs.
var runOf = [...]int{Header: header, Trailer: trailer, Closing: closing}

type run struct {
	template []byte
	mask     []byte // bits that a reader requires
	matcher  matcher
}

func (r *run) size() int { return len(r.template) }

// A write fills in a field that is not the same in every frame.
type write struct {
	slot
	run  int
	what source
	from uint64 // count: number of the first frame
}

// A source is what a write writes.
type source uint8

const (
	lengthSource source = iota
	countSource
	randomSource
	secondSource
	milliSource
)

// counted is a count that a reader checks.
type counted struct {
	slot
	run  int
	from uint64
	err  error
}

// A sum is a checksum and the range that it covers.
type sum struct {
	slot
	field     int // index
	run       int
	from, to  place
	coversOwn bool // its own bytes count as zero
	sum       summer
	err       error
}

// A place is a border between bytes of a frame.
type place struct {
	run int
	off int // from the start of the run, in bytes
}

// A constant is a field that a reader requires, to say which one is wrong.
type constant struct {
	slot
	run  int
	want uint64
	err  error
}

// compile makes the program of the frames that a sender writes.
func (p *parser) compile(sender frame.Role) *program {
	c := &program{max: p.limit, fixed: p.fixed(), now: time.Now}
	for i, part := range []Part{Header, Trailer, Closing} {
		c.runs[i].template = make([]byte, p.parts[part])
		c.runs[i].mask = make([]byte, p.parts[part])
	}
	if p.pad != nil {
		c.align, c.checked = p.pad.Meaning.Align, p.pad.Meaning.Checked
	}
	var ignored []string
	for _, e := range p.entries {
		if e.Meaning.lenient() && (e.Bits > 0 || e.Part == Padding) {
			ignored = append(ignored, e.Name)
		}
		switch e.Meaning.Kind {
		case Data, Checksum:
		case Fill:
			c.addFill(e)
		default:
			c.addField(e, sender)
		}
	}
	c.lenient = strings.Join(ignored, ", ")
	for _, e := range p.checksums {
		c.addSum(e, p.entries)
	}
	for i := range c.runs {
		r := &c.runs[i]
		r.matcher = newMatcher(r.template, r.mask)
	}
	c.front = newMatcher(c.runs[header].template[:c.frontLen], c.runs[header].mask[:c.frontLen])
	return c
}

// addFill has padding in the header, whose length is fixed, required as zero if it is to be checked.
func (c *program) addFill(e *entry) {
	if e.Part != Header || !e.Meaning.Checked {
		return
	}
	mask := c.runs[header].mask[e.Offset/8:]
	for i := range mask[:e.Bits/8] {
		mask[i] = 0xff
	}
}

func (c *program) addField(e *entry, sender frame.Role) {
	s, run, m := newSlot(e.Offset, e.Bits, e.LittleEndian), runOf[e.Part], &e.Meaning
	w := write{slot: s, run: run}
	switch m.Kind {
	case Constant:
		c.addConstant(e, s, m.Consts[sender])
		return
	case Length:
		c.length, c.base, c.frontLen = &s, uint64(m.Base), s.off+s.bytes
		w.what = lengthSource
	case Count:
		w.what, w.from = countSource, m.From
		if m.Checked {
			c.counts = append(c.counts, counted{s, run, m.From, fieldError(e, "is not the next number")})
		}
	case Random:
		w.what, c.random = randomSource, true
	case Time:
		w.what = secondSource
		if m.Milli {
			w.what = milliSource
		}
	}
	c.writes = append(c.writes, w)
}

func (c *program) addConstant(e *entry, s slot, v Const) {
	r := &c.runs[runOf[e.Part]]
	s.put(r.template, v.Value)
	if v.Required {
		s.put(r.mask, largest(e.Bits))
		err := fieldError(e, fmt.Sprintf("is not %#x", v.Value))
		c.constants = append(c.constants, constant{s, runOf[e.Part], v.Value, err})
	}
}

func (c *program) addSum(e *entry, all []*entry) {
	m := &e.Meaning
	c.sums = append(c.sums, sum{
		slot:      newSlot(e.Offset, e.Bits, e.LittleEndian),
		field:     e.index,
		run:       runOf[e.Part],
		from:      c.start(all[m.First]),
		to:        c.end(all[m.Last]),
		coversOwn: m.First <= e.index && e.index <= m.Last,
		sum:       findAlgorithm(m.Algorithm).make(),
		err:       fieldError(e, "is not the checksum"),
	})
}

func (c *program) start(e *entry) place {
	switch e.Part {
	case Payload:
		return place{header, len(c.runs[header].template)}
	case Padding:
		return place{trailer, len(c.runs[trailer].template)}
	}
	return place{runOf[e.Part], e.Offset / 8}
}

func (c *program) end(e *entry) place {
	switch e.Part {
	case Payload:
		return place{trailer, 0}
	case Padding:
		return place{closing, 0}
	}
	return place{runOf[e.Part], (e.Offset + e.Bits) / 8}
}

// fieldError makes the error of a bad field once, so that a flood of bad frames allocates nothing.
func fieldError(e *entry, what string) error {
	return fmt.Errorf("desc: %w: %s %s", frame.ErrMalformed, e.Name, what)
}
