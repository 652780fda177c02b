package device

import (
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/tun/packet"
)

// The header in front of every packet, of Headroom bytes, in the byte order of this machine.
// https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html
const (
	needsChecksum = 1 // flags

	kindNone = 0 // types
	kindTCP4 = 1
	kindTCP6 = 4
	kindUDP  = 5
	kindECN  = 0x80
)

// The fields, and where they lie.
const (
	atFlags          = 0
	atKind           = 1
	atHeaderLen      = 2
	atSize           = 4
	atChecksumStart  = 6
	atChecksumOffset = 8
)

// checksumOffset is where in the header of the transport its checksum lies.
func checksumOffset(protocol uint8) int {
	if protocol == packet.TCP {
		return 16
	}
	return 6
}

// parse makes a Packet of what the kernel gave: header, data. It computes a checksum in a place where packet.GSO cannot
// say it, as of SCTP or inside a tunnel. The length of headers that the kernel tells is only a hint, and not used.
func parse(header, data []byte) (p Packet, err error) {
	p.Data = data
	if p.Header, err = packet.Parse(data); err != nil {
		return p, err
	}
	kind := header[atKind] &^ kindECN
	p.GSO.ECN = header[atKind]&kindECN != 0
	switch kind {
	case kindNone:
		p.GSO.ECN = false
	case kindTCP4:
		p.GSO.Kind = packet.TCP4
	case kindTCP6:
		p.GSO.Kind = packet.TCP6
	case kindUDP:
		p.GSO.Kind = packet.UDP4
		if p.Header.Version == 6 {
			p.GSO.Kind = packet.UDP6
		}
	default:
		return p, fmt.Errorf("device: the kernel hands over an offload of type %d that was not asked for", kind)
	}
	if p.GSO.Kind != packet.Single {
		p.GSO.Size = binary.NativeEndian.Uint16(header[atSize:])
	}
	if header[atFlags]&needsChecksum != 0 {
		start := int(binary.NativeEndian.Uint16(header[atChecksumStart:]))
		offset := int(binary.NativeEndian.Uint16(header[atChecksumOffset:]))
		if p.Header.Payload > 0 && start == p.Header.Transport && offset == checksumOffset(p.Header.Protocol) {
			p.GSO.Partial = true
		} else if start < p.Header.Transport || start+offset < p.Header.Payload {
			return p, fmt.Errorf("device: the kernel wants a checksum from byte %d on at byte %d, inside the headers", start,
				start+offset)
		} else if err := packet.FinishAt(data, start, offset); err != nil {
			return p, err
		}
	}
	return p, p.GSO.CheckCut(&p.Header)
}

// put writes the header for a packet into header. It is made of what Parse found in the packet, and nothing else.
func put(header []byte, h *packet.Header, g packet.GSO) {
	clear(header[:Headroom])
	if !g.Partial {
		return
	}
	header[atFlags] = needsChecksum
	binary.NativeEndian.PutUint16(header[atChecksumStart:], uint16(h.Transport))
	binary.NativeEndian.PutUint16(header[atChecksumOffset:], uint16(checksumOffset(h.Protocol)))
	if g.Kind == packet.Single {
		return
	}
	header[atKind] = [...]byte{packet.TCP4: kindTCP4, packet.TCP6: kindTCP6, packet.UDP4: kindUDP, packet.UDP6: kindUDP}[g.Kind]
	if g.ECN {
		header[atKind] |= kindECN
	}
	binary.NativeEndian.PutUint16(header[atHeaderLen:], uint16(h.Payload))
	binary.NativeEndian.PutUint16(header[atSize:], g.Size)
}
