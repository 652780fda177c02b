package packet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// What is cut has right checksums and lengths, and the payload in order, whatever the sizes.
func TestCutting(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, udp := range []bool{false, true} {
			for _, size := range []int{1, 7, 500, 1348, 1360} {
				for _, n := range []int{1, 6, 7, 8, 1360, 1361, 4000, 60000} {
					if udp && (n+size-1)/size > MaxUDPSegments || (n+size-1)/size > 5000 {
						continue
					}
					s := spec{v6: v6, udp: udp, payload: n, seq: 1<<32 - 1000, id: 65530, flags: tcpFIN | tcpPSH | tcpCWR}
					p, g := super(s, size)
					checkCut(t, p, cut(p, g, false), size, v6, udp)
				}
			}
		}
	}
}

func checkCut(t *testing.T, p []byte, packets [][]byte, size int, v6, udp bool) {
	t.Helper()
	h := mustParse(p)
	var payload []byte
	for i, q := range packets {
		g := mustParse(q)
		last := i == len(packets)-1
		switch {
		case !checksumHolds(q, &g):
			t.Fatalf("packet %d of %d: wrong checksum", i, len(packets))
		case !v6 && fold(sum(q[:20], 0)) != 0xffff:
			t.Fatalf("packet %d: wrong header checksum", i)
		case !v6 && binary.BigEndian.Uint16(q[4:]) != binary.BigEndian.Uint16(p[4:])+uint16(i):
			t.Fatalf("packet %d: wrong IPv4 ID", i)
		case !last && len(q)-g.Payload != size, last && len(q)-g.Payload > size:
			t.Fatalf("packet %d: %d bytes of payload", i, len(q)-g.Payload)
		}
		if !udp {
			seq := binary.BigEndian.Uint32(q[g.Transport+4:]) - binary.BigEndian.Uint32(p[h.Transport+4:])
			flags := q[g.Transport+13]
			if int(seq) != len(payload) || (flags&(tcpFIN|tcpPSH) != 0) != last || (flags&tcpCWR != 0) != (i == 0) {
				t.Fatalf("packet %d of %d: sequence +%d for %d, flags %#x", i, len(packets), seq, len(payload), flags)
			}
		}
		payload = append(payload, q[g.Payload:]...)
	}
	if !bytes.Equal(payload, p[h.Payload:]) {
		t.Fatal("the payload is another one")
	}
}

// What was cut is joined to what it was, with checksums or without.
func TestJoiningUndoesCutting(t *testing.T) {
	for _, partial := range []bool{false, true} {
		for _, s := range []spec{
			{payload: 64000, seq: 1<<32 - 5, id: 65500},
			{payload: 64000, mayFrag: true, options: 12, flags: tcpPSH},
			{v6: true, payload: 30001, options: 4},
			{udp: true, payload: 60000}, {udp: true, v6: true, payload: 1361},
		} {
			p, g := super(s, 1360)
			var c Coalescer
			for range 2 { // also when its arrays are used again
				got, gso := join(&c, cut(p, g, partial), partial)
				if len(got) != 1 || gso[0] != g || !bytes.Equal(got[0], p) {
					t.Errorf("%+v, partial %v: %d packets, %+v; want one, %+v", s, partial, len(got), gso, g)
				}
			}
		}
	}
}

