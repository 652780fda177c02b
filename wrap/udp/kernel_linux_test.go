package udp_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/wrap/udp"
)

// TestOffload checks that the kernel cuts and joins, and what that saves.
func TestOffload(t *testing.T) {
	server := open(t, "127.0.0.1:0", udp.Options{Offload: udp.OffloadOn, ReadBuffer: 4 << 20})
	client := dial(t, server.LocalAddr().String(), udp.Options{Offload: udp.OffloadOn})
	big := rooms(8, udp.MaxRead)
	send(t, client, udp.Packet{Data: []byte("x")})
	receive(t, server, 1, big) // GRO is on after the first
	for _, c := range []struct {
		name                     string
		ps                       []udp.Packet
		datagrams, sends, joined uint64
	}{
		{"side by side, the last shorter", []udp.Packet{{Data: make([]byte, 1350*39+1), Segment: 1350}}, 40, 1, 1},
		{"as many as go at once", []udp.Packet{{Data: make([]byte, 64), Segment: 1}}, 64, 1, 1},
		{"one more", []udp.Packet{{Data: make([]byte, 65), Segment: 1}}, 65, 1, 1},
		{"as many bytes as go at once", []udp.Packet{{Data: make([]byte, 48*1350), Segment: 1350}}, 48, 1, 1},
		{"more", []udp.Packet{{Data: make([]byte, 49*1350), Segment: 1350}}, 49, 1, 1},
		{"much more", []udp.Packet{{Data: make([]byte, 480*1350), Segment: 1350}}, 480, 10, 10},
		{"one each", repeat(udp.Packet{Data: make([]byte, 1350)}, 40), 40, 1, 1},
		{"empty ones", repeat(udp.Packet{}, 10), 10, 0, 0},
	} {
		before, sent := server.Stats(), client.Stats()
		send(t, client, c.ps...)
		receive(t, server, int(c.datagrams), big)
		in, out := server.Stats(), client.Stats()
		if n := out.GSOSends - sent.GSOSends; n != c.sends {
			t.Errorf("%s: %d messages with several datagrams, not %d", c.name, n, c.sends)
		}
		if n := in.GROReceives - before.GROReceives; n != c.joined {
			t.Errorf("%s: %d joined messages were received, not %d", c.name, n, c.joined)
		}
		if n := out.SyscallsOut - sent.SyscallsOut; n > 1+c.sends/2 {
			t.Errorf("%s: %d system calls", c.name, n)
		}
	}
	if gso, gro := server.Offloads(); !gso || !gro {
		t.Errorf("GSO %v, GRO %v", gso, gro)
	}
}

func repeat(p udp.Packet, n int) (ps []udp.Packet) {
	for range n {
		ps = append(ps, p)
	}
	return ps
}

// TestJoiningNeedsRoom checks that GRO is not used without room for it, and that datagrams keep their boundaries if the
// room becomes less.
func TestJoiningNeedsRoom(t *testing.T) {
	const size, count = 100, 20
	flood := udp.Packet{Data: noise[:size*count], Segment: size}
	small := open(t, "127.0.0.1:0", udp.Options{Offload: udp.OffloadOn})
	client := open(t, "127.0.0.1:0", udp.Options{Offload: udp.OffloadOn})
	flood.Addr = addrOf(small)
	send(t, client, flood)
	receive(t, small, count, rooms(2, 2000))
	send(t, client, flood)
	receive(t, small, count, rooms(2, udp.MaxRead)) // too late
	if st := small.Stats(); st.GROReceives != 0 || st.Truncated != 0 {
		t.Errorf("without room: %+v", st)
	}

	big := open(t, "127.0.0.1:0", udp.Options{Offload: udp.OffloadOn})
	flood.Addr = addrOf(big)
	send(t, client, udp.Packet{Addr: flood.Addr})
	receive(t, big, 1, rooms(2, udp.MaxRead))
	send(t, client, flood)
	send(t, client, udp.Packet{Addr: flood.Addr, Data: []byte("last")})
	got := receive(t, big, 11, rooms(1, 10*size+size/2))
	for i, d := range got[:10] {
		if want := noise[i*size:][:size]; !bytes.Equal(d.Data, want) {
			t.Errorf("datagram %d of %d bytes is not what was sent", i, len(d.Data))
		}
	}
	if st := big.Stats(); string(got[10].Data) != "last" || st.Truncated != 1 || st.GROReceives != 1 {
		t.Errorf("with too little room: %q, %+v", got[10].Data, st)
	}
}

