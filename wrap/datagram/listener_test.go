package datagram

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/admission"
	"github.com/encase-tls/encase/wrap/udp"
)

// Everybody in these tests has the same address, so it may do what many do.
var anybody = admission.Limits{HelloRate: -1, HalfOpenPerAddr: -1}

// listen returns a Listener on the loopback.
func listen(tb testing.TB, cfg *Config, o ListenOptions) *Listener {
	tb.Helper()
	if o.Limits == (admission.Limits{}) {
		o.Limits = anybody
	}
	l, err := Listen("udp4", "127.0.0.1:0", cfg, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// dial connects a client.
func dial(tb testing.TB, l *Listener, cfg *Config) *Conn {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := Dial(ctx, "udp4", l.Addr().String(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

// echo answers each message with the same.
func echo(c *Conn, message []byte) { c.Write(message) }

// ask sends a message and returns the answer, which may need some repetitions.
func ask(c net.Conn, message string) (string, error) {
	for range 10 {
		answer, err := askOnce(c, message)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return answer, err
		}
	}
	return "", errors.New("no answer")
}

// askOnce sends a message and returns the answer.
func askOnce(c net.Conn, message string) (string, error) {
	buf := make([]byte, 2000)
	if _, err := c.Write([]byte(message)); err != nil {
		return "", err
	}
	c.SetReadDeadline(time.Now().Add(time.Second))
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// mustEcho asks for an echo.
func mustEcho(tb testing.TB, c net.Conn, message string) {
	tb.Helper()
	if got, err := ask(c, message); err != nil || got != message {
		tb.Fatalf("%q, %v, want %q", got, err, message)
	}
}

// eventually waits until something is so.
func eventually(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("it does not come true that %s", what)
		}
	}
}

// TestListenerAccept serves as net.Listeners do, in several codecs.
func TestListenerAccept(t *testing.T) {
	for _, codec := range []string{"", "length:16be", "channeldata:udp"} {
		t.Run(codec, func(t *testing.T) {
			client, server := configs(t, codec, func(o *dtls.Options) { o.SendCID = true })
			l := listen(t, server, ListenOptions{})
			var served sync.WaitGroup
			served.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						return
					}
					served.Go(func() { copyMessages(c) })
				}
			})
			var clients sync.WaitGroup
			for i := range 8 {
				clients.Go(func() { mustEcho(t, dial(t, l, client), fmt.Sprintf("client %d", i)) })
			}
			clients.Wait()
			if s := l.Stats(); s.Opened != 8 || s.Peers != 8 || s.Admission.HalfOpen != 0 || s.Failed != 0 {
				t.Errorf("%+v", s)
			}
			l.Close()
			served.Wait()
			eventually(t, "nobody is left", func() bool { return l.Stats().Peers == 0 })
		})
	}
}

// copyMessages echoes until c ends.
func copyMessages(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 2000)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		c.Write(buf[:n])
	}
}

// TestListenerHandler serves without a goroutine for a peer, and tells who comes and goes.
func TestListenerHandler(t *testing.T) {
	client, server := configs(t, "")
	server.Handler = echo
	var opened, closed atomic.Int32
	ends := make(chan error, 10)
	l := listen(t, server, ListenOptions{
		Opened: func(*Conn) { opened.Add(1) },
		Closed: func(_ *Conn, why error) { closed.Add(1); ends <- why },
	})
	a, b := dial(t, l, client), dial(t, l, client)
	mustEcho(t, a, "a")
	mustEcho(t, b, "b")
	a.Close()
	if why := <-ends; why != io.EOF {
		t.Errorf("closed by the peer: %v", why)
	}
	mustEcho(t, b, "still there")
	if opened.Load() != 2 || closed.Load() != 1 || l.Stats().Peers != 1 {
		t.Errorf("%d opened, %d closed, %d left", opened.Load(), closed.Load(), l.Stats().Peers)
	}
}

// TestListenerCloseTellsAll closes a Listener with many peers: each hears of it by close_notify, also who was never accepted.
func TestListenerCloseTellsAll(t *testing.T) {
	client, server := configs(t, "length:16be")
	server.IdleTimeout = time.Hour
	l := listen(t, server, ListenOptions{Shards: 2})
	var conns []*Conn
	for range 10 {
		conns = append(conns, dial(t, l, client))
	}
	eventually(t, "all are known", func() bool { return l.Stats().Opened == 10 })
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for i, c := range conns {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 10)); err != io.EOF {
			t.Errorf("client %d: %v, want EOF", i, err)
		}
	}
	if _, err := l.Accept(); err != net.ErrClosed {
		t.Errorf("Accept: %v", err)
	}
	if err := l.Close(); err != net.ErrClosed {
		t.Errorf("a second Close: %v", err)
	}
	if s := l.Stats(); s.Peers != 0 || s.Closed != 10 {
		t.Errorf("%d peers, %d closed", s.Peers, s.Closed)
	}
	for _, s := range l.shards {
		if len(s.byAddr)+len(s.byCID)+len(s.agenda) > 0 {
			t.Errorf("somebody is remembered: %v, %v, %v", s.byAddr, s.byCID, s.agenda)
		}
	}
}

