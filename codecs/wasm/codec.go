package wasm

import (
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// A codec is one direction of one connection. Its instance is made when it is needed first: a connection that fails
// before a frame has come does not pay for it. A connection encodes or decodes; only a test may want both of one codec.
type codec struct {
	plugin    *Plugin
	sender    frame.Role
	instances [2]*instance // by direction; nil: not yet needed
	dead      error        // a *Fault, after which no instance is called again
	audit     *audit       // nil: not while the plugin is being admitted
}

// A streamCodec is a codec of frames that can be told apart.
type streamCodec struct{ codec }

// What functions of a plugin return in place of a result.
const (
	malformedCode = -1
	tooLargeCode  = -2
)

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errMalformed = fmt.Errorf("wasm: %w: the plugin refuses it", frame.ErrMalformed)
	errLength    = fmt.Errorf("wasm: %w: longer than any frame of the plugin", frame.ErrMalformed)
	errTooLarge  = fmt.Errorf("wasm: %w", frame.ErrTooLarge)
)

// Limits implements [frame.Codec].
func (c *codec) Limits() frame.Limits { return c.shape(encoding).Limits }

// Lenient returns that the plugin ignores something when it decodes, or "".
func (c *codec) Lenient() string {
	if c.shape(decoding).lenient {
		return "what the plugin says that it ignores"
	}
	return ""
}

func (c *codec) shape(d direction) *shape { return &c.plugin.shapes[c.sender][d] }

// Encode implements [frame.Codec].
func (c *codec) Encode(b *frame.Buf) error {
	s := c.shape(encoding)
	if b.Len() > s.Max {
		return errTooLarge
	}
	in, err := c.instance(encoding)
	if err != nil {
		return err
	}
	return c.transform(in, b, s.Head, s.Tail)
}

// Decode implements [frame.Codec].
func (c *codec) Decode(b *frame.Buf) error {
	if b.Len() > c.shape(decoding).MaxFrame() {
		return errLength
	}
	in, err := c.instance(decoding)
	if err != nil {
		return err
	}
	return c.transform(in, b, 0, 0)
}

// transform lets the plugin make something else of b, which has room for head and tail. The buffer of the plugin
// mirrors that: head, contents, tail.
func (c *codec) transform(in *instance, b *frame.Buf, head, tail int) error {
	n := b.Len()
	seen := n
	if !in.shape.whole {
		seen = min(n, in.shape.window)
	}
	copy(in.buffer[head:head+seen], b.Bytes())
	in.refresh()
	v, err := c.call(in, in.work, n)
	if err != nil {
		return err
	}
	if v < 0 {
		return c.refused(in, v)
	}
	if err := in.check(v, head, n, tail, seen); err != nil {
		return c.fail(err)
	}
	from := int(v >> 32)
	to := from + int(uint32(v))
	place(b, from-head, to-head-n)
	if !in.shape.whole {
		to = head + seen
	}
	copy(b.Bytes(), in.buffer[from:to])
	return nil
}

// check reports a result that lies outside of head, n bytes and tail, or changes what the plugin has not seen of these
// n.
func (in *instance) check(v int64, head, n, tail, seen int) error {
	from, to := v>>32, v>>32+int64(uint32(v))
	switch {
	case to > int64(head+n+tail):
		return breaks(ruleRange, "%s returns bytes %d to %d of %d", in.work.name, from, to, head+n+tail)
	case !in.shape.whole && (to != int64(head+n) || from > int64(head+seen)):
		return breaks(ruleRange, "%s returns bytes %d to %d, with a window from %d to %d and an end at %d", in.work.name,
			from, to, head, head+seen, head+n)
	}
	return nil
}

// place moves the ends of the contents of b: the first one by front bytes, the other by back, forwards if positive.
func place(b *frame.Buf, front, back int) {
	b.Prepend(max(0, -front))
	b.Append(max(0, back))
	b.TrimFront(max(0, front))
	b.TrimBack(max(0, -back))
}

// refused returns the error for a negative result.
func (c *codec) refused(in *instance, v int64) error {
	switch {
	case v == malformedCode && in.direction == decoding:
		return errMalformed
	case v == tooLargeCode && in.direction == encoding:
		return errTooLarge
	}
	return c.fail(breaks(ruleCode, "%s returns %d", in.work.name, v))
}

// FrameLen implements [frame.Delimiter].
func (c *streamCodec) FrameLen(p []byte) (int, error) {
	in, err := c.instance(decoding)
	if err != nil {
		return 0, err
	}
	seen := copy(in.buffer[:in.shape.peek], p)
	v, err := c.call(in, in.frameLen, seen)
	if err != nil {
		return 0, err
	}
	n, most := int(int32(v)), in.shape.MaxFrame()
	switch {
	case n == malformedCode:
		return 0, errMalformed
	case n < 0:
		return 0, c.fail(breaks(ruleCode, "%s returns %d", frameLenName, n))
	case n > most:
		return 0, c.fail(breaks(ruleRange, "%s returns %d, the longest frame has %d bytes", frameLenName, n, most))
	}
	return n, nil
}

// instance returns the one for a direction.
func (c *codec) instance(d direction) (*instance, error) {
	if c.audit != nil {
		if err := c.audit.failed(); err != nil {
			return nil, err
		}
	}
	if in := c.instances[d]; in != nil {
		return in, nil
	}
	if c.dead != nil {
		return nil, c.dead
	}
	in, err := c.plugin.start(c.sender, d)
	if err != nil {
		return nil, c.fail(err)
	}
	c.instances[d] = in
	return in, nil
}

// call calls f with n.
func (c *codec) call(in *instance, f function, n int) (int64, error) {
	in.args[0] = uint64(n)
	v, err := in.call(f)
	if err == nil && c.audit != nil {
		err = c.audit.charge(in.used())
	}
	if err != nil {
		return 0, c.fail(err)
	}
	return v, nil
}

// fail makes err the end of the codec, and returns it as people are to see it.
func (c *codec) fail(err error) error {
	c.dead, c.instances = c.plugin.named(err), [2]*instance{}
	if c.audit != nil {
		c.audit.fail(c.dead)
	}
	return c.dead
}
