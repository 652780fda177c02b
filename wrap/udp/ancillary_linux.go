package udp

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ancillary is the room for what goes along with a datagram. That it consists of words aligns it.
//
// Read: two kinds of ECN and packet information (of an IPv6 socket with IPv4 peers), the segment and the drops.
type ancillary [24]uint64

func (a *ancillary) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(a)), unsafe.Sizeof(*a))
}

// A kind says what a message is about: its level and its type.
type kind uint64

const (
	packetInfo4 kind = unix.SOL_IP<<16 | unix.IP_PKTINFO
	packetInfo6 kind = unix.SOL_IPV6<<16 | unix.IPV6_PKTINFO
	tos4        kind = unix.SOL_IP<<16 | unix.IP_TOS
	tos6        kind = unix.SOL_IPV6<<16 | unix.IPV6_TCLASS
	cut         kind = unix.SOL_UDP<<16 | unix.UDP_SEGMENT
	joined      kind = unix.SOL_UDP<<16 | unix.UDP_GRO
	drops       kind = unix.SOL_SOCKET<<16 | unix.SO_RXQ_OVFL
)

// fill reads what came with p and returns the kernel's count of drops, if that is among it.
func (a *ancillary) fill(n int, p *Packet, z *zones) (dropped uint32, told bool) {
	for b := a.bytes()[:n]; len(b) >= unix.SizeofCmsghdr; {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		length := int(h.Len)
		if length < unix.CmsgLen(0) || length > len(b) {
			break
		}
		data := b[unix.CmsgLen(0):length]
		switch kind(h.Level)<<16 | kind(h.Type) {
		case packetInfo4:
			if info := as[unix.Inet4Pktinfo](data); info != nil {
				p.Local = netip.AddrFrom4(info.Spec_dst)
			}
		case packetInfo6:
			if info := as[unix.Inet6Pktinfo](data); info != nil {
				p.Local = asked(z.join(netip.AddrFrom16(info.Addr), info.Ifindex))
			}
		case tos4, tos6: // one byte, or an int
			p.ECN = lowBits(data)
		case joined:
			if size := as[int32](data); size != nil {
				p.Segment = int(*size)
			}
		case drops:
			if count := as[uint32](data); count != nil {
				dropped, told = *count, true
			}
		}
		b = b[min(unix.CmsgSpace(len(data)), len(b)):]
	}
	return dropped, told
}

// asked returns a if one can answer from it.
func asked(a netip.Addr) netip.Addr {
	if a.IsMulticast() {
		return netip.Addr{}
	}
	return a
}

func lowBits(data []byte) uint8 {
	if n := as[int32](data); n != nil {
		return uint8(*n) & 3
	}
	if len(data) > 0 {
		return data[0] & 3
	}
	return 0
}

// as returns data as a T, nil if there is too little.
func as[T any](data []byte) *T {
	if len(data) < int(unsafe.Sizeof(*new(T))) {
		return nil
	}
	return (*T)(unsafe.Pointer(&data[0]))
}

// An ancillaryWriter appends messages to what goes along with a datagram.
type ancillaryWriter struct {
	room []byte
	n    int
}

// source says which address to send from.
func (w *ancillaryWriter) source(local netip.Addr, z *zones) {
	if local.Is4() {
		*put[unix.Inet4Pktinfo](w, packetInfo4) = unix.Inet4Pktinfo{Spec_dst: local.As4()}
		return
	}
	*put[unix.Inet6Pktinfo](w, packetInfo6) = unix.Inet6Pktinfo{Addr: local.As16(), Ifindex: z.index(local.Zone())}
}

// ecn sets the two bits of a datagram to an IPv4 address, four, or an IPv6 address.
func (w *ancillaryWriter) ecn(bits uint8, four bool) {
	k := tos6
	if four {
		k = tos4
	}
	*put[int32](w, k) = int32(bits & 3)
}

// segment tells the kernel to cut. size is at most MaxDatagram.
func (w *ancillaryWriter) segment(size int) {
	*put[uint16](w, cut) = uint16(size)
}

// put appends a message and returns its data. All that this file writes has room in an ancillary.
func put[T any](w *ancillaryWriter, k kind) *T {
	size := int(unsafe.Sizeof(*new(T)))
	b := w.room[w.n : w.n+unix.CmsgSpace(size)]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = int32(k>>16), int32(k&0xffff)
	h.SetLen(unix.CmsgLen(size))
	w.n += len(b)
	return (*T)(unsafe.Pointer(&b[unix.CmsgLen(0)]))
}
