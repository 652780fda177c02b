package udp_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/encase-tls/encase/wrap/udp"
)

// notUDP hides what conn is, so that only the methods of a net.PacketConn are left.
type notUDP struct{ net.PacketConn }

func foreign(t *testing.T, address string) *udp.Socket {
	t.Helper()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return must(t, udp.From(notUDP{conn}), nil)
}

func portable(t *testing.T, address string) *udp.Socket {
	t.Helper()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return must(t, udp.Portable(conn.(*net.UDPConn)), nil)
}

// TestBoundaries sends random batches in every way and checks that what arrives is what was sent, datagram for
// datagram and in order.
func TestBoundaries(t *testing.T) {
	const buffer = 8 << 20
	auto := udp.Options{ReadBuffer: buffer, WriteBuffer: buffer}
	off := auto
	off.Offload = udp.OffloadOff
	ways := map[string]func(t *testing.T, address string) *udp.Socket{
		"offload":    func(t *testing.T, a string) *udp.Socket { return open(t, a, auto) },
		"mmsg":       func(t *testing.T, a string) *udp.Socket { return open(t, a, off) },
		"one by one": portable,
		"any conn":   foreign,
	}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		for out, sender := range ways {
			for in, receiver := range ways {
				t.Run(fmt.Sprintf("%s/%s to %s", address, out, in), func(t *testing.T) {
					room := buffer
					if in == "one by one" || in == "any conn" {
						room = 200 << 10 // what systems have by default
					}
					exchange(t, sender(t, address), receiver(t, address), room/2)
				})
			}
		}
	}
}

func exchange(t *testing.T, from, to *udp.Socket, room int) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	buffers := rooms(1+r.IntN(20), udp.MaxRead)
	for range 20 {
		batch, want := randomBatch(r, addrOf(to), room)
		before := clone(batch)
		send(t, from, batch...)
		for i, got := range receive(t, to, len(want), buffers) {
			if !bytes.Equal(got.Data, want[i]) {
				t.Fatalf("datagram %d of %d: %d bytes %.8x, sent were %d bytes %.8x",
					i, len(want), len(got.Data), got.Data, len(want[i]), want[i])
			}
			if got.Addr != addrOf(from) {
				t.Fatalf("from %v, not %v", got.Addr, addrOf(from))
			}
		}
		for i := range batch {
			if !bytes.Equal(before[i].Data, batch[i].Data) {
				t.Fatalf("WriteBatch has changed packet %d", i)
			}
		}
	}
	nothing(t, to)
	if in, out := to.Stats(), from.Stats(); in.DatagramsIn != out.DatagramsOut || in.BytesIn != out.BytesOut {
		t.Errorf("counted: %+v sent, %+v received", out, in)
	}
}

// randomBatch returns packets of all shapes, and their datagrams. It prefers what is on the edge of being joined: the
// same length as before, and one byte more or less. All of it fits into a buffer of the kernel with room bytes.
func randomBatch(r *rand.Rand, to netip.AddrPort, room int) (batch []udp.Packet, datagrams [][]byte) {
	size := 1 + r.IntN(2000)
	for count := 1 + r.IntN(150); len(batch) < count; {
		p := udp.Packet{Addr: to}
		switch r.IntN(8) {
		case 0:
			size = r.IntN(2000)
		case 1:
			size = max(size+r.IntN(3)-1, 0)
		case 2:
			p.Segment = size
		}
		length := size
		if p.Segment > 0 {
			length = r.IntN(min(size*100, 100_000)) + 1
		}
		p.Data = randomBytes(r, length)
		if room -= 2*length + 1200*p.Count(); room < 0 { // what the kernel adds to each
			break
		}
		batch = append(batch, p)
		for d := range p.Datagrams() {
			datagrams = append(datagrams, d)
		}
	}
	return batch, datagrams
}

