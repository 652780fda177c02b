package desc

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"strings"

	"github.com/encase-tls/encase/codecs/crc16"
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

// crc16Of is crc32Of for a table that make returns.
func crc16Of(make func() *crc16.Table) func() summer {
	return func() summer {
		table := make()
		return func(p []byte) uint64 { return uint64(table.Checksum(p)) }
	}
}

func reflected16(polynomial, initial, final uint16) func() summer {
	return crc16Of(func() *crc16.Table { return crc16.Reflected(polynomial, initial, final) })
}

func straight16(polynomial, initial uint16) func() summer {
	return crc16Of(func() *crc16.Table { return crc16.Straight(polynomial, initial) })
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