// TestKernelRefusesGSO uses a socket for which the kernel knows GSO, but refuses it: it cannot do without checksums.
func TestKernelRefusesGSO(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := conn.(*net.UDPConn).SyscallConn()
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
	if err != nil {
		t.Fatal(err)
	}
	s := must(t, udp.From(conn), nil)
	for range 3 {
		send(t, s, udp.Packet{Addr: addrOf(s), Data: noise[:4150], Segment: 100}, udp.Packet{Addr: addrOf(s)})
		got := receive(t, s, 43, rooms(64, 200))
		for i, d := range got[:42] {
			if !bytes.Equal(d.Data, noise[i*100:][:len(d.Data)]) || i < 41 && len(d.Data) != 100 {
				t.Fatalf("datagram %d is another", i)
			}
		}
	}
	if gso, _ := s.Offloads(); gso || s.Stats().Fallbacks != 2 || s.Stats().GSOSends != 0 || len(s.Withheld()) == 0 {
		t.Errorf("GSO %v, %+v, %v", gso, s.Stats(), s.Withheld())
	}
}

// TestTooLong sends what no datagram can hold, among others.
func TestTooLong(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		server := open(t, address, udp.Options{})
		for name, client := range map[string]*udp.Socket{"connected": dial(t, server.LocalAddr().String(), udp.Options{}),
			"unconnected": open(t, address, udp.Options{}), "portable": portable(t, address)} {
			to := addrOf(server)
			ps := []udp.Packet{{Addr: to, Data: []byte("one")}, {Addr: to, Data: make([]byte, 1<<16)},
				{Addr: to, Data: []byte("two")}}
			n, err := client.WriteBatch(ps)
			var big *udp.TooBigError
			if n != 3 || !errors.As(err, &big) || ps[1].Err != err || ps[0].Err != nil || ps[2].Err != nil {
				t.Fatalf("%s: %d, %v; the packets: %v, %v, %v", name, n, err, ps[0].Err, ps[1].Err, ps[2].Err)
			}
			if big.Addr != to || big.Size != 1<<16 || name != "portable" && big.MaxPayload() < 60_000 {
				t.Errorf("%s: %+v: %v", name, big, big)
			}
			if got := receive(t, server, 2, rooms(2, 100)); string(got[0].Data)+string(got[1].Data) != "onetwo" {
				t.Errorf("%s: %q, %q", name, got[0].Data, got[1].Data)
			}
			if st := client.Stats(); st.TooBig != 1 || st.DatagramsOut != 2 {
				t.Errorf("%s: %+v", name, st)
			}
		}
	}
}