// noise is cut into payloads.
var noise = func() []byte {
	p := make([]byte, 1<<18)
	rand.NewChaCha8([32]byte{}).Read(p)
	return p
}()

func randomBytes(r *rand.Rand, n int) []byte {
	at := r.IntN(len(noise) - n)
	return bytes.Clone(noise[at : at+n])
}

func clone(ps []udp.Packet) (c []udp.Packet) {
	for _, p := range ps {
		p.Data = bytes.Clone(p.Data)
		c = append(c, p)
	}
	return c
}

func TestDatagrams(t *testing.T) {
	for _, c := range []struct {
		length, segment int
		want            []int
	}{
		{0, 0, []int{0}},
		{0, 7, []int{0}},
		{5, 0, []int{5}},
		{5, -1, []int{5}},
		{5, 5, []int{5}},
		{5, 6, []int{5}},
		{6, 3, []int{3, 3}},
		{7, 3, []int{3, 3, 1}},
	} {
		p := udp.Packet{Data: make([]byte, c.length), Segment: c.segment}
		var got []int
		for d := range p.Datagrams() {
			got = append(got, len(d))
			if cap(d) != len(d) {
				t.Errorf("%d in segments of %d: append reaches what is behind a datagram", c.length, c.segment)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || p.Count() != len(c.want) {
			t.Errorf("%d in segments of %d: %v, counted %d", c.length, c.segment, got, p.Count())
		}
		for range p.Datagrams() {
			break // may end at any time
		}
	}
}

// TestDualStack checks that an IPv6 socket serves IPv4 peers under their own addresses.
func TestDualStack(t *testing.T) {
	server := open(t, "[::]:0", udp.Options{})
	port := addrOf(server).Port()
	for _, ip := range []string{"127.0.0.1", "::1"} {
		client := dial(t, netip.AddrPortFrom(netip.MustParseAddr(ip), port).String(), udp.Options{})
		send(t, client, udp.Packet{Data: []byte("question")})
		q := receive(t, server, 1, rooms(1, 100))[0]
		if q.Addr != addrOf(client) || q.Addr.Addr().Is4In6() {
			t.Errorf("from %v, which is %v", q.Addr, addrOf(client))
		}
		answer := udp.Packet{Addr: q.Addr, Local: q.Local, Data: []byte("answer")}
		mapped := answer
		mapped.Addr = netip.AddrPortFrom(netip.AddrFrom16(q.Addr.Addr().As16()), q.Addr.Port())
		send(t, server, answer, mapped)
		receive(t, client, 2, rooms(2, 100))
	}
}

// TestLongDatagrams reads, with too little room, what is longer.
func TestLongDatagrams(t *testing.T) {
	longDatagrams(t, open(t, "127.0.0.1:0", udp.Options{}))
	longDatagrams(t, portable(t, "127.0.0.1:0"))
}

func longDatagrams(t *testing.T, server *udp.Socket) {
	t.Helper()
	client := dial(t, server.LocalAddr().String(), udp.Options{})
	long, short := make([]byte, 101), []byte("short")
	send(t, client, udp.Packet{Data: long}, udp.Packet{Data: short}, udp.Packet{Data: long}, udp.Packet{Data: short})
	ps := rooms(4, 100)
	for _, got := range receive(t, server, 2, ps) {
		if !bytes.Equal(got.Data, short) {
			t.Errorf("%d bytes: a datagram was cut, and delivered", len(got.Data))
		}
	}
	if s := server.Stats(); s.Truncated != 2 {
		t.Errorf("%+v", s)
	}
	seen := map[*byte]bool{}
	for i := range ps {
		seen[&ps[i].Data[:1][0]] = true
		if cap(ps[i].Data) != 100 {
			t.Errorf("the room of packet %d is %d bytes now", i, cap(ps[i].Data))
		}
	}
	if len(seen) != len(ps) {
		t.Errorf("of %d buffers %d are left", len(ps), len(seen))
	}
}
