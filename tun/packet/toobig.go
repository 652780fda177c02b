package packet

import (
	"encoding/binary"
	"net/netip"
)

// AppendTooBig appends to dst the ICMP message that tells the sender of p that it is longer than mtu: "fragmentation
// needed" of IPv4, "packet too big" of IPv6, from the address from. It appends nothing where there must be no such
// message: for IPv4 packets that may be fragmented, for ICMP errors, later fragments, and packets from or to groups.
//
// How many of them are sent is for the caller to bound.
// https://www.rfc-editor.org/rfc/rfc1191#section-4
// https://www.rfc-editor.org/rfc/rfc4443#section-3.2
func AppendTooBig(dst, p []byte, h *Header, from netip.Addr, mtu int) []byte {
	src, to := Source(p), Destination(p)
	if !answerable(src) || to.IsMulticast() || src.Is4() != from.Is4() || isICMPError(p, h) {
		return dst
	}
	if h.Version == 4 {
		return appendTooBig4(dst, p, from, src, mtu)
	}
	return appendTooBig6(dst, p, from, src, mtu)
}

func answerable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// isICMPError reports whether an error about p is forbidden because p is one, or may be a part of one.
func isICMPError(p []byte, h *Header) bool {
	if h.Fragment && (h.Version == 4 && binary.BigEndian.Uint16(p[6:])&0x1fff != 0) {
		return true
	}
	if h.Transport >= len(p) {
		return false
	}
	kind := p[h.Transport]
	switch h.Protocol {
	case ICMP:
		const echoReply, echo, timestamp, timestampReply = 0, 8, 13, 14
		return kind != echoReply && kind != echo && kind != timestamp && kind != timestampReply
	case ICMPv6:
		return kind < 128
	}
	return false
}

const icmpHeader = 8

func appendTooBig4(dst, p []byte, from, to netip.Addr, mtu int) []byte {
	const dontFragment, unreachable, needed, quoted, ttl = 0x40, 3, 4, 548, 64
	if p[6]&dontFragment == 0 {
		return dst
	}
	quote := p[:min(len(p), quoted)]
	start := len(dst)
	dst = append(dst, 0x45, 0, 0, 0, 0, 0, dontFragment, 0, ttl, ICMP, 0, 0)
	dst = append(append(dst, from.AsSlice()...), to.AsSlice()...)
	dst = append(dst, unreachable, needed, 0, 0, 0, 0, byte(mtu>>8), byte(mtu))
	dst = append(dst, quote...)
	q := dst[start:]
	binary.BigEndian.PutUint16(q[2:], uint16(len(q)))
	putHeaderChecksum(q[:ipv4Header])
	binary.NativeEndian.PutUint16(q[ipv4Header+2:], ^fold(sum(q[ipv4Header:], 0)))
	return dst
}

func appendTooBig6(dst, p []byte, from, to netip.Addr, mtu int) []byte {
	const tooBig, least, hops = 2, 1280, 64
	quote := p[:min(len(p), least-ipv6Header-icmpHeader)]
	length := icmpHeader + len(quote)
	start := len(dst)
	dst = append(dst, 0x60, 0, 0, 0, byte(length>>8), byte(length), ICMPv6, hops)
	dst = append(append(dst, from.AsSlice()...), to.AsSlice()...)
	dst = append(dst, tooBig, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(mtu))
	dst = append(dst, quote...)
	q := dst[start:]
	c := ^fold(sum(q[ipv6Header:], pseudo(q, 6, ICMPv6, length)))
	binary.NativeEndian.PutUint16(q[ipv6Header+2:], c)
	return dst
}
