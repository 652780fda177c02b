package length

import (
	"encoding/binary"

	"github.com/encase-tls/encase/frame"
)

// fixed is the codec of a length field of fixed width. Its methods do not change it.
type fixed struct {
	header
	kind kind
	at   int // offset of the field
	end  int // and of what follows it
	head int // length of prefix, field and suffix
}

// A kind is the width of a field in bytes, and minus that if it is little-endian.
type kind int8

func newFixed(h header, width int, littleEndian bool) *fixed {
	at := h.prefix.len()
	c := &fixed{header: h, kind: kind(width), at: at, end: at + width, head: at + width + h.suffix.len()}
	if littleEndian && width > 1 {
		c.kind = -c.kind
	}
	return c
}

// Limits implements [frame.Codec]. Max is what the field can express.
func (c *fixed) Limits() frame.Limits { return frame.Limits{Head: c.head, Max: c.max} }

// Encode implements [frame.Codec].
func (c *fixed) Encode(b *frame.Buf) error {
	n := b.Len()
	if n > c.max {
		return errTooLarge
	}
	p := b.Prepend(c.head)
	copy(p, c.prefix.value)
	copy(p[c.end:], c.suffix.value)
	put(c.kind, p[c.at:], uint64(n+c.base))
	return nil
}

// Decode implements [frame.Codec].
func (c *fixed) Decode(b *frame.Buf) error {
	p := b.Bytes()
	if len(p) < c.head {
		return errShort
	}
	n, err := c.FrameLen(p)
	if err != nil {
		return err
	}
	if n != len(p) {
		return errLength
	}
	if !c.suffix.match(p[c.end:]) {
		return errFiller
	}
	b.TrimFront(c.head)
	return nil
}

// FrameLen implements [frame.Delimiter].
func (c *fixed) FrameLen(p []byte) (int, error) {
	if len(p) < c.end {
		return 0, nil
	}
	if !c.prefix.match(p) {
		return 0, errFiller
	}
	n, err := c.payloadLen(get(c.kind, p[c.at:]))
	if err != nil {
		return 0, err
	}
	return c.head + n, nil
}

func put(k kind, p []byte, v uint64) {
	switch k {
	case 1:
		p[0] = byte(v)
	case 2:
		binary.BigEndian.PutUint16(p, uint16(v))
	case 3:
		_ = p[2]
		p[0], p[1], p[2] = byte(v>>16), byte(v>>8), byte(v)
	case 4:
		binary.BigEndian.PutUint32(p, uint32(v))
	case 8:
		binary.BigEndian.PutUint64(p, v)
	case -2:
		binary.LittleEndian.PutUint16(p, uint16(v))
	case -3:
		_ = p[2]
		p[0], p[1], p[2] = byte(v), byte(v>>8), byte(v>>16)
	case -4:
		binary.LittleEndian.PutUint32(p, uint32(v))
	case -8:
		binary.LittleEndian.PutUint64(p, v)
	}
}

func get(k kind, p []byte) uint64 {
	switch k {
	case 1:
		return uint64(p[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(p))
	case 3:
		_ = p[2]
		return uint64(p[0])<<16 | uint64(p[1])<<8 | uint64(p[2])
	case 4:
		return uint64(binary.BigEndian.Uint32(p))
	case 8:
		return binary.BigEndian.Uint64(p)
	case -2:
		return uint64(binary.LittleEndian.Uint16(p))
	case -3:
		_ = p[2]
		return uint64(p[2])<<16 | uint64(p[1])<<8 | uint64(p[0])
	case -4:
		return uint64(binary.LittleEndian.Uint32(p))
	default:
		return binary.LittleEndian.Uint64(p)
	}
}
