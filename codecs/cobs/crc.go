package cobs

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/encase-tls/encase/frame"
)

// appendSum appends the checksum of b, which has this many bits.
func appendSum(b *frame.Buf, bits int) {
	switch bits {
	case 16:
		sum := crc16(b.Bytes())
		binary.LittleEndian.PutUint16(b.Append(2), sum)
	case 32:
		sum := crc32.ChecksumIEEE(b.Bytes())
		binary.LittleEndian.PutUint32(b.Append(4), sum)
	}
}

// trimSum takes the checksum off b and reports whether it was right.
func trimSum(b *frame.Buf, bits int) bool {
	n := b.Len() - bits/8
	if n < 0 {
		return false
	}
	p := b.Bytes()
	b.TrimBack(bits / 8)
	switch bits {
	case 16:
		return binary.LittleEndian.Uint16(p[n:]) == crc16(p[:n])
	case 32:
		return binary.LittleEndian.Uint32(p[n:]) == crc32.ChecksumIEEE(p[:n])
	}
	return true
}

// crc16 returns the FCS-16 of p.
//
// https://www.rfc-editor.org/rfc/rfc1662.html#appendix-C.2
func crc16(p []byte) uint16 {
	t, crc := &crc16Tables, uint16(0xffff)
	for ; len(p) >= 8; p = p[8:] {
		v := binary.LittleEndian.Uint64(p) ^ uint64(crc)
		crc = t[7][byte(v)] ^ t[6][byte(v>>8)] ^ t[5][byte(v>>16)] ^ t[4][byte(v>>24)] ^
			t[3][byte(v>>32)] ^ t[2][byte(v>>40)] ^ t[1][byte(v>>48)] ^ t[0][byte(v>>56)]
	}
	for _, c := range p {
		crc = crc>>8 ^ t[0][byte(crc)^c]
	}
	return ^crc
}

// crc16Tables[k] is what a byte does to the checksum when k bytes follow it: eight are taken at once.
var crc16Tables = func() (t [8][256]uint16) {
	const polynomial = 0x8408 // x^16 + x^12 + x^5 + 1, the other way round
	for i := range t[0] {
		crc := uint16(i)
		for range 8 {
			crc = crc>>1 ^ polynomial*(crc&1)
		}
		t[0][i] = crc
	}
	for k := 1; k < len(t); k++ {
		for i, crc := range t[k-1] {
			t[k][i] = crc>>8 ^ t[0][byte(crc)]
		}
	}
	return t
}()
