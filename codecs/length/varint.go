package length

import (
	"encoding/binary"
	"math/bits"

	"github.com/encase-tls/encase/frame"
)

// varint is the codec of a length in base 128, least significant group first; all bytes but the last have their top bit
// set. Its methods do not change it.
//
// https://protobuf.dev/programming-guides/encoding/#varints
type varint struct {
	header
	longest int // bytes of the longest varint
}

func newVarint(h header) *varint { return &varint{h, varintLen(h.base + h.max)} }

// varintLen returns how many bytes the varint of n takes.
func varintLen(n int) int { return (bits.Len(uint(n)|1) + 6) / 7 }

// Limits implements [frame.Codec].
func (c *varint) Limits() frame.Limits {
	return frame.Limits{Head: c.prefix.len() + c.longest + c.suffix.len(), Max: c.max}
}

// Encode implements [frame.Codec].
func (c *varint) Encode(b *frame.Buf) error {
	n := b.Len()
	if n > c.max {
		return errTooLarge
	}
	n += c.base
	p := b.Prepend(c.prefix.len() + varintLen(n) + c.suffix.len())
	p = p[copy(p, c.prefix.value):]
	p = p[binary.PutUvarint(p, uint64(n)):]
	copy(p, c.suffix.value)
	return nil
}

// Decode implements [frame.Codec].
func (c *varint) Decode(b *frame.Buf) error {
	p := b.Bytes()
	size, payload, err := c.parse(p)
	switch {
	case err != nil:
		return err
	case size == 0 || len(p) < size:
		return errShort
	case len(p) != size+payload:
		return errLength
	case !c.suffix.match(p[size-c.suffix.len():]):
		return errFiller
	}
	b.TrimFront(size)
	return nil
}

// FrameLen implements [frame.Delimiter].
func (c *varint) FrameLen(p []byte) (int, error) {
	size, payload, err := c.parse(p)
	if err != nil || size == 0 {
		return 0, err
	}
	return size + payload, nil
}

// parse returns the lengths of the header and of the payload of the frame at the front of p. The header's is 0 if p is
// too short to tell.
func (c *varint) parse(p []byte) (size, payload int, err error) {
	at := c.prefix.len()
	if len(p) <= at {
		return 0, 0, nil
	}
	if !c.prefix.match(p) {
		return 0, 0, errFiller
	}
	field := p[at:]
	field = field[:min(len(field), c.longest)]
	v, n := binary.Uvarint(field)
	switch {
	case n == 0 && len(field) == c.longest:
		return 0, 0, errVarint
	case n == 0:
		return 0, 0, nil
	case n > 1 && field[n-1] == 0:
		return 0, 0, errVarint
	}
	payload, err = c.payloadLen(v)
	return at + n + c.suffix.len(), payload, err
}