// TestAnswersFromWhereItWasAsked has a socket on all addresses answer from the one that the question was for, which is
// not the one that the kernel would choose.
func TestAnswersFromWhereItWasAsked(t *testing.T) {
	for _, c := range []struct{ network, address string }{{"udp4", "0.0.0.0:0"}, {"udp", "[::]:0"}} {
		s, err := udp.Open(c.network, c.address, udp.Options{})
		server := must(t, s, err)
		for _, ip := range []string{"127.0.0.2", "127.0.0.3"} {
			asked := netip.AddrPortFrom(netip.MustParseAddr(ip), addrOf(server).Port())
			client := open(t, "127.0.0.1:0", udp.Options{})
			send(t, client, udp.Packet{Addr: asked, Data: []byte("question")})
			q := receive(t, server, 1, rooms(2, 100))[0]
			if q.Local != asked.Addr() {
				t.Errorf("%s: asked on %v, not %v", c.address, q.Local, asked)
			}
			answer := udp.Packet{Addr: q.Addr, Local: q.Local, Data: []byte("answers."), Segment: 4}
			forgotten := udp.Packet{Addr: q.Addr, Data: []byte("else")} // of a length that would fit behind
			send(t, server, answer, forgotten)
			got := receive(t, client, 3, rooms(2, 100))
			if got[0].Addr != asked || got[1].Addr != asked || got[2].Addr == asked {
				t.Errorf("%s: asked at %v; answers come from %v and %v, one without Local from %v",
					c.address, asked, got[0].Addr, got[1].Addr, got[2].Addr)
			}
		}
	}
}

// TestECN sends the same with different bits in one batch.
func TestECN(t *testing.T) {
	server := open(t, "[::]:0", udp.Options{})
	for _, ip := range []string{"127.0.0.1", "::1"} {
		to := netip.AddrPortFrom(netip.MustParseAddr(ip), addrOf(server).Port())
		for _, from := range []*udp.Socket{open(t, "[::]:0", udp.Options{}), dial(t, to.String(), udp.Options{})} {
			var ps []udp.Packet
			for ecn := range uint8(4) {
				ps = append(ps, udp.Packet{Addr: to, ECN: ecn, Data: []byte{ecn, ecn}, Segment: 1})
			}
			send(t, from, ps...)
			for _, got := range receive(t, server, 8, rooms(4, udp.MaxRead)) {
				if got.ECN != got.Data[0] {
					t.Errorf("to %v: %d arrives as %d", to, got.Data[0], got.ECN)
				}
			}
		}
	}
}

// TestHandedDown uses a socket that joins already.
func TestHandedDown(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := conn.(*net.UDPConn).SyscallConn()
	raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) })
	s := must(t, udp.From(conn), nil)
	client := dial(t, s.LocalAddr().String(), udp.Options{Offload: udp.OffloadOn})
	send(t, client, udp.Packet{Data: []byte("abc"), Segment: 1})
	if got := receive(t, s, 3, rooms(1, 100)); string(got[2].Data) != "c" {
		t.Errorf("%q", got[2].Data)
	}
}

// TestDropped overflows the kernel's buffer and checks that what it drops is counted.
func TestDropped(t *testing.T) {
	server := open(t, "127.0.0.1:0", udp.Options{ReadBuffer: 8 << 10})
	client := dial(t, server.LocalAddr().String(), udp.Options{})
	const n = 200
	send(t, client, repeat(udp.Packet{Data: make([]byte, 500)}, n)...)
	for ps, st := rooms(16, 1000), server.Stats(); st.DatagramsIn+st.Dropped < client.Stats().DatagramsOut; {
		if _, err := server.ReadBatch(ps); err != nil {
			t.Fatalf("%v: %+v, of %d sent", err, st, client.Stats().DatagramsOut)
		}
		if st = server.Stats(); st.Dropped == 0 {
			send(t, client, udp.Packet{}) // brings the news
		}
	}
	if in, out := server.Stats(), client.Stats(); in.Dropped == 0 || in.DatagramsIn+in.Dropped != out.DatagramsOut {
		t.Errorf("%d were sent; %+v", out.DatagramsOut, in)
	}
}

