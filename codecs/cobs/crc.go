package cobs

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/encase-tls/encase/codecs/crc16"
	"github.com/encase-tls/encase/frame"
)

// appendSum appends the checksum of b, which has this many bits: FCS-16 or FCS-32, which is the CRC-32 of Ethernet.
func appendSum(b *frame.Buf, bits int) {
	switch bits {
	case 16:
		sum := crc16.X25.Checksum(b.Bytes())
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
		return binary.LittleEndian.Uint16(p[n:]) == crc16.X25.Checksum(p[:n])
	case 32:
		return binary.LittleEndian.Uint32(p[n:]) == crc32.ChecksumIEEE(p[:n])
	}
	return true
}
