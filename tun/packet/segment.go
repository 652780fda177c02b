package packet

import "encoding/binary"

// A Segmenter cuts super-packets into packets, in place and one at a time: the headers of each are written in front of
// its payload, over the payload of the one before. So nothing is copied but headers, and a packet is valid until the
// next is asked for: whoever seals it has made its copy by then. The zero value is ready for Reset.
type Segmenter struct {
	p        []byte
	h        Header
	g        GSO
	partial  bool
	next     int // where the payload of the next packet begins
	index    int
	segments int
	header   [maxHeader]byte // as it was
}

// maxHeader is how long the headers of a packet may be that is cut: those of IPv4 and TCP with all options are shorter,
// and so are those of IPv6 with the extension headers that anybody uses.
const maxHeader = 256

// Reset takes a packet that Parse and CheckCut have accepted. With partial the packets are left without their transport's
// checksums, as GSO.Partial says: for a peer who is told so, and whose device computes them if anybody must.
func (s *Segmenter) Reset(p []byte, h Header, g GSO, partial bool) {
	s.p, s.h, s.g, s.partial = p, h, g, partial
	s.next, s.index, s.segments = h.Payload, 0, g.Segments(p, &h)
	if s.segments > 1 {
		copy(s.header[:], p[:h.Payload])
	}
}

// Next returns the next packet, and whether its checksum is partial; nil when there is none left.
func (s *Segmenter) Next() (packet []byte, partial bool) {
	switch {
	case s.index == s.segments:
		return nil, false
	case s.segments == 1:
		s.index++
		if s.g.Partial && !s.partial {
			putChecksum(s.p, &s.h)
		}
		return s.p, s.g.Partial && s.partial
	}
	return s.cut(), s.partial
}

// cut makes a packet of the next payload.
func (s *Segmenter) cut() []byte {
	size := int(s.g.Size)
	first, last := s.index == 0, s.index == s.segments-1
	start, end := s.next-s.h.Payload, s.next+size
	if last {
		end = len(s.p)
	}
	q := s.p[start:end:end]
	if !first {
		copy(q, s.header[:s.h.Payload])
	}
	s.fixIP(q)
	if s.h.Protocol == TCP {
		s.fixTCP(q[s.h.Transport:], first, last)
	} else {
		binary.BigEndian.PutUint16(q[s.h.Transport+4:], uint16(len(q)-s.h.Transport))
	}
	if s.partial {
		putPartial(q, &s.h)
	} else {
		putChecksum(q, &s.h)
	}
	s.next, s.index = end, s.index+1
	return q
}

func (s *Segmenter) fixIP(q []byte) {
	if s.h.Version == 6 {
		binary.BigEndian.PutUint16(q[4:], uint16(len(q)-ipv6Header))
		return
	}
	binary.BigEndian.PutUint16(q[2:], uint16(len(q)))
	id := binary.BigEndian.Uint16(s.header[4:]) + uint16(s.index)
	binary.BigEndian.PutUint16(q[4:], id)
	putHeaderChecksum(q[:s.h.Transport])
}

const (
	tcpFIN = 1 << iota
	tcpSYN
	tcpRST
	tcpPSH
	tcpACK
	tcpURG
	tcpECE
	tcpCWR
)

func (s *Segmenter) fixTCP(tcp []byte, first, last bool) {
	seq := binary.BigEndian.Uint32(s.header[s.h.Transport+4:]) + uint32(s.index)*uint32(s.g.Size)
	binary.BigEndian.PutUint32(tcp[4:], seq)
	if !last {
		tcp[13] &^= tcpFIN | tcpPSH
	}
	if !first {
		tcp[13] &^= tcpCWR
	}
}
