package datagram

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/admission"
)

// A rebinder is a client's socket whose address can change, as behind a NAT.
type rebinder struct {
	mu   sync.Mutex
	sock *net.UDPConn
	to   *net.UDPAddr
}

func newRebinder(tb testing.TB, to net.Addr) *rebinder {
	r := &rebinder{to: to.(*net.UDPAddr)}
	r.rebind(tb)
	tb.Cleanup(func() { r.Close() })
	return r
}

// rebind gives it another port.
func (r *rebinder) rebind(tb testing.TB) {
	sock, err := net.DialUDP("udp4", nil, r.to)
	if err != nil {
		tb.Fatal(err)
	}
	r.mu.Lock()
	old := r.sock
	r.sock = sock
	r.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

func (r *rebinder) current() *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sock
}

func (r *rebinder) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		sock := r.current()
		n, err := sock.Read(p)
		if err == nil || r.current() == sock {
			return n, r.to, err
		}
	}
}

func (r *rebinder) SetDeadline(t time.Time) error      { return r.current().SetDeadline(t) }
func (r *rebinder) SetReadDeadline(t time.Time) error  { return r.current().SetReadDeadline(t) }
func (r *rebinder) SetWriteDeadline(t time.Time) error { return r.current().SetWriteDeadline(t) }

