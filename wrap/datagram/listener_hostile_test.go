package datagram

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/admission"
	"github.com/encase-tls/encase/wrap/udp"
)

// TestListenerHalfOpenIsNotEndedByOthers sends, in the name of a client that shakes hands, ClientHellos with another
// cookie and another random, alerts and garbage, each time before the client says something itself.
func TestListenerHalfOpenIsNotEndedByOthers(t *testing.T) {
	client, server := configs(t, "")
	server.Handler = echo
	l := listen(t, server, ListenOptions{})
	r := newRebinder(t, l.Addr())
	sock := r.current()
	alert := []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40}
	meddled := 0
	c, err := Client(wrap.Datagram(tap{r, func(p []byte) {
		h, ok := admission.ParseHello(p)
		if !ok {
			return
		}
		other := bytes.Clone(p)
		if at := bytes.Index(p, h.Cookie); len(h.Cookie) > 0 {
			other[at] ^= 1
			sock.Write(other)
			sock.Write(alert)
			sock.Write([]byte("garbage"))
			meddled++
		}
		other[bytes.Index(p, h.Random)] ^= 1
		if len(h.Cookie) > 0 {
			sock.Write(other)
		}
	}}, r.to, 0), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mustEcho(t, c, "not ended")
	if s := l.Stats(); meddled == 0 || s.Unproven < 2 || s.Failed != 0 || s.Opened != 1 {
		t.Errorf("%d times meddled with, %+v", meddled, s)
	}
}

// TestListenerEvicts has room for two handshakes, which strangers take who never return a cookie: an honest client gets
// the place of one.
func TestListenerEvicts(t *testing.T) {
	client, server := configs(t, "")
	limits := anybody
	limits.HalfOpen, limits.CookieTime, limits.UnprovenTimeout = 2, 200*time.Millisecond, time.Second
	l := listen(t, server, ListenOptions{Limits: limits})
	hello := firstHello(t, client)
	for range 2 {
		udpTo(t, l).Write(hello)
	}
	eventually(t, "all is full", func() bool { return l.Stats().Admission.HalfOpen == 2 || l.Stats().Admission.UnderLoad })
	start := time.Now()
	dial(t, l, client)
	t.Logf("after %v: %+v", time.Since(start), l.Stats().Admission)
	eventually(t, "the strangers are gone", func() bool { s := l.Stats(); return s.Peers == 1 && s.Admission.HalfOpen == 0 })
	if l.Stats().Admission.Counts[admission.Evicted] == 0 {
		t.Error("nobody was evicted")
	}
}

// TestListenerGarbage sends what makes no sense, from strangers and from the address of a peer: it is counted and
// nothing else.
func TestListenerGarbage(t *testing.T) {
	for _, codec := range []string{"", "length:16be"} {
		client, server := configs(t, codec, func(o *dtls.Options) { o.SendCID = true })
		server.Handler, server.Socket.ReadBuffer = echo, 4<<20
		l := listen(t, server, ListenOptions{})
		c := dial(t, l, client)
		own, stranger := c.out.(*dialed).sock, udpTo(t, l)
		hello := firstHello(t, client)
		for i := range 2000 {
			p := noise(i%100, uint64(i))
			if i%4 > 0 {
				p = bytes.Clone(hello)
				p[i%len(p)] ^= byte(1 << (i % 8))
				p = p[:len(p)-i%7]
			}
			if i%500 == 0 {
				mustEcho(t, c, "still there")
			}
			if len(p) > 1 && i%8 == 1 {
				p[len(p)/2] = 25
			}
			if i%2 == 0 {
				own.WriteBatch([]udp.Packet{{Data: p}})
			} else {
				stranger.Write(p)
			}
		}
		mustEcho(t, c, "undisturbed")
		s := l.Stats()
		if s.Peers > 3 || s.Moved != 0 || s.Side+s.Admission.Counts[admission.NoHello]+s.Unproven < 500 {
			t.Errorf("%q: %+v", codec, s)
		}
	}
}

// TestMoveDisplaces moves a peer to an address that others have: who has a connection ID stays, and nobody else does.
func TestMoveDisplaces(t *testing.T) {
	s := &shard{l: &Listener{}, byAddr: map[netip.AddrPort]*peer{}, byCID: map[uint64]*peer{}}
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.IPv6Loopback(), port) }
	enter := func(port uint16, cid bool) *peer {
		p := &peer{shard: s, addr: at(port), hasCID: cid, state: shaken}
		s.byAddr[p.addr] = p
		return p
	}
	mover, loses := enter(1, true), enter(3, false)
	enter(2, true)
	newcomer := &peer{shard: s, addr: at(3), replaces: loses}
	loses.newcomer = newcomer
	old := &peer{shard: s, addr: at(1), replaces: mover}
	mover.newcomer = old
	if lost := s.move(mover, at(2)); len(lost) != 0 || s.byAddr[at(2)] != mover || s.byAddr[at(1)] != old {
		t.Errorf("%d lost", len(lost))
	}
	if lost := s.move(mover, at(3)); len(lost) != 2 || lost[0] != loses || lost[1] != newcomer {
		t.Errorf("%d lost", len(lost))
	}
	if len(s.byAddr) != 2 || s.byAddr[at(3)] != mover || newcomer.replaces != nil {
		t.Errorf("%d addresses", len(s.byAddr))
	}
	mover.state = gone
	if s.move(mover, at(9)); s.byAddr[at(9)] != nil {
		t.Error("who is gone has moved")
	}
}

// FuzzListener gives a shard arbitrary packets, from strangers and in the name of a peer: the peer stays, and nobody
// gets in who has not sent a ClientHello.
func FuzzListener(f *testing.F) {
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0}, 3, true)
	f.Add(bytes.Repeat([]byte{25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0}, 4), 0, false)
	client, server := configs(f, "length:16be", func(o *dtls.Options) { o.SendCID = true })
	server.Handler = echo
	l := listen(f, server, ListenOptions{Limits: admission.Limits{HalfOpen: 4, HelloRate: -1, HalfOpenPerAddr: -1}})
	c := dial(f, l, client)
	own := netip.MustParseAddrPort(c.out.(*dialed).sock.LocalAddr().String())
	s := l.shards[0]
	look, err := newDemux(l.cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, segment int, inItsName bool) {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 9, 9}), 9)
		if inItsName {
			from = own
		}
		framed := append([]byte{byte(len(data) >> 8), byte(len(data))}, data...)
		one := &shard{l: l, sock: s.sock, out: s.out, cfg: s.cfg, look: look, // that nothing else is given to
			byAddr: map[netip.AddrPort]*peer{}, byCID: map[uint64]*peer{}}
		for _, p := range [][]byte{data, framed} {
			one.received(&udp.Packet{Addr: from, Data: bytes.Clone(p), Segment: segment})
		}
		for p := range one.allPeers() {
			p.conn.Close()
		}
		if err := c.failure(); err != nil {
			t.Fatal(err)
		}
		if l.Stats().Peers > 1+4 {
			t.Fatal("too many")
		}
	})
}
