package hdlc

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/encase-tls/encase/codecs/crc16"
	"github.com/encase-tls/encase/frame"
)

// appendFCS appends the check sequence of b, n bytes long: FCS-16 or FCS-32, which is the CRC-32 of Ethernet.
func appendFCS(b *frame.Buf, n int) {
	if n == 2 {
		fcs := crc16.X25.Checksum(b.Bytes())
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
		return binary.LittleEndian.Uint16(fcs) == crc16.X25.Checksum(b.Bytes())
	}
	return binary.LittleEndian.Uint32(fcs) == crc32.ChecksumIEEE(b.Bytes())
}