func (r *rebinder) WriteTo(p []byte, _ net.Addr) (int, error) { return r.current().Write(p) }
func (r *rebinder) Close() error                              { return r.current().Close() }
func (r *rebinder) LocalAddr() net.Addr                       { return r.current().LocalAddr() }
func (r *rebinder) port() uint16                              { return r.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

// clientOver connects a client over a rebinder.
func clientOver(tb testing.TB, r *rebinder, cfg *Config) *Conn {
	tb.Helper()
	c, err := Client(wrap.Datagram(r, r.to, 0), cfg)
	if err == nil {
		err = c.Handshake()
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

// TestListenerMove changes a client's port: with a connection ID its Conn goes with it, also to another shard and when
// somebody else is at the new address; without, it ends in time.
func TestListenerMove(t *testing.T) {
	for _, codec := range []string{"", "length:16be"} {
		t.Run("with a connection ID "+codec, func(t *testing.T) {
			client, server := configs(t, codec, func(o *dtls.Options) { o.SendCID = true })
			server.Handler = echo
			moved := make(chan Event, 100)
			server.OnEvent = func(_ *Conn, e Event) { moved <- e }
			l := listen(t, server, ListenOptions{Shards: 2})
			r := newRebinder(t, l.Addr())
			c := clientOver(t, r, client)
			mustEcho(t, c, "at home") // now the server, too, knows that the handshake is done
			for i := range 10 {       // some of them to the other shard
				from := r.port()
				r.rebind(t)
				mustEcho(t, c, fmt.Sprintf("move %d", i))
				if e := <-moved; e.Kind != EventMoved || e.From.Port() != from || e.To.Port() != r.port() {
					t.Fatalf("%+v, want from %d to %d", e, from, r.port())
				}
			}
			if s := l.Stats(); s.Moved != 10 || s.Opened != 1 || s.Peers != 1 {
				t.Errorf("%+v", s)
			}
			tables := 0
			for _, s := range l.shards {
				s.mu.Lock()
				tables += len(s.byAddr)
				s.mu.Unlock()
			}
			if tables != 1 {
				t.Errorf("%d addresses of one peer", tables)
			}
		})
	}
	t.Run("without", func(t *testing.T) {
		client, server := configs(t, "")
		server.Handler, server.IdleTimeout = echo, 2*time.Second
		l := listen(t, server, ListenOptions{})
		r := newRebinder(t, l.Addr())
		c := clientOver(t, r, client)
		mustEcho(t, c, "here")
		r.rebind(t)
		c.Write([]byte("nobody knows me"))
		eventually(t, "it has ended", func() bool { s := l.Stats(); return s.Idle == 1 && s.Peers == 0 })
		if l.Stats().Admission.Counts[admission.NoHello] == 0 {
			t.Error("what came from the new address is not counted")
		}
	})
}

// TestListenerStrangerCannotMove takes a client's record and sends it from elsewhere once it is old: the connection
// stays.
func TestListenerStrangerCannotMove(t *testing.T) {
	client, server := configs(t, "", func(o *dtls.Options) { o.SendCID = true })
	server.Handler = echo
	var sent [][]byte
	var mu sync.Mutex
	l := listen(t, server, ListenOptions{})
	r := newRebinder(t, l.Addr())
	carrier := wrap.Datagram(tap{r, func(p []byte) {
		mu.Lock()
		sent = append(sent, append([]byte(nil), p...))
		mu.Unlock()
	}}, r.to, 0)
	c, err := Client(carrier, client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mustEcho(t, c, "first")
	mustEcho(t, c, "second")
	mu.Lock()
	old := sent[len(sent)-2]
	forged := append([]byte(nil), sent[len(sent)-1]...)
	mu.Unlock()
	forged[len(forged)-1] ^= 1
	attacker := udpTo(t, l)
	attacker.Write(old)
	attacker.Write(forged)
	mustEcho(t, c, "third")
	if s := l.Stats(); s.Moved != 0 {
		t.Errorf("moved %d times", s.Moved)
	}
}

// A tap sees what is sent.
type tap struct {
	net.PacketConn
	see func(p []byte)
}

func (t tap) WriteTo(p []byte, to net.Addr) (int, error) {
	t.see(p)
	return t.PacketConn.WriteTo(p, to)
}

// TestListenerBeginAnew restarts a client that always has the same port: its new connection replaces the old, but only
// when its handshake is done, and a ClientHello of anybody else's disturbs nothing.
func TestListenerBeginAnew(t *testing.T) {
	client, server := configs(t, "")
	server.Handler = echo
	ends := make(chan error, 10)
	short := anybody
	short.UnprovenTimeout = time.Second
	l := listen(t, server, ListenOptions{Limits: short, Closed: func(_ *Conn, why error) { ends <- why }})
	sock := udpTo(t, l)
	var hello []byte
	first, err := Client(wrap.Datagram(tap{written{sock}, func(p []byte) {
		if hello == nil {
			hello = bytes.Clone(p)
		}
	}}, sock.RemoteAddr(), 0), client)
	if err != nil {
		t.Fatal(err)
	}
	mustEcho(t, first, "first life")

	sock.Write(hello) // the network had kept it
	mustEcho(t, first, "no new beginning")
	if n := l.Stats().Admission.Counts[admission.Admitted]; n != 1 {
		t.Errorf("%d were admitted", n)
	}
	sock.Write(firstHello(t, client)) // as if somebody had sent it in its name
	eventually(t, "it is let in", func() bool { return l.Stats().Admission.Counts[admission.Admitted] == 2 })
	mustEcho(t, first, "undisturbed")
	eventually(t, "the other is evicted", func() bool { return l.Stats().Admission.HalfOpen == 0 })
	mustEcho(t, first, "as before")

	first.eng.Abort(errors.New("crashed")) // without a word
	first.Close()
	sock, err = net.DialUDP("udp4", sock.LocalAddr().(*net.UDPAddr), l.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Client(wrap.Datagram(splitting{written{sock}}, sock.RemoteAddr(), 0), client)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	mustEcho(t, second, "second life")
	if why := <-ends; why != ErrReplaced {
		t.Errorf("the old one ended for %v", why)
	}
	if s := l.Stats(); s.Peers != 1 || s.Opened != 2 || s.Replaced != 1 {
		t.Errorf("%+v", s)
	}
}

// written is a connected socket that says nothing of being one.
type written struct{ conn *net.UDPConn }

func (w written) WriteTo(p []byte, _ net.Addr) (int, error) { return w.conn.Write(p) }
func (w written) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := w.conn.Read(p)
	return n, w.conn.RemoteAddr(), err
}
func (w written) Close() error                       { return w.conn.Close() }
func (w written) LocalAddr() net.Addr                { return w.conn.LocalAddr() }
func (w written) SetDeadline(t time.Time) error      { return w.conn.SetDeadline(t) }
func (w written) SetReadDeadline(t time.Time) error  { return w.conn.SetReadDeadline(t) }
func (w written) SetWriteDeadline(t time.Time) error { return w.conn.SetWriteDeadline(t) }

// splitting sends each record in a datagram of its own, as some stacks do.
type splitting struct{ net.PacketConn }

func (s splitting) WriteTo(p []byte, to net.Addr) (int, error) {
	for rest := p; len(rest) > 0; {
		n := 13 + int(binary.BigEndian.Uint16(rest[11:]))
		if _, err := s.PacketConn.WriteTo(rest[:n], to); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// firstHello returns the first datagram of a client.
func firstHello(tb testing.TB, cfg *Config) []byte {
	tb.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer pc.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go Dial(ctx, "udp4", pc.LocalAddr().String(), cfg)
	buf := make([]byte, 2000)
	pc.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, _, err := pc.ReadFrom(buf)
	if err != nil {
		tb.Fatal(err)
	}
	return buf[:n]
}
