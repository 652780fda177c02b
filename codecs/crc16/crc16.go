// Package crc16 computes checksums of 16 bits, of which there are many kinds, for codecs that have one. The standard
// library has those of 32 bits.
package crc16

import (
	"encoding/binary"
	"math/bits"
)

// X25 is the FCS-16 of PPP and HDLC: CRC-16/IBM-SDLC in https://reveng.sourceforge.io/crc-catalogue/16.htm.
//
// https://www.rfc-editor.org/rfc/rfc1662.html#appendix-C.2
var X25 = Reflected(0x8408, 0xffff, 0xffff)

// A Table computes one kind of CRC, eight bytes at a step: tables[k] holds what each value of a byte leaves behind when k
// bytes follow it. It does not change and may be used by several goroutines at once.
//
// The register is shifted to the right. A CRC that is defined with a shift to the left is computed with the two bytes of
// register and tables exchanged, which is the same.
type Table struct {
	tables         [8][256]uint16
	initial, final uint16 // final is added to the result
	straight       bool
}

// Reflected returns the Table of a CRC that takes the least significant bit first. polynomial has its bits in that
// order; initial is what the register begins with, and final is added to what it ends with.
func Reflected(polynomial, initial, final uint16) *Table {
	t := &Table{initial: initial, final: final}
	for v := range t.tables[0] {
		r := uint16(v)
		for range 8 {
			r = r>>1 ^ polynomial*(r&1)
		}
		t.tables[0][v] = r
	}
	return t.spread()
}

// Straight returns the Table of a CRC that takes the most significant bit first.
func Straight(polynomial, initial uint16) *Table {
	t := &Table{initial: bits.ReverseBytes16(initial), straight: true}
	for v := range t.tables[0] {
		r := uint16(v) << 8
		for range 8 {
			r = r<<1 ^ polynomial*(r>>15)
		}
		t.tables[0][v] = bits.ReverseBytes16(r)
	}
	return t.spread()
}

// spread makes the other tables from the first.
func (t *Table) spread() *Table {
	for k := 1; k < len(t.tables); k++ {
		for v, r := range t.tables[k-1] {
			t.tables[k][v] = r>>8 ^ t.tables[0][byte(r)]
		}
	}
	return t
}

// Checksum returns the CRC of p, which is only read.
func (t *Table) Checksum(p []byte) uint16 {
	r, s := t.initial, &t.tables
	for ; len(p) >= 8; p = p[8:] {
		r ^= binary.LittleEndian.Uint16(p)
		r = s[7][byte(r)] ^ s[6][r>>8] ^ s[5][p[2]] ^ s[4][p[3]] ^ s[3][p[4]] ^ s[2][p[5]] ^ s[1][p[6]] ^ s[0][p[7]]
	}
	for _, c := range p {
		r = r>>8 ^ s[0][byte(r)^c]
	}
	if t.straight {
		r = bits.ReverseBytes16(r)
	}
	return r ^ t.final
}