func TestBufferSizes(t *testing.T) {
	var warnings []error
	warn := func(err error) { warnings = append(warnings, err) }
	open(t, "127.0.0.1:0", udp.Options{ReadBuffer: 64 << 10, WriteBuffer: 64 << 10, Warn: warn})
	if len(warnings) > 0 {
		t.Errorf("of what is granted: %v", warnings)
	}
	const tooMuch = 1<<31 - 1 // not even root
	open(t, "127.0.0.1:0", udp.Options{ReadBuffer: tooMuch, WriteBuffer: tooMuch, Warn: warn})
	if len(warnings) != 2 {
		t.Fatalf("warnings: %v", warnings)
	}
	for i, option := range []string{"ReadBuffer", "WriteBuffer"} {
		var b *udp.BufferError
		if !errors.As(warnings[i], &b) || b.Option != option || b.Asked != tooMuch || b.Granted <= 0 || b.Granted >= tooMuch {
			t.Errorf("%v", warnings[i])
		}
	}
}

// TestNoAllocation checks that batches in the steady state cost no memory.
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, o := range []udp.Offload{udp.OffloadOn, udp.OffloadOff} {
		for _, room := range []int{2000, udp.MaxRead} {
			server := open(t, "[::]:0", udp.Options{Offload: o})
			client := open(t, "[::]:0", udp.Options{Offload: o})
			to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addrOf(server).Port())
			batch := []udp.Packet{{Addr: to, Local: to.Addr(), ECN: 1, Data: make([]byte, 10*1350+1), Segment: 1350},
				{Addr: to, Data: make([]byte, 10)}, {Addr: to, Data: make([]byte, 10)}}
			ps := rooms(16, room)
			trip := func() {
				client.WriteBatch(batch)
				for got := 0; got < 13; {
					n, err := server.ReadBatch(ps)
					if err != nil {
						t.Fatal(err)
					}
					for i := range ps[:n] {
						for range ps[i].Datagrams() {
							got++
						}
					}
				}
			}
			if n := testing.AllocsPerRun(100, trip); n != 0 {
				t.Errorf("offload %v, room %d: %v allocations per round trip of 13 datagrams", o, room, n)
			}
		}
	}
}

func ExampleSocket_ReadBatch() {
	server, err := udp.Open("udp", "127.0.0.1:0", udp.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client, err := udp.Dial("udp", server.LocalAddr().String(), udp.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	// Three datagrams in one buffer: one system call, and one way through the kernel.
	client.WriteBatch([]udp.Packet{{Data: []byte("one  two  three"), Segment: 5}})

	packets := make([]udp.Packet, 8)
	for i := range packets {
		packets[i].Data = make([]byte, udp.MaxRead)
	}
	for heard := 0; heard < 3; {
		n, err := server.ReadBatch(packets)
		if err != nil {
			fmt.Println(err)
			return
		}
		for i := range packets[:n] {
			for datagram := range packets[i].Datagrams() {
				fmt.Printf("%s\n", bytes.TrimSpace(datagram))
				heard++
			}
		}
	}
	// Output:
	// one
	// two
	// three
}

// TestWithheld checks that a socket says which offloads it does not use, and why.
func TestWithheld(t *testing.T) {
	why := func(s *udp.Socket) map[string]string {
		all := map[string]string{}
		for _, e := range s.Withheld() {
			all[e.Offload] = e.Err.Error()
		}
		return all
	}
	s := open(t, "127.0.0.1:0", udp.Options{})
	if got := why(s); len(got) != 0 {
		t.Errorf("a new socket withholds %v", got)
	}
	send(t, s, udp.Packet{Addr: addrOf(s), Data: noise[:10]})
	receive(t, s, 1, rooms(1, 200))
	if got := why(s); len(got) != 1 || !strings.Contains(got["GRO"], "room") {
		t.Errorf("without room: %v", got)
	}
	s = open(t, "127.0.0.1:0", udp.Options{Offload: udp.OffloadOff})
	if got := why(s); len(got) != 2 || got["GSO"] != "as configured" || got["GRO"] != "as configured" {
		t.Errorf("switched off: %v", got)
	}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = must(t, udp.From(struct{ net.PacketConn }{conn}), nil)
	if got := why(s); len(got) != 2 || got["GSO"] == "" {
		t.Errorf("another conn: %v", got)
	}
}
