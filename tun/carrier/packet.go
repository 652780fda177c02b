package carrier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/encase-tls/encase/tun/packet"
)

// Protocol is the number of the protocol that frames travel as: one of the two for experiments.
// https://www.rfc-editor.org/rfc/rfc3692#section-2.1
const Protocol = 253

const (
	header4 = 20
	header6 = 40

	// hopLimit is how many routers a frame may pass. https://www.iana.org/assignments/ip-parameters
	hopLimit = 64

	dontFragment = 0x40
)

// Why a packet is no frame.
var (
	errNoIP     = errors.New("carrier: no IP packet")
	errChecksum = errors.New("carrier: the checksum of the IPv4 header is wrong")
	errFragment = errors.New("carrier: a fragment")
	errOther    = errors.New("carrier: a packet of another protocol")
	errSource   = errors.New("carrier: the source is no address of one host")
)

// headerLen returns how many bytes of a packet to an address are not the frame.
func headerLen(a netip.Addr) int {
	if a.Is4() {
		return header4
	}
	return header6
}

// putHeader writes the IP header of a packet whose frame has n bytes; both addresses are of one family.
//
// Fragments are forbidden, so no two packets are told apart by their identification, and it is 0.
// https://www.rfc-editor.org/rfc/rfc6864#section-4.1
func putHeader(p []byte, from, to netip.Addr, n int) {
	if from.Is4() {
		src, dst := from.As4(), to.As4()
		clear(p[:header4])
		p[0] = 4<<4 | header4/4
		binary.BigEndian.PutUint16(p[2:], uint16(header4+n))
		p[6], p[8], p[9] = dontFragment, hopLimit, Protocol
		copy(p[12:], src[:])
		copy(p[16:], dst[:])
		binary.BigEndian.PutUint16(p[10:], ^sum(p[:header4], 0))
		return
	}
	src, dst := from.As16(), to.As16()
	clear(p[:8])
	p[0] = 6 << 4
	binary.BigEndian.PutUint16(p[4:], uint16(n))
	p[6], p[7] = Protocol, hopLimit
	copy(p[8:], src[:])
	copy(p[24:], dst[:])
}

// A received is a packet that holds a frame.
type received struct {
	from, to netip.Addr
	frame    []byte // a part of the packet
}

// parse looks at a packet, of which nothing is believed: it may be of anybody. The error is one of those above; for
// errOther, the packet is a whole one and h what is in it.
func parse(p []byte) (r received, h packet.Header, err error) {
	if h, err = packet.Parse(p); err != nil {
		return r, h, errNoIP
	}
	if h.Version == 4 && sum(p[:int(p[0]&15)*4], 0) != 0xffff {
		return r, h, errChecksum
	}
	r.from, r.to = packet.Source(p), packet.Destination(p)
	switch {
	case h.Fragment:
		return r, h, errFragment
	case h.Protocol != Protocol:
		return r, h, errOther
	case !isHost(r.from):
		return r, h, errSource
	}
	r.frame = p[h.Transport:len(p):len(p)]
	return r, h, nil
}

// isHost reports whether an address can be that of one host somewhere in a network.
func isHost(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.Is4In6() || a.Zone() != "" { // link-local, loopback, multicast, none, broadcast
		return false
	}
	if a.Is6() {
		return true
	}
	const loopback, experimental = 127, 240 // to 255
	first := a.As4()[0]
	return first != 0 && first != loopback && first < experimental
}

// CheckAddress says what is wrong with an address for one end.
func CheckAddress(a netip.Addr) error {
	if !isHost(a) {
		return fmt.Errorf("carrier: %v is no address that packets are routed to; choose one such as 198.18.0.2", a)
	}
	return nil
}

// sum returns the sum of 16-bit words in ones' complement, to which initial is added; an odd byte is the upper half of
// a word. https://www.rfc-editor.org/rfc/rfc1071
func sum(p []byte, initial uint32) uint16 {
	s := uint64(initial)
	for ; len(p) >= 4; p = p[4:] {
		s += uint64(binary.BigEndian.Uint32(p))
	}
	if len(p) >= 2 {
		s += uint64(binary.BigEndian.Uint16(p))
		p = p[2:]
	}
	if len(p) == 1 {
		s += uint64(p[0]) << 8
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
