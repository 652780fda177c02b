package desc

import (
	"fmt"
	"math/rand/v2"

	"github.com/encase-tls/encase/frame"
)

// A codec is one direction of a connection whose frames have a description.
type codec struct {
	*program
	next   uint64        // how many frames there have been
	random *rand.ChaCha8 // nil: no field needs it
}

// A streamCodec is a codec whose frames say how long they are.
type streamCodec struct{ codec }

// A layout is where the runs of one frame lie.
type layout struct {
	at  [3]int // where each begins
	pad int    // length of the padding, which ends where closing begins
	end int    // length of the frame
}

// layout returns where everything lies around a payload of n bytes.
func (c *program) layout(n int) (l layout) {
	l.at[trailer] = c.runs[header].size() + n
	l.at[closing] = l.at[trailer] + c.runs[trailer].size()
	if c.align > 0 {
		l.pad = padding(l.at[closing], c.align)
		l.at[closing] += l.pad
	}
	l.end = l.at[closing] + c.runs[closing].size()
	return l
}

// of returns the offset of a place in the frame.
func (l *layout) of(p place) int { return l.at[p.run] + p.off }

// Limits implements [frame.Codec].
func (c *codec) Limits() frame.Limits {
	tail := c.fixed - c.runs[header].size()
	if c.align > 0 {
		tail += c.align - 1
	}
	return frame.Limits{Head: c.runs[header].size(), Tail: tail, Max: c.max}
}

// Lenient returns the names of the fields that Decode ignores, "" for none.
func (c *codec) Lenient() string { return c.lenient }

// Encode implements [frame.Codec].
func (c *codec) Encode(b *frame.Buf) error {
	n := b.Len()
	if n > c.max {
		return errTooLarge
	}
	l := c.layout(n)
	copy(b.Prepend(c.runs[header].size()), c.runs[header].template)
	if size := l.end - l.at[trailer]; size > 0 {
		tail := b.Append(size)
		clear(tail[copy(tail, c.runs[trailer].template):])
		copy(tail[l.at[closing]-l.at[trailer]:], c.runs[closing].template)
	}
	f := b.Bytes()
	for i := range c.writes {
		w := &c.writes[i]
		w.put(f[l.at[w.run]:], c.value(w, n))
	}
	for i := range c.sums {
		s := &c.sums[i]
		s.put(f[l.at[s.run]:], s.compute(f, &l))
	}
	c.next++
	return nil
}

// value returns what w puts into the frame of a payload of n bytes.
func (c *codec) value(w *write, n int) uint64 {
	switch w.what {
	case lengthSource:
		return uint64(n) + c.base
	case countSource:
		return (c.next + w.from) & largest(w.width)
	case randomSource:
		return c.random.Uint64() & largest(w.width)
	case secondSource:
		return uint64(c.now().Unix()) & largest(w.width)
	default:
		return uint64(c.now().UnixMilli()) & largest(w.width)
	}
}

// Decode implements [frame.Codec]. What is cheap to look at comes first.
func (c *codec) Decode(b *frame.Buf) error {
	f := b.Bytes()
	if len(f) < c.fixed {
		return errShort
	}
	if !c.runs[header].matcher.match(f) {
		return c.wrongConstant(header, f)
	}
	n, err := c.payloadLen(f)
	if err != nil {
		return err
	}
	l := c.layout(n)
	if l.end != len(f) {
		return errLength
	}
	if err := c.verify(f, &l); err != nil {
		return err
	}
	c.next++
	b.TrimFront(c.runs[header].size())
	b.TrimBack(l.end - l.at[trailer])
	return nil
}

// payloadLen returns the length of the payload of f, which has a whole header.
func (c *program) payloadLen(f []byte) (int, error) {
	if c.length == nil {
		n := len(f) - c.fixed
		if n > c.max {
			return 0, errOverlong
		}
		return n, nil
	}
	v := c.length.get(f)
	if v < c.base {
		return 0, errUnderrun
	}
	if v-c.base > uint64(c.max) {
		return 0, errOverlong
	}
	return int(v - c.base), nil
}

// verify returns what is wrong with the frame f behind its header.
func (c *codec) verify(f []byte, l *layout) error {
	for run := trailer; run <= closing; run++ {
		if p := f[l.at[run]:]; !c.runs[run].matcher.match(p) {
			return c.wrongConstant(run, p)
		}
	}
	if c.checked && !zero(f[l.at[closing]-l.pad:l.at[closing]]) {
		return errPadding
	}
	for i := range c.sums {
		if s := &c.sums[i]; s.get(f[l.at[s.run]:]) != s.compute(f, l) {
			return s.err
		}
	}
	for i := range c.counts {
		if k := &c.counts[i]; k.get(f[l.at[k.run]:]) != (c.next+k.from)&largest(k.width) {
			return k.err
		}
	}
	return nil
}

// compute returns the checksum of the frame f, which is as before when it returns.
func (s *sum) compute(f []byte, l *layout) uint64 {
	covered := f[l.of(s.from):l.of(s.to)]
	if !s.coversOwn {
		return s.sum(covered)
	}
	run := f[l.at[s.run]:]
	have := s.get(run)
	s.put(run, 0)
	v := s.sum(covered)
	s.put(run, have)
	return v
}

// wrongConstant returns the error of the first constant in p, the run or the front of it, that is not as required.
func (c *program) wrongConstant(run int, p []byte) error {
	for i := range c.constants {
		k := &c.constants[i]
		if k.run == run && k.off+k.bytes <= len(p) && k.get(p) != k.want {
			return k.err
		}
	}
	return errConstant
}

// FrameLen implements [frame.Delimiter]. Constants up to the end of the length are looked at before it is believed.
func (c *streamCodec) FrameLen(p []byte) (int, error) {
	if len(p) < c.frontLen {
		return 0, nil
	}
	if !c.front.match(p) {
		return 0, c.wrongConstant(header, p[:c.frontLen])
	}
	n, err := c.payloadLen(p)
	if err != nil {
		return 0, err
	}
	l := c.layout(n)
	return l.end, nil
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errShort    = malformed("shorter than its header and trailer")
	errLength   = malformed("not as long as its length field says")
	errUnderrun = malformed("the length field says less than an empty payload")
	errOverlong = malformed("the payload is longer than is allowed")
	errConstant = malformed("a bit that is required is wrong")
	errPadding  = malformed("the padding is not zero")
	errTooLarge = fmt.Errorf("desc: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("desc: %w: %s", frame.ErrMalformed, what) }