// TestListenerRefuses says at once what cannot work.
func TestListenerRefuses(t *testing.T) {
	_, good := configs(t, "")
	_, lossless := configs(t, "openvpn")
	noCert := good.Clone()
	noCert.TLS = nil
	for name, try := range map[string]func() (*Listener, error){
		"no Config":       func() (*Listener, error) { return Listen("udp", "127.0.0.1:0", nil, ListenOptions{}) },
		"no credentials":  func() (*Listener, error) { return Listen("udp", "127.0.0.1:0", noCert, ListenOptions{}) },
		"not paired":      func() (*Listener, error) { return Listen("udp", "127.0.0.1:0", lossless, ListenOptions{}) },
		"too many shards": func() (*Listener, error) { return Listen("udp", "127.0.0.1:0", good, ListenOptions{Shards: 999}) },
		"a bad network":   func() (*Listener, error) { return Listen("tcp", "127.0.0.1:0", good, ListenOptions{}) },
		"bad limits": func() (*Listener, error) {
			return Listen("udp", "127.0.0.1:0", good, ListenOptions{Limits: admission.Limits{HalfOpen: -1}})
		},
	} {
		if l, err := try(); err == nil {
			t.Errorf("%s: accepted", name)
			l.Close()
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

// TestListenerBounds has room for few, and lets others wait.
func TestListenerBounds(t *testing.T) {
	client, server := configs(t, "")
	l := listen(t, server, ListenOptions{MaxPeers: 2})
	a := dial(t, l, client)
	dial(t, l, client)
	if c, err := tryDial(l, client, 500*time.Millisecond); err == nil {
		c.Close()
		t.Fatal("a third has got in")
	}
	if s := l.Stats(); s.MaxPeers == 0 || s.Peers != 2 {
		t.Errorf("%+v", s)
	}
	served, _ := l.Accept()
	served.Close()
	a.Close()
	mustEchoThrough(t, l, dial(t, l, client))
}

// tryDial connects a client within a time.
func tryDial(l *Listener, cfg *Config, patience time.Duration) (*Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return Dial(ctx, "udp4", l.Addr().String(), cfg)
}

// mustEchoThrough accepts until it has the server's end of c, which answers one message.
func mustEchoThrough(t *testing.T, l *Listener, c *Conn) {
	t.Helper()
	go func() {
		for {
			served, err := l.Accept()
			if err != nil {
				return
			}
			go copyMessages(served)
		}
	}()
	mustEcho(t, c, "it works")
}

// TestListenerBacklog fills the backlog: then nobody is answered until there is room.
func TestListenerBacklog(t *testing.T) {
	client, server := configs(t, "")
	l := listen(t, server, ListenOptions{Backlog: 2})
	dial(t, l, client)
	dial(t, l, client)
	eventually(t, "two wait", func() bool { return len(l.backlog) == 2 })
	if c, err := tryDial(l, client, 500*time.Millisecond); err == nil {
		c.Close()
		t.Fatal("a third has got in")
	}
	if l.Stats().BacklogFull == 0 {
		t.Error("not counted")
	}
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	dial(t, l, client)
}

// TestListenerSide shares the port with STUN, with strangers and with peers.
func TestListenerSide(t *testing.T) {
	for _, codec := range []string{"", "channeldata:udp"} {
		client, server := configs(t, codec)
		server.Handler = echo
		l := listen(t, server, ListenOptions{Side: func(from Origin, data []byte) {
			if admission.Classify(data) == admission.STUN {
				from.Send(append([]byte{1, 1}, data[2:]...))
			}
		}})
		request := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, noise(12, 1)...)
		stun := udpTo(t, l)
		stun.Write(request)
		stun.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer := make([]byte, 100)
		n, err := stun.Read(answer)
		if err != nil || n != 20 || answer[0] != 1 || string(answer[4:20]) != string(request[4:]) {
			t.Fatalf("%q: %x, %v", codec, answer[:n], err)
		}
		c := dial(t, l, client)
		c.out.(*dialed).sock.WriteBatch([]udp.Packet{{Data: request}}) // from the address of a peer
		mustEcho(t, c, "DTLS beside it")
		eventually(t, "both are counted", func() bool { return l.Stats().Side == 2 })
		if l.Stats().Admission.Counts[admission.NoHello] != 0 {
			t.Errorf("%q: STUN was taken for DTLS", codec)
		}
	}
}

// udpTo returns a plain socket that is connected to a Listener.
func udpTo(tb testing.TB, l *Listener) *net.UDPConn {
	tb.Helper()
	c, err := net.DialUDP("udp4", nil, l.Addr().(*net.UDPAddr))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

// TestListenerSlowReader has a peer that nobody reads: it loses messages, and nobody else waits.
func TestListenerSlowReader(t *testing.T) {
	client, server := configs(t, "")
	server.Queue = 4 << 10
	l := listen(t, server, ListenOptions{})
	slow := dial(t, l, client)
	unread, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		slow.Write(make([]byte, 1000))
	}
	quick := dial(t, l, client)
	mustEchoThrough(t, l, quick)
	eventually(t, "messages are dropped", func() bool { return unread.(*Conn).Stats().Dropped > 0 })
	if n, err := unread.Read(make([]byte, 2000)); n != 1000 || err != nil {
		t.Errorf("what was kept: %d bytes, %v", n, err)
	}
}

// TestListenerOverPacketConn serves over a socket of somebody else's.
func TestListenerOverPacketConn(t *testing.T) {
	client, server := configs(t, "length:16be")
	server.Handler = echo
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewListener(struct{ net.PacketConn }{pc}, server, ListenOptions{}) // as one that is no *net.UDPConn
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mustEcho(t, dial(t, l, client), "hello")
}

// TestListenerTimeouts ends who is idle and who does not answer.
func TestListenerTimeouts(t *testing.T) {
	client, server := configs(t, "")
	server.IdleTimeout, server.PeerTimeout = 400*time.Millisecond, 200*time.Millisecond
	ends := make(chan error, 10)
	l := listen(t, server, ListenOptions{Closed: func(_ *Conn, why error) { ends <- why }})
	idle := dial(t, l, client)
	if why := <-ends; why != ErrIdle {
		t.Errorf("an idle peer: %v", why)
	}
	idle.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := idle.Read(nil); err != io.EOF {
		t.Errorf("it hears %v", err)
	}
	silent := dial(t, l, client)
	if _, err := l.Accept(); err != nil { // the idle one's
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	stop := time.After(5 * time.Second)
	for why := error(nil); why == nil; {
		c.Write([]byte("are you there?"))
		select {
		case why = <-ends:
			if why != ErrPeerSilent {
				t.Errorf("a silent peer: %v", why)
			}
		case <-time.After(20 * time.Millisecond):
		case <-stop:
			t.Fatal("a silent peer stays")
		}
	}
	if s := l.Stats(); s.Idle != 1 || s.Silent != 1 || s.Peers != 0 {
		t.Errorf("%+v", s)
	}
	_ = silent
}

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

// TestListenerMove changes a client's port: with a connection ID its Conn goes with it, also to another shard and when somebody
// else is at the new address; without, it ends in time.
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
		server.Handler, server.IdleTimeout = echo, 200*time.Millisecond
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

// TestListenerStrangerCannotMove takes a client's record and sends it from elsewhere once it is old: the connection stays.
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

// TestListenerBeginAnew restarts a client that always has the same port: its new connection replaces the old, but only when its
// handshake is done, and a ClientHello of anybody else's disturbs nothing.
func TestListenerBeginAnew(t *testing.T) {
	client, server := configs(t, "")
	server.Handler = echo
	ends := make(chan error, 10)
	short := anybody
	short.UnprovenTimeout = 300 * time.Millisecond
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
	eventually(t, "it is half open", func() bool { return l.Stats().Admission.HalfOpen == 1 })
	if _, err := askOnce(first, "undisturbed"); err != nil {
		t.Error(err)
	}
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

// TestAgenda compares the heap with what is plain.
func TestAgenda(t *testing.T) {
	var a agenda
	base, in := time.Unix(1000, 0), map[*peer]bool{}
	random := noise(4000, 5)
	for i, b := range random {
		switch {
		case b%3 > 0 || len(in) == 0:
			p := &peer{}
			a.put(p, base.Add(time.Duration(random[(i*7)%4000])*time.Second))
			in[p] = true
		case b%2 == 0:
			for p := range in {
				a.put(p, base.Add(time.Duration(b)*time.Second))
				break
			}
		default:
			for p := range in {
				a.remove(p)
				a.remove(p)
				delete(in, p)
				break
			}
		}
	}
	last := time.Time{}
	for at, ok := a.next(); ok; at, ok = a.next() {
		if at.Before(last) || !in[a[0]] || a[0].turn != 1 {
			t.Fatal("out of order, or not to be there")
		}
		last = at
		delete(in, a[0])
		a.remove(a[0])
	}
	if len(in) != 0 {
		t.Errorf("%d are lost", len(in))
	}
}

// slowFlights repeats a flight after a second, as RFC 6347 has it.
func slowFlights(o *dtls.Options) { o.FlightInterval = time.Second }