// A second packet is joined to the first only where the kernel could cut them into the same again.
func TestWhatIsNotJoined(t *testing.T) {
	tcp := func(change func(*spec)) []byte {
		s := spec{payload: 100, seq: 200, id: 2, mayFrag: true}
		change(&s)
		return build(s)
	}
	udp := func(n int) []byte { return build(spec{udp: true, payload: n}) }
	first := build(spec{payload: 100, seq: 100, id: 1, mayFrag: true})
	badSum := tcp(func(*spec) {})
	badSum[len(badSum)-1] ^= 1
	noSum := udp(100)
	noSum[26], noSum[27] = 0, 0
	window := tcp(func(*spec) {})
	window[35]++
	h := mustParse(window)
	putChecksum(window, &h)
	for _, c := range []struct {
		name          string
		first, second []byte
		want          int
	}{
		{"the next", first, tcp(func(*spec) {}), 1},
		{"the last, shorter", first, tcp(func(s *spec) { s.payload = 1; s.flags = tcpPSH }), 1},
		{"longer", first, tcp(func(s *spec) { s.payload = 101 }), 2},
		{"a gap", first, tcp(func(s *spec) { s.seq++ }), 2},
		{"the same again", first, first, 2},
		{"no payload", first, tcp(func(s *spec) { s.payload = 0 }), 2},
		{"FIN", first, tcp(func(s *spec) { s.flags = tcpFIN }), 2},
		{"RST", first, tcp(func(s *spec) { s.flags = tcpRST }), 2},
		{"CWR", first, tcp(func(s *spec) { s.flags = tcpCWR }), 2},
		{"congestion experienced", first, tcp(func(s *spec) { s.tos = 3 }), 2},
		{"the ID of another packet", first, tcp(func(s *spec) { s.id = 9 }), 2},
		{"options", first, tcp(func(s *spec) { s.options = 4 }), 2},
		{"another flow", first, tcp(func(s *spec) { s.port = 2000 }), 2},
		{"another window", first, window, 2},
		{"a wrong checksum", first, badSum, 2},
		{"behind PSH", build(spec{payload: 100, seq: 100, id: 1, mayFrag: true, flags: tcpPSH}), tcp(func(*spec) {}), 2},
		{"datagrams", udp(100), udp(100), 1},
		{"empty datagrams", udp(0), udp(0), 2},
		{"a datagram behind a shorter one", udp(99), udp(100), 2},
		{"a datagram without checksum", udp(100), noSum, 2},
	} {
		var co Coalescer
		got, _ := join(&co, [][]byte{c.first, c.second}, false)
		if len(got) != c.want {
			t.Errorf("%s: %d packets, want %d", c.name, len(got), c.want)
		}
		if c.want == 2 && (!bytes.Equal(got[0], c.first) || !bytes.Equal(got[1], c.second)) {
			t.Errorf("%s: what is not joined has changed", c.name)
		}
	}
	var off Coalescer
	off.NoTCP, off.NoUDP = true, true
	if got, _ := join(&off, [][]byte{first, tcp(func(*spec) {}), udp(100), udp(100)}, false); len(got) != 4 {
		t.Errorf("switched off, it joins %d packets into %d", 4, len(got))
	}
}

// Packets of one flow never overtake each other, also when something in the middle cannot be joined.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var in [][]byte
		seq := map[uint16]uint32{}
		for range 60 {
			s := spec{port: 1000 + uint16(r.IntN(3)), payload: []int{0, 50, 100, 100, 100}[r.IntN(5)],
				udp: r.IntN(4) == 0, flags: []byte{0, 0, 0, tcpPSH, tcpFIN}[r.IntN(5)], v6: r.IntN(3) == 0}
			if s.udp {
				s.port += 500
			}
			s.seq = seq[s.port]
			seq[s.port] += uint32(s.payload)
			in = append(in, build(s))
		}
		var c Coalescer
		got, gso := join(&c, in, false)
		flows := func(list [][]byte) map[string]string {
			m := map[string]string{}
			for _, p := range list {
				h := mustParse(p)
				m[string(p[0]>>4)+string(p[h.Transport:h.Transport+4])] += string(p[h.Transport+4:h.Transport+8]) +
					string(p[h.Payload:])
			}
			return m
		}
		var again [][]byte
		for i, p := range got {
			again = append(again, cut(p, gso[i], false)...)
		}
		want, have := flows(in), flows(again)
		if len(again) != len(in) || len(want) != len(have) {
			t.Fatalf("%d packets of %d flows, want %d of %d", len(again), len(have), len(in), len(want))
		}
		for k := range want {
			if want[k] != have[k] {
				t.Fatal("a flow has changed")
			}
		}
	}
}

