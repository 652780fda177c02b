package desc

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"strings"
)

// A summer computes a checksum. It does not retain or change p.
type summer func(p []byte) uint64

// An algorithm is a kind of checksum.
type algorithm struct {
	name string
	bits int
	make func() summer
}

// algorithms are all checksums of descriptions. The CRCs are those of
// https://reveng.sourceforge.io/crc-catalogue/all.htm: CRC-16/ARC, CRC-16/IBM-3740, CRC-16/KERMIT, CRC-16/MODBUS,
// CRC-16/IBM-SDLC, CRC-16/XMODEM, CRC-32/ISO-HDLC and CRC-32/ISCSI. sum16 is the Internet checksum of
// https://www.rfc-editor.org/rfc/rfc1071#section-1.
var algorithms = []algorithm{
	{"crc16-arc", 16, reflected16(0xa001, 0, 0)},
	{"crc16-ccitt-false", 16, straight16(0x1021, 0xffff)},
	{"crc16-kermit", 16, reflected16(0x8408, 0, 0)},
	{"crc16-modbus", 16, reflected16(0xa001, 0xffff, 0)},
	{"crc16-x25", 16, reflected16(0x8408, 0xffff, 0xffff)},
	{"crc16-xmodem", 16, straight16(0x1021, 0)},
	{"crc32", 32, crc32Of(crc32.IEEE)},
	{"crc32c", 32, crc32Of(crc32.Castagnoli)},
	{"sum16", 16, func() summer { return sum16 }},
	{"xor8", 8, func() summer { return xor8 }},
}

// findAlgorithm returns nil if there is none of this name.
func findAlgorithm(name string) *algorithm {
	for i := range algorithms {
		if algorithms[i].name == name {
			return &algorithms[i]
		}
	}
	return nil
}

func algorithmNames() string {
	var all []string
	for _, a := range algorithms {
		all = append(all, a.name)
	}
	return strings.Join(all, ", ")
}

func crc32Of(polynomial uint32) func() summer {
	return func() summer {
		table := crc32.MakeTable(polynomial)
		return func(p []byte) uint64 { return uint64(crc32.Checksum(p, table)) }
	}
}

// crc16 computes a CRC of 16 bits, eight bytes at a step: tables[k] holds what each value of a byte leaves behind when
// k zero bytes follow it. The register is shifted to the right. A CRC that is defined with a shift to the left is
// computed with the two bytes of register and tables exchanged, which is the same.
type crc16 struct {
	tables         [8][256]uint16
	initial, final uint16 // final is added to the result
	straight       bool
}

// reflected16 is for CRCs that take the least significant bit first. polynomial has its bits in that order.
func reflected16(polynomial, initial, final uint16) func() summer {
	return func() summer {
		c := &crc16{initial: initial, final: final}
		for v := range c.tables[0] {
			r := uint16(v)
			for range 8 {
				r = r>>1 ^ polynomial*(r&1)
			}
			c.tables[0][v] = r
		}
		return c.spread().sum
	}
}

// straight16 is for CRCs that take the most significant bit first.
func straight16(polynomial, initial uint16) func() summer {
	return func() summer {
		c := &crc16{initial: bits.ReverseBytes16(initial), straight: true}
		for v := range c.tables[0] {
			r := uint16(v) << 8
			for range 8 {
				r = r<<1 ^ polynomial*(r>>15)
			}
			c.tables[0][v] = bits.ReverseBytes16(r)
		}
		return c.spread().sum
	}
}

// spread makes the other tables from the first.
func (c *crc16) spread() *crc16 {
	for k := 1; k < len(c.tables); k++ {
		for v, r := range c.tables[k-1] {
			c.tables[k][v] = r>>8 ^ c.tables[0][byte(r)]
		}
	}
	return c
}

func (c *crc16) sum(p []byte) uint64 {
	r, t := c.initial, &c.tables
	for ; len(p) >= 8; p = p[8:] {
		r ^= binary.LittleEndian.Uint16(p)
		r = t[7][byte(r)] ^ t[6][r>>8] ^ t[5][p[2]] ^ t[4][p[3]] ^ t[3][p[4]] ^ t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]]
	}
	for _, b := range p {
		r = r>>8 ^ t[0][byte(r)^b]
	}
	if c.straight {
		r = bits.ReverseBytes16(r)
	}
	return uint64(r ^ c.final)
}

// sum16 adds words of 64 bits with their carries brought round, which is the same modulo 2^16-1 as words of 16 bits.
func sum16(p []byte) uint64 {
	var s, carry uint64
	for ; len(p) >= 8; p = p[8:] {
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(p), carry)
	}
	var rest [8]byte
	copy(rest[:], p)
	s, carry = bits.Add64(s, binary.BigEndian.Uint64(rest[:]), carry)
	s += carry // does not overflow: s is never all ones when there is a carry
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^s & 0xffff
}

func xor8(p []byte) uint64 {
	var s uint64
	for ; len(p) >= 8; p = p[8:] {
		s ^= binary.LittleEndian.Uint64(p)
	}
	s ^= s >> 32
	s ^= s >> 16
	s ^= s >> 8
	for _, b := range p {
		s ^= uint64(b)
	}
	return s & 0xff
}
