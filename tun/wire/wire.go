// Package wire is the protocol that a tunnel speaks inside TLS and DTLS: how IP packets and control messages look in
// application data. It does no I/O, and trusts nothing that it parses. spec/tunnel.md describes the protocol.
//
// Over a stream each packet, or super-packet, travels in a frame with a header of HeaderLen bytes; over datagrams one
// record is one packet, as it is, or one control message: the first byte tells.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/tun/packet"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// ErrMalformed is wrapped by every error about bytes of the peer. The connection is of no use behind it: its peer has
// been authenticated, and breaks the protocol.
var ErrMalformed = errors.New("malformed tunnel message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("wire: %w: "+format, append([]any{ErrMalformed}, args...)...)
}

// HeaderLen is the length of the header of a frame on a stream:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+-------------------------------+
//	| kind  | flags |     type      |         segment size          |
//	+-------+-------+---------------+-------------------------------+
//	|            length             |
//	+-------------------------------+
const HeaderLen = 6

// Kinds of frames. Those of packets are packet.Kind, plus firstPacket.
const (
	kindControl = 0
	firstPacket = 1
	lastPacket  = firstPacket + packet.Kind(packet.UDP6)
)

// Flags of a packet.
const (
	flagPartial = 1 << iota // its checksum is still to be computed
	flagECN                 // packet.GSO.ECN
	knownFlags  = flagPartial | flagECN
)

// A Frame is what the header of a frame says.
type Frame struct {
	Control bool       // a control message, otherwise a packet
	Type    Type       // of a control message
	GSO     packet.GSO // of a packet; not yet checked against it
	Length  int        // of what follows, in bytes
}

// PutPacket writes the header for a packet of n bytes, at most packet.MaxLen, into h.
func PutPacket(h []byte, n int, g packet.GSO) {
	flags := byte(0)
	if g.Partial {
		flags |= flagPartial
	}
	if g.ECN {
		flags |= flagECN
	}
	h[0] = (firstPacket+byte(g.Kind))<<4 | flags
	h[1] = 0
	binary.BigEndian.PutUint16(h[2:], g.Size)
	binary.BigEndian.PutUint16(h[4:], uint16(n))
}

// ParseHeader parses the HeaderLen bytes in front of a frame.
func ParseHeader(h []byte) (f Frame, err error) {
	kind, flags := h[0]>>4, h[0]&15
	size := binary.BigEndian.Uint16(h[2:])
	f.Length = int(binary.BigEndian.Uint16(h[4:]))
	if kind == kindControl {
		f.Control, f.Type = true, Type(h[1])
		if flags != 0 || size != 0 {
			return f, malformed("a control message with flags %#x, size %d", flags, size)
		}
		return f, nil
	}
	if packet.Kind(kind) > lastPacket || flags&^knownFlags != 0 || h[1] != 0 {
		return f, malformed("frame of kind %d, flags %#x, type %d", kind, flags, h[1])
	}
	f.GSO = packet.GSO{Kind: packet.Kind(kind - firstPacket), Partial: flags&flagPartial != 0, ECN: flags&flagECN != 0,
		Size: size}
	return f, nil
}

// AppendControl appends a control message for a stream to dst. body must not exceed MaxBody.
func AppendControl(dst []byte, t Type, body []byte) []byte {
	if len(body) > MaxBody {
		panic(fmt.Sprintf("wire: a control message of %d bytes; there are %d at most", len(body), MaxBody))
	}
	dst = append(dst, kindControl<<4, byte(t), 0, 0, byte(len(body)>>8), byte(len(body)))
	return append(dst, body...)
}

// On a datagram the first byte of an IP packet, whose upper half is its version, tells it from a control message. A
// packet whose checksum is still to be computed has the highest bit set, if the peer has agreed to that.
const (
	partialBit  = 0x80
	controlType = 0x3f // the highest type that a control message may have
)

// MarkPartial says in a packet for a datagram that its checksum is still to be computed.
func MarkPartial(p []byte) { p[0] |= partialBit }

// ParseDatagram tells what a datagram holds: a packet, with its mark taken off, or a control message and its body. It
// changes p.
func ParseDatagram(p []byte) (f Frame, body []byte, err error) {
	if len(p) == 0 {
		return f, nil, malformed("an empty datagram")
	}
	switch version := p[0] >> 4 &^ (partialBit >> 4); {
	case version == 4, version == 6:
		f.GSO.Partial = p[0]&partialBit != 0
		p[0] &^= partialBit
		f.Length = len(p)
		return f, p, nil
	case p[0] <= controlType:
		f.Control, f.Type, f.Length = true, Type(p[0]), len(p)-1
		return f, p[1:], nil
	}
	return f, nil, malformed("a datagram that begins with %#x", p[0])
}

// AppendDatagram appends a control message for a datagram to dst.
func AppendDatagram(dst []byte, t Type, body []byte) []byte {
	return append(append(dst, byte(t)), body...)
}
