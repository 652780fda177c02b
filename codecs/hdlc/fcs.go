package hdlc

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/encase-tls/encase/frame"
)

// appendFCS appends the check sequence of b, n bytes long.
func appendFCS(b *frame.Buf, n int) {
	if n == 2 {
		fcs := fcs16(b.Bytes())
		binary.LittleEndian.PutUint16(b.Append(2), fcs)
		return
	}
	fcs := crc32.ChecksumIEEE(b.Bytes())
	binary.LittleEndian.PutUint32(b.Append(4), fcs)
}

// trimFCS takes the check sequence, the last n bytes, off b and reports whether it was right. b has n bytes at least.
func trimFCS(b *frame.Buf, n int) bool {
	p := b.Bytes()
	b.TrimBack(n)
	fcs := p[len(p)-n:]
	if n == 2 {
		return binary.LittleEndian.Uint16(fcs) == fcs16(b.Bytes())
	}
	return binary.LittleEndian.Uint32(fcs) == crc32.ChecksumIEEE(b.Bytes())
}

// fcs16 returns the FCS-16 of p. FCS-32 is the CRC-32 of Ethernet, which the standard library has.
//
// https://www.rfc-editor.org/rfc/rfc1662.html#appendix-C.2
func fcs16(p []byte) uint16 {
	t, fcs := &fcs16Tables, uint16(0xffff)
	for ; len(p) >= 8; p = p[8:] {
		v := binary.LittleEndian.Uint64(p) ^ uint64(fcs)
		fcs = t[7][byte(v)] ^ t[6][byte(v>>8)] ^ t[5][byte(v>>16)] ^ t[4][byte(v>>24)] ^
			t[3][byte(v>>32)] ^ t[2][byte(v>>40)] ^ t[1][byte(v>>48)] ^ t[0][byte(v>>56)]
	}
	for _, c := range p {
		fcs = fcs>>8 ^ t[0][byte(fcs)^c]
	}
	return ^fcs
}

// fcs16Tables[k] is what a byte does to the checksum when k bytes follow it: eight are taken at once.
var fcs16Tables = func() (t [8][256]uint16) {
	const polynomial = 0x8408 // x^16 + x^12 + x^5 + 1, the other way round
	for i := range t[0] {
		fcs := uint16(i)
		for range 8 {
			fcs = fcs>>1 ^ polynomial*(fcs&1)
		}
		t[0][i] = fcs
	}
	for k := 1; k < len(t); k++ {
		for i, fcs := range t[k-1] {
			t[k][i] = fcs>>8 ^ t[0][byte(fcs)]
		}
	}
	return t
}()
