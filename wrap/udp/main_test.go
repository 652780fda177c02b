package udp_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/udp"
)

// patience ends what would wait for ever.
const patience = 10 * time.Second

// must returns a socket that the test can leave open, and that waits for nothing for ever.
func must(t testing.TB, s *udp.Socket, err error) *udp.Socket {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.SetDeadline(time.Now().Add(patience))
	return s
}

func open(t testing.TB, address string, o udp.Options) *udp.Socket {
	t.Helper()
	s, err := udp.Open("udp", address, o)
	return must(t, s, err)
}

func dial(t testing.TB, address string, o udp.Options) *udp.Socket {
	t.Helper()
	s, err := udp.Dial("udp", address, o)
	return must(t, s, err)
}

func addrOf(s *udp.Socket) netip.AddrPort {
	return netip.MustParseAddrPort(s.LocalAddr().String())
}

// rooms returns n Packets with room for size bytes each.
func rooms(n, size int) []udp.Packet {
	ps := make([]udp.Packet, n)
	for i := range ps {
		ps[i].Data = make([]byte, 0, size)
	}
	return ps
}

// receive reads n datagrams and returns them with what came along with each.
func receive(t testing.TB, s *udp.Socket, n int, ps []udp.Packet) (got []udp.Packet) {
	t.Helper()
	for len(got) < n {
		k, err := s.ReadBatch(ps)
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(got), n, err)
		}
		for _, p := range ps[:k] {
			for d := range p.Datagrams() {
				one := p
				one.Data, one.Segment = append([]byte(nil), d...), 0
				got = append(got, one)
			}
		}
	}
	if len(got) > n {
		t.Fatalf("received %d datagrams, %d were sent", len(got), n)
	}
	return got
}

// nothing fails the test if something is to be read.
func nothing(t testing.TB, s *udp.Socket) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	defer s.SetReadDeadline(time.Now().Add(patience))
	ps := rooms(1, udp.MaxRead)
	if n, err := s.ReadBatch(ps); err == nil {
		t.Fatalf("%d more: %d bytes from %v", n, len(ps[0].Data), ps[0].Addr)
	}
}

// send sends ps, of which none may fail.
func send(t testing.TB, s *udp.Socket, ps ...udp.Packet) {
	t.Helper()
	if n, err := s.WriteBatch(ps); n != len(ps) || err != nil {
		t.Fatalf("WriteBatch: %d of %d, %v", n, len(ps), err)
	}
}
