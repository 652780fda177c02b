// Package packet looks at IP packets and changes them: what a tunnel has to know about TCP, UDP and their checksums to
// move packets in large units.
//
//	super-packet ──▶ Segmenter ──▶ packets ──▶ Coalescer ──▶ super-packet
//
// A super-packet is what a kernel with segmentation offload hands to a device: an IP packet of up to 64 KiB whose TCP or
// UDP payload is still to be cut into segments, each behind a copy of its headers. [GSO] says how. A tunnel moves it
// whole where it can, and otherwise cuts it as late, and puts it together as early, as it can.
//
// Nothing here trusts a packet: all that follows from a length in it is checked by [Parse] and [GSO.Check]. The package
// does no I/O.
package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// ErrMalformed is wrapped by every error about the bytes of a packet. It is the fault of who sent it.
var ErrMalformed = errors.New("malformed IP packet")

func malformed(format string, args ...any) error {
	return fmt.Errorf("packet: %w: "+format, append([]any{ErrMalformed}, args...)...)
}

// Protocol numbers.
// https://www.iana.org/assignments/protocol-numbers
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// MaxLen is the longest IP packet, in bytes, without jumbograms.
const MaxLen = 65535

const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	udpHeader  = 8
)

// A Header is what Parse finds in the headers of a packet. Offsets are in bytes from the start of the packet.
type Header struct {
	Version   uint8 // 4 or 6
	Protocol  uint8 // of the transport, behind extension headers
	Plain     bool  // no IPv4 options, no IPv6 extension headers
	Fragment  bool  // a part of a packet: there is no transport to look at, or not all of it
	Transport int   // where the transport's header begins
	Payload   int   // where its payload begins; 0 unless it is TCP or UDP, and whole
}

// Parse looks at the headers of one IP packet, which fills p exactly: an error, which wraps ErrMalformed, says that it
// does not, or that it is none. A transport other than TCP and UDP is not looked at.
// https://www.rfc-editor.org/rfc/rfc791#section-3.1
// https://www.rfc-editor.org/rfc/rfc8200#section-3
func Parse(p []byte) (Header, error) {
	if len(p) < ipv4Header {
		return Header{}, malformed("%d bytes", len(p))
	}
	var h Header
	var err error
	switch p[0] >> 4 {
	case 4:
		h, err = parse4(p)
	case 6:
		h, err = parse6(p)
	default:
		return Header{}, malformed("version %d", p[0]>>4)
	}
	if err == nil && !h.Fragment {
		err = h.parseTransport(p)
	}
	return h, err
}

func parse4(p []byte) (Header, error) {
	const dontFragment, reserved = 0x40, 0x80
	h := Header{Version: 4, Protocol: p[9], Transport: int(p[0]&15) * 4}
	total := int(binary.BigEndian.Uint16(p[2:]))
	switch {
	case h.Transport < ipv4Header || h.Transport > len(p):
		return h, malformed("an IPv4 header of %d bytes in %d", h.Transport, len(p))
	case total != len(p):
		return h, malformed("%d bytes, its header says %d", len(p), total)
	}
	h.Plain = h.Transport == ipv4Header
	h.Fragment = p[6]&^(dontFragment|reserved)|p[7] != 0
	return h, nil
}

// maxExtensions is how many extension headers are looked at. Senders use one or two.
// https://www.rfc-editor.org/rfc/rfc8200#section-4
const maxExtensions = 8

func parse6(p []byte) (Header, error) {
	h := Header{Version: 6, Plain: true, Transport: ipv6Header}
	if len(p) < ipv6Header {
		return h, malformed("%d bytes of IPv6", len(p))
	}
	if total := ipv6Header + int(binary.BigEndian.Uint16(p[4:])); total != len(p) {
		return h, malformed("%d bytes, its header says %d", len(p), total)
	}
	h.Protocol = p[6]
	for range maxExtensions {
		n, ok := h.extension(p[h.Transport:])
		switch {
		case !ok:
			return h, nil
		case n == 0 || n > len(p)-h.Transport:
			return h, malformed("extension header %d does not fit", h.Protocol)
		}
		h.Plain = false
		h.Protocol, h.Transport = p[h.Transport], h.Transport+n
		if h.Fragment {
			return h, nil
		}
	}
	return h, malformed("more than %d extension headers", maxExtensions)
}

// extension returns the length of the extension header that p begins with, 0 if it is cut off; ok is false if the
// transport begins here.
func (h *Header) extension(p []byte) (n int, ok bool) {
	const hopByHop, routing, fragment, authentication, destination = 0, 43, 44, 51, 60
	switch h.Protocol {
	case hopByHop, routing, destination, authentication, fragment:
	default:
		return 0, false
	}
	if len(p) < 8 {
		return 0, true
	}
	switch h.Protocol {
	case fragment:
		h.Fragment = true // an atomic fragment, too: nobody sends them any more, and they are no reason to look inside
		return 8, true
	case authentication:
		return (int(p[1]) + 2) * 4, true
	}
	return (int(p[1]) + 1) * 8, true
}

func (h *Header) parseTransport(p []byte) error {
	rest := p[h.Transport:]
	switch h.Protocol {
	case TCP:
		if len(rest) < tcpHeader {
			return malformed("%d bytes of TCP", len(rest))
		}
		n := int(rest[12]>>4) * 4
		if n < tcpHeader || n > len(rest) {
			return malformed("a TCP header of %d bytes in %d", n, len(rest))
		}
		h.Payload = h.Transport + n
	case UDP:
		if len(rest) < udpHeader {
			return malformed("%d bytes of UDP", len(rest))
		}
		if n := int(binary.BigEndian.Uint16(rest[4:])); n != len(rest) {
			return malformed("%d bytes of UDP, its header says %d", len(rest), n)
		}
		h.Payload = h.Transport + udpHeader
	}
	return nil
}

// Source returns the address that a packet, which Parse has accepted, claims to come from.
func Source(p []byte) netip.Addr { return addressAt(p, 12, 8) }

// Destination returns the address that a packet, which Parse has accepted, is for.
func Destination(p []byte) netip.Addr { return addressAt(p, 16, 24) }

func addressAt(p []byte, at4, at6 int) netip.Addr {
	if p[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(p[at4:]))
	}
	return netip.AddrFrom16([16]byte(p[at6:]))
}
