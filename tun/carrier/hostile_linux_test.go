package carrier

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/tun/tuntest"
)

// A thrower sends IP packets that somebody else than the peer has made, headers included.
type thrower struct {
	t  *testing.T
	fd int
}

func newThrower(t *testing.T, ns *tuntest.Namespace) thrower {
	t.Helper()
	var s thrower
	ns.Do(func() (err error) {
		s = thrower{t: t}
		s.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
		return err
	})
	t.Cleanup(func() { unix.Close(s.fd) })
	return s
}

// throw sends a packet of IPv4; the kernel fills in the checksum.
func (s thrower) throw(p []byte) {
	s.t.Helper()
	to := unix.SockaddrInet4{Addr: [4]byte(p[16:])}
	if err := unix.Sendto(s.fd, p, 0, &to); err != nil {
		s.t.Fatal(err)
	}
}

func packetOf(from, to netip.Addr, protocol byte, payload []byte) []byte {
	p := append(make([]byte, header4), payload...)
	putHeader(p, from, to, len(payload))
	p[9] = protocol
	return p
}

// What strangers, and the peer's network, send moves a counter each and nothing else: a session of DTLS goes on through
// it, and the path stays as wide as it is.
func TestHostile(t *testing.T) {
	r := newRig(t)
	a, b := r.both()
	s := r.session(a, b, b4)
	s.say(t, s.client, s.server, "before")
	throw := newThrower(t, r.a)
	r.a.IP("addr", "add", "198.18.1.99/32", "dev", "lo")
	stranger, nobody := netip.MustParseAddr("198.18.1.99"), netip.MustParseAddr("198.18.2.77")
	r.b.IP("route", "add", nobody.String(), "dev", "carrier0")
	garbage := make([]byte, 200)
	rnd := rand.New(rand.NewPCG(1, 2))
	send := func(n int, make func() []byte) {
		for range n {
			for i := range garbage {
				garbage[i] = byte(rnd.Uint32())
			}
			throw.throw(make())
		}
	}
	const n = 100
	start := b.Stats()
	send(n, func() []byte { return packetOf(stranger, b4, Protocol, garbage[:rnd.IntN(len(garbage))]) })
	send(n, func() []byte { return packetOf(a4, b4, Protocol, garbage) }) // as if of the client
	send(n, func() []byte { return packetOf(stranger, nobody, Protocol, garbage) })
	send(n, func() []byte { return packetOf(stranger, b4, 254, garbage) })
	send(n, func() []byte {
		p := packetOf(a4, b4, Protocol, garbage)
		p[6] = 0x20 // more fragments
		return p
	})
	send(n, func() []byte { return packetOf(stranger, b4, 1, garbage) }) // ICMP
	r.until("all has arrived", func() bool {
		now := b.Stats()
		return now.Received == start.Received+2*n && now.Unexpected == n && now.Other >= start.Other+2*n &&
			now.Fragments == n
	})
	s.say(t, s.client, s.server, "after")
	s.say(t, s.server, s.client, "and back")
	if now := b.Stats(); now.Narrowed+now.Malformed+now.Full+now.Unreachable != 0 {
		t.Errorf("%+v", now)
	}
}

// A frame with an address of this end as its source, which would be answered to itself, is dropped.
func TestOwnSource(t *testing.T) {
	r := newRig(t)
	_, b := r.both()
	s := r.listen(b, b4)
	for _, c := range []struct {
		from netip.Addr
		want *Stats
	}{{b4, &Stats{BadSource: 1}}, {netip.MustParseAddr("240.0.0.1"), &Stats{BadSource: 2}}} {
		b.receive(append(packetOf(c.from, b4, Protocol, nil), 0)[:header4], nil)
		if got := b.Stats().BadSource; got != c.want.BadSource {
			t.Errorf("from %v: %d, want %d", c.from, got, c.want.BadSource)
		}
	}
	s.SetReadDeadline(time.Unix(1, 0))
	if _, _, err := s.ReadFrom(make([]byte, 10)); !isTimeout(err) {
		t.Error(err)
	}
}

// A Conn that nobody reads keeps what fits its queue, and costs others nothing.
func TestFull(t *testing.T) {
	r := newRig(t)
	a := r.open(r.a, Config{Addresses: []netip.Addr{a4, a4too}})
	b := r.open(r.b, Config{Addresses: []netip.Addr{b4}, Queue: 64 << 10})
	slow := r.listen(b, b4)
	c := r.dial(a, b4)
	const n = 200
	frame := make([]byte, 1000)
	for i := range n {
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
		r.until("it is there", func() bool { s := b.Stats(); return s.Received+s.Full == uint64(i+1) })
	}
	s := b.Stats()
	if s.Full == 0 || s.Received < 20 || s.Received > 64 {
		t.Errorf("%+v", s)
	}
	quick := r.dial(b, a4too)
	r.listen(a, a4too).WriteTo([]byte("to another"), net.Addr(Addr{b4}))
	if n, err := quick.Read(frame); err != nil || string(frame[:n]) != "to another" {
		t.Errorf("%q, %v", frame[:n], err)
	}
	for range s.Received {
		if n, _, err := slow.ReadFrom(frame); err != nil || n != len(frame) {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
}
