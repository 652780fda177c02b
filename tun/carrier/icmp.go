package carrier

import (
	"encoding/binary"
	"net/netip"

	"github.com/encase-tls/encase/tun/packet"
)

// A report is what ICMP says about a packet of this end. Anybody may have sent it: all that it can do is to make what
// is sent to one peer shorter, for a while, and not shorter than every path of today carries.
type report struct {
	from, to netip.Addr // of the packet that it is about
	mtu      int        // longest packet that the path carries, in bytes; 0: it is about something else
}

const (
	icmpHeader = 8

	// https://www.rfc-editor.org/rfc/rfc792
	unreachable4     = 3
	codeFragNeeded   = 4
	timeExceeded4    = 11
	parameterFailed4 = 12

	// https://www.rfc-editor.org/rfc/rfc4443#section-3
	unreachable6     = 1
	tooBig6          = 2
	timeExceeded6    = 3
	parameterFailed6 = 4
)

// parseICMP looks at a whole packet of another protocol, of which parse has found h. ok is false unless it reports what
// has become of a packet of this protocol.
func parseICMP(p []byte, h *packet.Header) (r report, ok bool) {
	m := p[h.Transport:]
	if len(m) < icmpHeader {
		return r, false
	}
	word := int(binary.BigEndian.Uint16(m[6:])) // of the second half of the header, which holds an MTU in both versions
	switch {
	case h.Version == 4 && h.Protocol == packet.ICMP && sum(m, 0) == 0xffff:
		if m[0] != unreachable4 && m[0] != timeExceeded4 && m[0] != parameterFailed4 {
			return r, false
		}
		if m[0] == unreachable4 && m[1] == codeFragNeeded {
			r.mtu = max(word, least4)
		}
		return r, r.quoted4(m[icmpHeader:])
	case h.Version == 6 && h.Protocol == packet.ICMPv6 && sum(m, pseudo6(p, len(m))) == 0xffff:
		if m[0] < unreachable6 || m[0] > parameterFailed6 {
			return r, false
		}
		if m[0] == tooBig6 {
			r.mtu = max(int(binary.BigEndian.Uint32(m[4:])), least6)
		}
		return r, r.quoted6(m[icmpHeader:])
	}
	return r, false
}

// pseudo6 returns the sum of what ICMPv6 checksums besides its message.
// https://www.rfc-editor.org/rfc/rfc8200#section-8.1
func pseudo6(p []byte, length int) uint32 {
	return uint32(sum(p[8:header6], 0)) + uint32(length) + packet.ICMPv6
}

// quoted4 reads the beginning of the packet that a report is about, as this end sends it: without options.
func (r *report) quoted4(p []byte) bool {
	if len(p) < header4 || p[0] != 4<<4|header4/4 || p[9] != Protocol {
		return false
	}
	r.from, r.to = netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:]))
	return true
}

func (r *report) quoted6(p []byte) bool {
	if len(p) < header6 || p[0]>>4 != 6 || p[6] != Protocol {
		return false
	}
	r.from, r.to = netip.AddrFrom16([16]byte(p[8:])), netip.AddrFrom16([16]byte(p[24:]))
	return true
}