// A packet with a checksum that is none of UDP's: RFC 768 has another form of zero for it.
func TestZeroChecksumOfUDP(t *testing.T) {
	p := build(spec{v6: true, udp: true, payload: 2})
	h := mustParse(p)
	at := h.Transport + 6
	p[at], p[at+1], p[h.Payload], p[h.Payload+1] = 0, 0, 0, 0
	rest := ^fold(sum(p[h.Transport:], pseudo(p, 6, UDP, len(p)-h.Transport)))
	binary.NativeEndian.PutUint16(p[h.Payload:], rest)
	Finish(p, &h, GSO{Partial: true})
	if p[at] != 0xff || p[at+1] != 0xff || !checksumHolds(p, &h) {
		t.Errorf("the checksum is %x", p[at:at+2])
	}
}

func TestNothingIsAllocated(t *testing.T) {
	p, g := super(spec{payload: 64000}, 1360)
	packets := cut(p, g, false)
	again, head := bytes.Clone(p), bytes.Clone(packets[0][:40])
	var s Segmenter
	var c Coalescer
	write := func(*Super) error { return nil }
	got := testing.AllocsPerRun(100, func() {
		copy(p, again)
		copy(packets[0], head)
		s.Reset(p, mustParse(p), g, true)
		for q, _ := s.Next(); q != nil; q, _ = s.Next() {
		}
		for _, q := range packets {
			c.Add(q, mustParse(q), true)
		}
		c.Flush(write)
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func FuzzSuperPacket(f *testing.F) {
	for _, s := range []spec{{payload: 30}, {v6: true, payload: 30, options: 8}, {udp: true, payload: 20}} {
		p, _ := super(s, 1000)
		f.Add(p, byte(kindOf(ptr(mustParse(p)))), uint16(9), true, false)
	}
	f.Fuzz(func(t *testing.T, p []byte, kind byte, size uint16, partial, ecn bool) {
		h, err := Parse(p)
		if err != nil {
			return
		}
		ClampMSS(p, &h, 1000, partial)
		AppendTooBig(nil, p, &h, Source(p), 1000)
		g := GSO{Kind: Kind(kind), Partial: partial, Size: size, ECN: ecn}
		if g.Check(p, &h) != nil {
			return
		}
		want := g.Segments(p, &h)
		packets := cut(p, g, false)
		if len(packets) != want {
			t.Fatalf("%d packets, want %d", len(packets), want)
		}
		for _, q := range packets {
			if _, err := Parse(q); err != nil {
				t.Fatal(err)
			}
		}
		var c Coalescer
		joined, gso := join(&c, packets, false)
		for i, q := range joined {
			h := mustParse(q)
			if err := gso[i].Check(q, &h); err != nil {
				t.Fatalf("what is joined is refused: %v", err)
			}
		}
	})
}

func ptr[T any](v T) *T { return &v }

func BenchmarkCut(b *testing.B) {
	p, g := super(spec{payload: 64000}, 1360)
	h := mustParse(p)
	for _, partial := range []bool{false, true} {
		b.Run(map[bool]string{false: "checksums", true: "partial"}[partial], func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			var s Segmenter
			for b.Loop() {
				s.Reset(p, h, g, partial)
				for q, _ := s.Next(); q != nil; q, _ = s.Next() {
				}
			}
		})
	}
}

func BenchmarkJoin(b *testing.B) {
	p, g := super(spec{payload: 64000}, 1360)
	for _, partial := range []bool{false, true} {
		b.Run(map[bool]string{false: "checksums", true: "partial"}[partial], func(b *testing.B) {
			packets := cut(p, g, partial)
			headers := make([][]byte, len(packets))
			for i := range packets {
				headers[i] = bytes.Clone(packets[i][:60])
			}
			b.SetBytes(int64(len(p)))
			var c Coalescer
			write := func(*Super) error { return nil }
			for b.Loop() {
				copy(packets[0], headers[0])
				for _, q := range packets {
					h, _ := Parse(q)
					c.Add(q, h, partial)
				}
				c.Flush(write)
			}
		})
	}
}
