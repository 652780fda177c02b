package desc

import "encoding/binary"

// A slot is where a field lies in its part of the frame.
type slot struct {
	off   int // of its first byte
	bytes int // how many bytes it touches: 1 to 9
	low   int // how many bits below it are in the last of them
	width int // in bits
	way   way // to write and read it
}

// A way is how the bytes of a slot become a number.
type way uint8

const (
	bitwise  way = iota // any bits, most significant first
	bytewise            // whole bytes, least significant first
	be8
	be16
	be32
	be64
	le16
	le32
	le64
)

// newSlot returns the slot of a field of so many bits at an offset in bits.
func newSlot(offset, width int, littleEndian bool) slot {
	end := offset + width
	s := slot{off: offset / 8, bytes: (end+7)/8 - offset/8, low: -end & 7, width: width}
	switch {
	case offset%8 != 0:
	case littleEndian:
		s.way = map[int]way{16: le16, 32: le32, 64: le64}[width]
		if s.way == bitwise {
			s.way = bytewise
		}
	default:
		s.way = map[int]way{8: be8, 16: be16, 32: be32, 64: be64}[width]
	}
	return s
}

// put writes v, which fits. p begins where the part does, and the bits of the slot are zero, except that a checksum,
// which has a way of its own, is overwritten.
func (s *slot) put(p []byte, v uint64) {
	p = p[s.off:]
	switch s.way {
	case be8:
		p[0] = byte(v)
	case be16:
		binary.BigEndian.PutUint16(p, uint16(v))
	case be32:
		binary.BigEndian.PutUint32(p, uint32(v))
	case be64:
		binary.BigEndian.PutUint64(p, v)
	case le16:
		binary.LittleEndian.PutUint16(p, uint16(v))
	case le32:
		binary.LittleEndian.PutUint32(p, uint32(v))
	case le64:
		binary.LittleEndian.PutUint64(p, v)
	case bytewise:
		for i := range p[:s.bytes] {
			p[i] = byte(v >> (8 * i))
		}
	default:
		s.putBits(p[:s.bytes], v)
	}
}

func (s *slot) putBits(p []byte, v uint64) {
	last := len(p) - 1
	p[last] |= byte(v << s.low)
	v >>= 8 - s.low
	for i := last - 1; i >= 0; i-- {
		p[i] |= byte(v)
		v >>= 8
	}
}

// get reads the field. p begins where the part does.
func (s *slot) get(p []byte) uint64 {
	p = p[s.off:]
	switch s.way {
	case be8:
		return uint64(p[0])
	case be16:
		return uint64(binary.BigEndian.Uint16(p))
	case be32:
		return uint64(binary.BigEndian.Uint32(p))
	case be64:
		return binary.BigEndian.Uint64(p)
	case le16:
		return uint64(binary.LittleEndian.Uint16(p))
	case le32:
		return uint64(binary.LittleEndian.Uint32(p))
	case le64:
		return binary.LittleEndian.Uint64(p)
	case bytewise:
		v := uint64(0)
		for i, b := range p[:s.bytes] {
			v |= uint64(b) << (8 * i)
		}
		return v
	default:
		return s.getBits(p[:s.bytes])
	}
}

func (s *slot) getBits(p []byte) uint64 {
	last := len(p) - 1
	v := uint64(0)
	for _, b := range p[:last] {
		v = v<<8 | uint64(b)
	}
	// Bits above the field, if any, are shifted out or masked away; nine bytes hold at most 64 bits of it.
	v = v<<(8-s.low) | uint64(p[last]>>s.low)
	return v & largest(s.width)
}
