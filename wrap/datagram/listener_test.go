package datagram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
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

// ask sends a message until it is echoed. What else comes may be the echo of one before, which was asked for twice.
func ask(c net.Conn, message string) error {
	buf := make([]byte, 2000)
	for range 10 {
		if _, err := c.Write([]byte(message)); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		for {
			n, err := c.Read(buf)
			switch {
			case err != nil && isTimeout(err):
			case err != nil || string(buf[:n]) == message:
				return err
			default:
				continue
			}
			break
		}
	}
	return fmt.Errorf("%q: no echo", message)
}

// mustEcho asks for an echo.
func mustEcho(tb testing.TB, c net.Conn, message string) {
	tb.Helper()
	if err := ask(c, message); err != nil {
		tb.Fatal(err)
	}
}

// eventually waits until something is so.
func eventually(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
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

// TestListenerCloseTellsAll closes a Listener with many peers: each hears of it by close_notify, also who was never
// accepted.
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
	_, timed := configs(t, "openvpn")
	noCert := good.Clone()
	noCert.TLS = nil
	for _, c := range []struct {
		name    string
		network string
		cfg     *Config
		options ListenOptions
	}{
		{"no Config", "udp", nil, ListenOptions{}},
		{"no credentials", "udp", noCert, ListenOptions{}},
		{"a codec with a clock", "udp", timed, ListenOptions{}},
		{"too many shards", "udp", good, ListenOptions{Shards: 999}},
		{"a bad network", "tcp", good, ListenOptions{}},
		{"bad limits", "udp", good, ListenOptions{Limits: admission.Limits{HalfOpen: -1}}},
	} {
		if l, err := Listen(c.network, "127.0.0.1:0", c.cfg, c.options); err == nil {
			t.Errorf("%s: accepted", c.name)
			l.Close()
		} else {
			t.Logf("%s: %v", c.name, err)
		}
	}
}

// TestListenerBounds has room for few, and lets others wait.
func TestListenerBounds(t *testing.T) {
	client, server := configs(t, "")
	l := listen(t, server, ListenOptions{MaxPeers: 2})
	a := dial(t, l, client)
	dial(t, l, client)
	staysOut(t, l, client, func(s ListenerStats) bool { return s.MaxPeers > 0 })
	if s := l.Stats(); s.Peers != 2 {
		t.Errorf("%+v", s)
	}
	served, _ := l.Accept()
	served.Close()
	a.Close()
	mustEchoThrough(t, l, dial(t, l, client))
}

// staysOut has a client try to connect until it has been counted that it may not, and for a while more.
func staysOut(t *testing.T, l *Listener, client *Config, counted func(ListenerStats) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tried := make(chan error, 1)
	go func() {
		_, err := Dial(ctx, "udp4", l.Addr().String(), client)
		tried <- err
	}()
	eventually(t, "it is refused", func() bool { return counted(l.Stats()) })
	time.Sleep(200 * time.Millisecond)
	cancel()
	if err := <-tried; err == nil {
		t.Fatal("it has got in")
	}
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
	staysOut(t, l, client, func(s ListenerStats) bool { return s.BacklogFull > 0 })
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

// slowFlights repeats a flight after a second, as RFC 6347 has it.
func slowFlights(o *dtls.Options) { o.FlightInterval = time.Second }
