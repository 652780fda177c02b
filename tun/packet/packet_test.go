package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestChecksumIsThatOfRFC1071(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		p := random(r, n)
		if n%7 == 0 {
			for i := range p {
				p[i] = 0xff
			}
		}
		var folded [2]byte
		binary.NativeEndian.PutUint16(folded[:], fold(sum(p, 0)))
		got, want := binary.BigEndian.Uint16(folded[:]), plainSum(p)
		if got != want && got^want != 0xffff { // both forms of zero
			t.Fatalf("%d bytes: %#x, want %#x", n, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	tcp4, udp6 := build(spec{payload: 100}), build(spec{v6: true, udp: true, payload: 9})
	edit := func(p []byte, edits ...int) []byte {
		p = bytes.Clone(p)
		for i := 0; i < len(edits); i += 2 {
			p[edits[i]] = byte(edits[i+1])
		}
		return p
	}
	hopByHop := bytes.Clone(udp6)
	hopByHop = append(hopByHop[:40:40], append([]byte{UDP, 0, 0, 0, 0, 0, 0, 0}, udp6[40:]...)...)
	hopByHop[6], hopByHop[5] = 0, hopByHop[5]+8
	longOptions := edit(hopByHop, 41, 255)
	fragment6 := edit(hopByHop, 6, 44)
	for _, c := range []struct {
		name string
		p    []byte
		want Header // if it is accepted
		ok   bool
	}{
		{"tcp4", tcp4, Header{4, TCP, true, false, 20, 40}, true},
		{"udp6", udp6, Header{6, UDP, true, false, 40, 48}, true},
		{"hop by hop", hopByHop, Header{6, UDP, false, false, 48, 56}, true},
		{"icmp", edit(tcp4, 9, ICMP), Header{4, ICMP, true, false, 20, 0}, true},
		{"unknown transport is not taken for TCP", edit(udp6, 6, 253), Header{6, 253, true, false, 40, 0}, true},
		{"a fragment has no transport", edit(tcp4, 6, 0x20), Header{4, TCP, true, true, 20, 0}, true},
		{"a later fragment", edit(tcp4, 7, 1), Header{4, TCP, true, true, 20, 0}, true},
		{"a fragment of IPv6", fragment6, Header{6, UDP, false, true, 48, 0}, true},
		{"empty", nil, Header{}, false},
		{"version 5", edit(tcp4, 0, 0x55), Header{}, false},
		{"IHL 4", edit(tcp4, 0, 0x44), Header{}, false},
		{"IHL behind the end", edit(tcp4[:24], 0, 0x47, 3, 24, 2, 0), Header{}, false},
		{"one byte less", tcp4[:len(tcp4)-1], Header{}, false},
		{"one byte more", append(bytes.Clone(udp6), 0), Header{}, false},
		{"TCP header too short", edit(tcp4, 32, 0x40), Header{}, false},
		{"TCP header behind the end", edit(build(spec{}), 32, 0xf0), Header{}, false},
		{"UDP length", edit(udp6, 45, 1), Header{}, false},
		{"extension header behind the end", longOptions, Header{}, false},
		{"extension header cut off", edit(udp6[:44], 5, 4, 6, 0), Header{}, false},
	} {
		h, err := Parse(c.p)
		if c.ok != (err == nil) || c.ok && h != c.want || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", c.name, h, err)
		}
	}
	chain := bytes.Clone(udp6[:40])
	chain[6] = 0
	for range 9 {
		chain = append(chain, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	binary.BigEndian.PutUint16(chain[4:], uint16(len(chain)-40))
	if _, err := Parse(chain); !errors.Is(err, ErrMalformed) {
		t.Errorf("nine extension headers: %v", err)
	}
}

func TestGSOCheck(t *testing.T) {
	tcp4, tcp6 := build(spec{payload: 5000}), build(spec{v6: true, payload: 5000})
	udp4 := build(spec{udp: true, payload: 5000})
	icmp := bytes.Clone(tcp4)
	icmp[9] = ICMP
	for _, c := range []struct {
		name string
		p    []byte
		g    GSO
		ok   bool
	}{
		{"nothing", tcp4, GSO{}, true},
		{"partial", udp4, GSO{Partial: true}, true},
		{"partial of ICMP", icmp, GSO{Partial: true}, false},
		{"size without a kind", tcp4, GSO{Size: 5}, false},
		{"TCP4", tcp4, GSO{Kind: TCP4, Partial: true, Size: 1000, ECN: true}, true},
		{"TCP6", tcp6, GSO{Kind: TCP6, Partial: true, Size: 5}, true},
		{"too many segments", tcp6, GSO{Kind: TCP6, Partial: true, Size: 4}, false},
		{"UDP4", udp4, GSO{Kind: UDP4, Partial: true, Size: 79}, true},
		{"UDP4 of too many datagrams", udp4, GSO{Kind: UDP4, Partial: true, Size: 78}, false},
		{"UDP with ECN", udp4, GSO{Kind: UDP4, Partial: true, Size: 1000, ECN: true}, false},
		{"TCP6 over IPv4", tcp4, GSO{Kind: TCP6, Partial: true, Size: 1000}, false},
		{"TCP4 of UDP", udp4, GSO{Kind: TCP4, Partial: true, Size: 1000}, false},
		{"no checksum to compute", tcp4, GSO{Kind: TCP4, Size: 1000}, false},
		{"size 0", tcp4, GSO{Kind: TCP4, Partial: true}, false},
		{"size 65535", tcp4, GSO{Kind: TCP4, Partial: true, Size: 0xffff}, false},
		{"unknown kind", tcp4, GSO{Kind: 9, Partial: true, Size: 10}, false},
	} {
		h := mustParse(c.p)
		if err := c.g.Check(c.p, &h); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestClampMSS(t *testing.T) {
	syn := func(v6 bool, options ...byte) []byte {
		p := build(spec{v6: v6, flags: tcpSYN, options: len(options)})
		h := mustParse(p)
		copy(p[h.Transport+tcpHeader:], options)
		putChecksum(p, &h)
		return p
	}
	mss := []byte{1, 1, 2, 4, 0x23, 0x28, 0, 0} // 9000
	for _, c := range []struct {
		name    string
		p       []byte
		clamped bool
		want    int
	}{
		{"IPv4", syn(false, mss...), true, 1400 - 40},
		{"IPv6", syn(true, mss...), true, 1400 - 60},
		{"small enough", syn(false, 2, 4, 4, 0), false, 1024},
		{"no SYN", build(spec{options: 8}), false, -1},
		{"no option", syn(false, 1, 1, 1, 0), false, -1},
		{"an option of length 0", syn(false, 5, 0, 2, 4), false, -1},
		{"an option behind the end", syn(false, 1, 1, 2, 9), false, -1},
	} {
		h := mustParse(c.p)
		if got := ClampMSS(c.p, &h, 1400, false); got != c.clamped || !checksumHolds(c.p, &h) {
			t.Errorf("%s: %v, checksum %v", c.name, got, checksumHolds(c.p, &h))
		}
		if c.want > 0 {
			at := findMSS(c.p[h.Transport+tcpHeader : h.Payload])
			expect(t, c.name, binary.BigEndian.Uint16(c.p[h.Transport+tcpHeader+at:]), c.want)
		}
	}
	wrong := syn(false, mss...)
	wrong[36] ^= 1
	h := mustParse(wrong)
	if ClampMSS(wrong, &h, 1400, false); checksumHolds(wrong, &h) {
		t.Error("a wrong checksum was mended")
	}
}

func TestTooBig(t *testing.T) {
	from4, from6 := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd66::9")
	for _, c := range []struct {
		name string
		p    []byte
		from netip.Addr
		want int // length; 0: none
	}{
		{"IPv4", build(spec{payload: 1500}), from4, 20 + 8 + 548},
		{"IPv6", build(spec{v6: true, payload: 1500}), from6, 1280},
		{"short IPv4", build(spec{udp: true, payload: 10}), from4, 20 + 8 + 38},
		{"may be fragmented", build(spec{payload: 1500, mayFrag: true}), from4, 0},
		{"an ICMP error", icmpPacket(3), from4, 0},
		{"an echo", icmpPacket(8), from4, 20 + 8 + 28},
	} {
		h := mustParse(c.p)
		q := AppendTooBig(nil, c.p, &h, c.from, 1300)
		if len(q) != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, len(q), c.want)
		}
		if len(q) == 0 {
			continue
		}
		g, err := Parse(q)
		if err != nil || Source(q) != c.from || Destination(q) != Source(c.p) {
			t.Errorf("%s: %v, from %v to %v", c.name, err, Source(q), Destination(q))
		}
		s := uint64(0)
		if g.Version == 6 {
			s = pseudo(q, 6, ICMPv6, len(q)-40)
		} else if fold(sum(q[:20], 0)) != 0xffff {
			t.Errorf("%s: wrong header checksum", c.name)
		}
		if fold(sum(q[g.Transport:], s)) != 0xffff || binary.BigEndian.Uint16(q[g.Transport+6:]) != 1300 {
			t.Errorf("%s: wrong checksum or MTU: % x", c.name, q[g.Transport:g.Transport+8])
		}
	}
}

func icmpPacket(kind byte) []byte {
	p := ipHeader(spec{}, ICMP, 8)
	return append(p, kind, 0, 0, 0, 0, 0, 0, 0)
}
