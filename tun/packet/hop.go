package packet

import "encoding/binary"

// Hop does to a packet what a router does that passes it on: it lowers its time to live by one. It reports false, and
// changes nothing, if the packet may go no further. A header checksum that was wrong stays wrong.
// https://www.rfc-editor.org/rfc/rfc1624#section-3
func Hop(p []byte) bool {
	const ttl4, protocol4, checksum4, limit6 = 8, 9, 10, 7
	at := ttl4
	if p[0]>>4 == 6 {
		at = limit6
	}
	if p[at] <= 1 {
		return false
	}
	p[at]--
	if at == ttl4 {
		old, field := uint32(p[ttl4]+1)<<8|uint32(p[protocol4]), p[checksum4:checksum4+2]
		s := uint32(^binary.BigEndian.Uint16(field)) + (^old & 0xffff) + (old - 1<<8)
		binary.BigEndian.PutUint16(field, ^fold(uint64(s)))
	}
	return true
}
