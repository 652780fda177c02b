package datagram

import (
	"bytes"
	"crypto/x509"
	"net"
	"net/netip"
	"sync/atomic"
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

// TestListenerEvicts has room for one handshake, which a stranger takes who never returns a cookie: an honest client
// gets the place.
func TestListenerEvicts(t *testing.T) {
	client, server := configs(t, "")
	limits := anybody
	limits.HalfOpen, limits.CookieTime, limits.UnprovenTimeout = 1, 200*time.Millisecond, time.Hour
	l := listen(t, server, ListenOptions{Limits: limits})
	udpTo(t, l).Write(firstHello(t, client))
	eventually(t, "all is full", func() bool { return l.Stats().Admission.HalfOpen == 1 })
	start := time.Now()
	dial(t, l, client)
	t.Logf("after %v: %+v", time.Since(start), l.Stats().Admission)
	eventually(t, "the stranger is gone, and the handshake over", func() bool {
		s := l.Stats()
		return s.Peers == 1 && s.Admission.HalfOpen == 0
	})
	if s := l.Stats().Admission; s.Counts[admission.Evicted] != 1 {
		t.Errorf("%+v", s)
	}
}

// TestListenerSlowHandshake has a client that returns its cookie and then nothing for longer than others may take to
// return theirs: it is not evicted.
func TestListenerSlowHandshake(t *testing.T) {
	client, server := configs(t, "")
	server.Handler = echo
	limits := anybody
	limits.UnprovenTimeout = 200 * time.Millisecond
	l := listen(t, server, ListenOptions{Limits: limits})
	sock := udpTo(t, l)
	var mayGoOn atomic.Bool
	c, err := Client(wrap.Datagram(muffled{written{sock}, func(p []byte) bool {
		_, hello := admission.ParseHello(p)
		return hello || mayGoOn.Load()
	}}, sock.RemoteAddr(), 0), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go c.Handshake()
	eventually(t, "it is proven", func() bool { s := l.Stats().Admission; return s.HalfOpen == 1 && s.Unproven == 0 })
	proven := l.Stats().Admission
	time.Sleep(3 * limits.UnprovenTimeout)
	mayGoOn.Store(true)
	mustEcho(t, c, "slow but honest")
	s := l.Stats().Admission
	for _, reason := range []admission.Reason{admission.Admitted, admission.Evicted} {
		if s.Counts[reason] != proven.Counts[reason] {
			t.Errorf("%v: %+v, when it was proven %+v", reason, s, proven)
		}
	}
}

// muffled loses what may not pass.
type muffled struct {
	net.PacketConn
	pass func(p []byte) bool
}

func (m muffled) WriteTo(p []byte, to net.Addr) (int, error) {
	if !m.pass(p) {
		return len(p), nil
	}
	return m.PacketConn.WriteTo(p, to)
}

// TestListenerFailedHandshake has a client that does not trust the server: nothing is left of it.
func TestListenerFailedHandshake(t *testing.T) {
	client, server := configs(t, "")
	client.TLS.RootCAs = x509.NewCertPool()
	l := listen(t, server, ListenOptions{})
	if c, err := tryDial(l, client, 5*time.Second); err == nil {
		c.Close()
		t.Fatal("it is trusted")
	}
	eventually(t, "it is counted", func() bool { s := l.Stats(); return s.Failed == 1 && s.Peers == 0 })
	if s := l.Stats(); s.Admission.HalfOpen != 0 || s.Opened != 0 {
		t.Errorf("%+v", s)
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

// TestDemux looks into datagrams: what is of the peer, and what shares the port with it.
func TestDemux(t *testing.T) {
	dtls, stun := append([]byte{23, 0xfe, 0xfd}, noise(17, 1)...), append([]byte{0, 1}, noise(18, 2)...)
	framed := func(p []byte) []byte { return append([]byte{0, byte(len(p))}, p...) }
	for _, c := range []struct {
		name, codec string
		data        []byte
		segment     int
		records     []byte
		ok          bool
	}{
		{"a record", "", dtls, 0, dtls, true},
		{"two records", "", append(bytes.Clone(dtls), dtls...), 20, dtls, true},
		{"STUN", "", stun, 0, nil, false},
		{"STUN behind a record", "", append(bytes.Clone(dtls), stun...), 20, nil, false},
		{"nothing", "", nil, 0, nil, false},
		{"a frame", "length:16be", framed(dtls), 0, dtls, true},
		{"an empty frame", "length:16be", framed(nil), 0, nil, true},
		{"no frame", "length:16be", dtls, 0, nil, false},
		{"STUN in a frame", "length:16be", framed(stun), 0, nil, false},
		{"ChannelData", "channeldata:udp", append([]byte{0x40, 0, 0, 20}, dtls...), 0, dtls, true},
		{"an empty message", "channeldata:udp", []byte{0x40, 0, 0, 0}, 0, nil, true},
		{"another channel", "channeldata:udp", append([]byte{0x41, 0, 0, 20}, dtls...), 0, nil, false},
	} {
		d, err := newDemux(&Config{Codec: codecOf(t, c.codec)})
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(c.data)
		for range 2 { // it must not remember anything
			records, ok := d.lookAll(c.data, c.segment)
			if ok != c.ok || ok && !bytes.Equal(records, c.records) && c.segment == 0 {
				t.Errorf("%s: %x, %v", c.name, records, ok)
			}
		}
		if !bytes.Equal(before, c.data) {
			t.Errorf("%s: it was changed", c.name)
		}
	}
}

// TestMixedSegments has what the kernel has joined although it is not of one kind: each goes where it belongs.
func TestMixedSegments(t *testing.T) {
	client, server := configs(t, "")
	var side [][]byte
	l := listen(t, server, ListenOptions{Side: func(_ Origin, data []byte) { side = append(side, bytes.Clone(data)) }})
	hello := firstHello(t, client)
	stun := make([]byte, len(hello))
	s := &shard{l: l, sock: l.shards[0].sock, out: l.shards[0].out, cfg: l.cfg, look: l.shards[0].look,
		byAddr: map[netip.AddrPort]*peer{}, byCID: map[uint64]*peer{}}
	from := netip.MustParseAddrPort("127.0.0.9:9")
	s.received(&udp.Packet{Addr: from, Data: append(bytes.Clone(hello), stun...), Segment: len(hello)})
	if len(side) != 1 || !bytes.Equal(side[0], stun) || s.byAddr[from] == nil {
		t.Errorf("%d aside, %d peers", len(side), len(s.byAddr))
	}
	s.closeAll()
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
