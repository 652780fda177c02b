package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// A spec describes a packet of these tests.
type spec struct {
	v6      bool
	udp     bool
	options int // of TCP, in bytes
	payload int
	seq     uint32
	id      uint16
	flags   byte
	tos     byte
	mayFrag bool
	port    uint16
}

// build makes a packet with right checksums.
func build(s spec) []byte {
	proto, transport := byte(TCP), make([]byte, tcpHeader+s.options, tcpHeader+s.options+s.payload)
	port := max(s.port, 1000)
	if s.udp {
		proto, transport = UDP, make([]byte, udpHeader, udpHeader+s.payload)
		binary.BigEndian.PutUint16(transport[4:], uint16(udpHeader+s.payload))
	} else {
		binary.BigEndian.PutUint32(transport[4:], s.seq)
		binary.BigEndian.PutUint32(transport[8:], 77)
		transport[12] = byte(len(transport)/4) << 4
		transport[13] = s.flags | tcpACK
		binary.BigEndian.PutUint16(transport[14:], 500)
		for i := range s.options {
			transport[tcpHeader+i] = 1
		}
	}
	binary.BigEndian.PutUint16(transport, port)
	binary.BigEndian.PutUint16(transport[2:], 443)
	for i := range s.payload {
		transport = append(transport, byte(int(s.seq)+i))
	}
	p := ipHeader(s, proto, len(transport))
	p = append(p, transport...)
	h, err := Parse(p)
	if err != nil {
		panic(err)
	}
	putChecksum(p, &h)
	return p
}

func ipHeader(s spec, proto byte, length int) []byte {
	if s.v6 {
		p := []byte{0x60 | s.tos>>4, s.tos << 4, 0, 9, byte(length >> 8), byte(length), proto, 64}
		src, dst := netip.MustParseAddr("fd66::1").As16(), netip.MustParseAddr("fd66::2").As16()
		return append(append(p, src[:]...), dst[:]...)
	}
	total := ipv4Header + length
	df := byte(0x40)
	if s.mayFrag {
		df = 0
	}
	p := []byte{0x45, s.tos, byte(total >> 8), byte(total), byte(s.id >> 8), byte(s.id), df, 0, 64, proto, 0, 0,
		10, 0, 0, 1, 10, 0, 0, 2}
	putHeaderChecksum(p)
	return p
}

// super makes a super-packet as a kernel does: its checksum is that of the pseudo header.
func super(s spec, size int) ([]byte, GSO) {
	p := build(s)
	h := mustParse(p)
	putPartial(p, &h)
	return p, GSO{Kind: kindOf(&h), Partial: true, Size: uint16(size)}
}

func mustParse(p []byte) Header {
	h, err := Parse(p)
	if err != nil {
		panic(fmt.Sprintf("%v: % x", err, p[:min(len(p), 64)]))
	}
	return h
}

// cut returns copies of all packets that a super-packet stands for.
func cut(p []byte, g GSO, partial bool) (out [][]byte) {
	var s Segmenter
	s.Reset(bytes.Clone(p), mustParse(p), g, partial)
	for q, _ := s.Next(); q != nil; q, _ = s.Next() {
		out = append(out, bytes.Clone(q))
	}
	return out
}

// join returns what a Coalescer makes of packets, each in one piece.
func join(c *Coalescer, packets [][]byte, partial bool) (out [][]byte, gso []GSO) {
	for _, p := range packets {
		p = bytes.Clone(p)
		c.Add(p, mustParse(p), partial)
	}
	c.Flush(func(s *Super) error {
		out = append(out, bytes.Join(append([][]byte{s.First}, s.Rest...), nil))
		gso = append(gso, s.GSO)
		return nil
	})
	return out, gso
}

func random(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// plainSum is the checksum as RFC 1071 writes it.
func plainSum(p []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(p); i += 2 {
		s += uint32(p[i])<<8 | uint32(p[i+1])
	}
	if len(p)%2 == 1 {
		s += uint32(p[len(p)-1]) << 8
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
