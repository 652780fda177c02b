package packet

import (
	"encoding/binary"
	"math/bits"
)

// The Internet checksum is a sum of 16-bit words in ones' complement. Such a sum can be made of larger words and folded
// in the end, in any order of bytes as long as it is one: words are read as they lie in memory.
// https://www.rfc-editor.org/rfc/rfc1071

// sum adds the words of p to an unfolded sum. Only the last part of a sum may have an odd length.
func sum(p []byte, initial uint64) uint64 {
	acc, carry := initial, uint64(0)
	for len(p) >= 64 {
		b := p[:64:64]
		acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(b), 0)
		acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(b[24:]), carry)
		acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(b[32:]), carry)
		acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(b[40:]), carry)
		acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(b[48:]), carry)
		acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(b[56:]), carry)
		acc += carry // cannot overflow: a sum that overflowed is at most 2^64-2
		p = p[64:]
	}
	for len(p) >= 8 {
		acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(p), 0)
		acc += carry
		p = p[8:]
	}
	var rest [8]byte
	copy(rest[:], p)
	acc, carry = bits.Add64(acc, binary.NativeEndian.Uint64(rest[:]), 0)
	return acc + carry
}

// fold makes 16 bits of a sum, in the order of bytes of this machine.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s&0xffff)
}

// pseudo returns the sum of the header that TCP and UDP checksum besides their own.
// https://www.rfc-editor.org/rfc/rfc9293#section-3.1
// https://www.rfc-editor.org/rfc/rfc8200#section-8.1
func pseudo(p []byte, version, protocol uint8, length int) uint64 {
	var last [8]byte
	binary.BigEndian.PutUint32(last[:], uint32(length))
	last[7] = protocol
	s := binary.NativeEndian.Uint64(last[:])
	if version == 4 {
		return sum(p[12:20], s)
	}
	return sum(p[8:40], s)
}

// checksumAt returns where in the transport's header its checksum lies.
func checksumAt(protocol uint8) int {
	if protocol == TCP {
		return 16
	}
	return 6
}

// putPartial writes what a device that computes checksums expects in the place of one: the sum of the pseudo header.
func putPartial(p []byte, h *Header) {
	at := h.Transport + checksumAt(h.Protocol)
	binary.NativeEndian.PutUint16(p[at:], fold(pseudo(p, h.Version, h.Protocol, len(p)-h.Transport)))
}

// putChecksum computes the transport's checksum. One of UDP that comes out as 0 is written as its other form: 0 means
// that there is none, which IPv6 does not allow.
// https://www.rfc-editor.org/rfc/rfc768
func putChecksum(p []byte, h *Header) {
	at := h.Transport + checksumAt(h.Protocol)
	binary.NativeEndian.PutUint16(p[at:], 0)
	c := ^fold(sum(p[h.Transport:], pseudo(p, h.Version, h.Protocol, len(p)-h.Transport)))
	if c == 0 && h.Protocol == UDP {
		c = 0xffff
	}
	binary.NativeEndian.PutUint16(p[at:], c)
}

// checksumHolds reports whether the transport's checksum is there and right.
func checksumHolds(p []byte, h *Header) bool {
	at := h.Transport + checksumAt(h.Protocol)
	if h.Protocol == UDP && p[at]|p[at+1] == 0 {
		return false
	}
	return fold(sum(p[h.Transport:], pseudo(p, h.Version, h.Protocol, len(p)-h.Transport))) == 0xffff
}

// putHeaderChecksum computes the checksum of an IPv4 header.
func putHeaderChecksum(header []byte) {
	header[10], header[11] = 0, 0
	binary.NativeEndian.PutUint16(header[10:], ^fold(sum(header, 0)))
}

// FinishAt computes a checksum that lies offset bytes behind start, over all from start on, where a sum to begin with
// lies already. It is for protocols that this package does not know. The error wraps ErrMalformed.
func FinishAt(p []byte, start, offset int) error {
	at := start + offset
	if start < 0 || offset < 0 || at+2 > len(p) {
		return malformed("a checksum at byte %d of %d", at, len(p))
	}
	c := ^fold(sum(p[start:], 0))
	binary.NativeEndian.PutUint16(p[at:], c)
	return nil
}

// MarkCongested sets "congestion experienced" in the IP header of a packet, which Parse has accepted, if its sender
// understands that, and reports whether it does.
// https://www.rfc-editor.org/rfc/rfc3168#section-5
func MarkCongested(p []byte) bool {
	const mask = 3
	if p[0]>>4 == 6 {
		if p[1]>>4&mask == 0 {
			return false
		}
		p[1] |= mask << 4
		return true
	}
	if p[1]&mask == 0 {
		return false
	}
	p[1] |= mask
	putHeaderChecksum(p[:int(p[0]&15)*4])
	return true
}
