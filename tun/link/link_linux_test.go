package link

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	_ "github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/tuntest"
	"github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// An end is one of the two ends of a tunnel.
type end struct {
	ns    *tuntest.Namespace
	d     *device.Device
	conn  net.Conn
	queue *Queue
	link  mover
	heard atomic.Int64 // control messages
	done  chan error
}

// newEnd makes an end in a namespace of its own with an address and a connection.
func newEnd(t testing.TB, address string, conn net.Conn, o *device.Offloads, change func(*Config)) *end {
	t.Helper()
	e := &end{ns: tuntest.New(t), conn: conn, queue: NewQueue(0, 0), done: make(chan error, 3)}
	var err error
	if e.d, err = device.Open(device.Config{Namespace: e.ns.Path(), Offloads: o}); err != nil {
		t.Fatal(err)
	}
	e.ns.IP("addr", "add", address+".1/24", "dev", e.d.Name())
	e.ns.IP("link", "set", e.d.Name(), "up", "mtu", "1400", "txqueuelen", "1000")
	cfg := Config{MTU: tunnelMTU, Whole: device.Offloads{TCP: true, ECN: true, UDP: true}, Joined: e.d.Offloads()}
	cfg.Control = func(wire.Type, []byte) error { e.heard.Add(1); return nil }
	if change != nil {
		change(&cfg)
	}
	w := NewWriter(e.d.Queues()[0])
	if m, ok := conn.(MessageConn); ok {
		cfg.Partial = true
		e.link = NewDatagrams(m, e.queue, w, []netip.Addr{netip.MustParseAddr(address + ".2")}, cfg)
	} else {
		e.link = NewStream(conn, e.queue, w, cfg)
	}
	return e
}

// A mover is a Stream or Datagrams.
type mover interface {
	Send() error
	Receive() error
	Stats() Stats
}

// start moves packets until the end of the test.
func (e *end) start(t testing.TB) {
	go func() {
		r := NewReader(e.d.Queues()[0])
		defer r.Close()
		for {
			units, err := r.Read()
			if err != nil {
				e.done <- err
				return
			}
			e.queue.Push(units...)
		}
	}()
	go func() { e.done <- e.link.Send() }()
	go func() { e.done <- e.link.Receive() }()
	t.Cleanup(func() {
		e.conn.Close()
		e.queue.Close()
		e.d.Close()
		for range 3 {
			err := <-e.done
			if err != nil && err != io.EOF && !errors.Is(err, os.ErrClosed) && !errors.Is(err, net.ErrClosed) &&
				!strings.Contains(err.Error(), "close") && !strings.Contains(err.Error(), "reset") {
				t.Errorf("a link ended with: %v", err)
			}
		}
	})
}

// secure makes a TLS connection over loopback.
func secure(t testing.TB) (client, server net.Conn) {
	t.Helper()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.test")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return wrap.Client(wrap.Stream(near), &wrap.Config{TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}}),
		wrap.Server(wrap.Stream(far), &wrap.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
}

// secureDatagrams makes a DTLS connection over loopback.
func secureDatagrams(t testing.TB) (client, server net.Conn) {
	t.Helper()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.test")
	if err != nil {
		t.Fatal(err)
	}
	cfg := datagram.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, MTU: 1472, Queue: 4 << 20}
	l, err := datagram.Listen("udp", "127.0.0.1:0", &cfg, datagram.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := datagram.Dial(t.Context(), "udp", l.Addr().String(),
		&datagram.Config{TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}, MTU: 1472, Queue: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return c, server
}

// tunnel makes a tunnel between two namespaces, with a route to the other end at each.
func tunnel(t testing.TB, connect func(testing.TB) (client, server net.Conn), offloads [2]*device.Offloads, change func(*Config)) (a, b *end) {
	t.Helper()
	client, server := connect(t)
	a = newEnd(t, "10.78.0", client, offloads[0], change)
	b = newEnd(t, "10.79.0", server, offloads[1], change)
	a.ns.IP("route", "add", "10.79.0.0/24", "dev", a.d.Name())
	b.ns.IP("route", "add", "10.78.0.0/24", "dev", b.d.Name())
	a.start(t)
	b.start(t)
	return a, b
}

// A connection of the kernels at both ends carries all bytes both ways, with offloads at both ends, at one or at none.
func TestTCPThroughATunnel(t *testing.T) {
	off := &device.Offloads{}
	for name, offloads := range map[string][2]*device.Offloads{
		"all": {nil, nil}, "near end without": {off, nil}, "far end without": {nil, off}, "none": {off, off},
	} {
		t.Run(name, func(t *testing.T) {
			for _, connect := range []func(testing.TB) (client, server net.Conn){secure, secureDatagrams} {
				throughTunnel(t, connect, offloads)
			}
		})
	}
}

func throughTunnel(t *testing.T, connect func(testing.TB) (client, server net.Conn), offloads [2]*device.Offloads) {
	a, b := tunnel(t, connect, offloads, nil)
	const n = 8 << 20
	if got := transfer(t, a.ns, b.ns, "10.79.0.1", n); got != n {
		t.Errorf("%d bytes arrived", got)
	}
	if got := transfer(t, b.ns, a.ns, "10.78.0.1", n); got != n {
		t.Errorf("%d bytes arrived on the way back", got)
	}
	for _, e := range []*end{a, b} {
		if s := e.link.Stats(); s.Refused+s.Spoofed+s.Undeliverable != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// transfer sends n bytes from a program in one namespace to one in the other and returns how many arrive right.
func transfer(t testing.TB, from, to *tuntest.Namespace, address string, n int) int {
	t.Helper()
	var l net.Listener
	to.Do(func() (err error) { l, err = net.Listen("tcp", address+":0"); return err })
	defer l.Close()
	var c net.Conn
	from.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", l.Addr().String(), tuntest.Patience)
		return err
	})
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go func() {
		block := make([]byte, 64<<10)
		for i := range block {
			block[i] = pattern(i)
		}
		for sent := 0; sent < n; sent += len(block) {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
		c.(*net.TCPConn).CloseWrite()
	}()
	data, err := io.ReadAll(s)
	if err != nil {
		t.Error(err)
	}
	for i, b := range data {
		if b != pattern(i%(64<<10)) {
			t.Errorf("byte %d is wrong", i)
			return i
		}
	}
	return len(data)
}

// A peer can send from its own addresses only, and nothing that is no packet.
func TestHostilePeer(t *testing.T) {
	client, server := secure(t)
	e := newEnd(t, "10.79.0", server, nil, func(c *Config) {
		c.Allowed = func(a netip.Addr) bool { return a == netip.MustParseAddr("10.78.0.1") }
	})
	e.start(t)
	send := func(p []byte) {
		t.Helper()
		if _, err := client.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	framed := func(head string, p []byte) []byte {
		return append([]byte(head+string([]byte{byte(len(p) >> 8), byte(len(p))})), p...)
	}
	echo := func(from byte) []byte {
		return []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 78, 0, from, 10, 79, 0, 1, 8, 0, 0xf7, 0xff, 0, 0, 0, 0}
	}
	send(framed("\x10\x00\x00\x00", echo(2)))                     // spoofed
	send(framed("\x10\x00\x00\x00", echo(1)[:27]))                // cut off
	send(framed("\x10\x00\x00\x00", nil))                         // empty
	send(framed("\x21\x00\xff\xff", echo(1)))                     // a super-packet that is none
	send(framed("\x11\x00\x00\x00", echo(1)))                     // a checksum to compute where there is none
	send(wire.AppendControl(nil, wire.TypePing, []byte("12345"))) // for Control to judge
	send(framed("\x10\x00\x00\x00", echo(1)))
	send([]byte{0x9f, 0, 0, 0, 0, 0}) // no frame: the end
	if err := <-e.done; !errors.Is(err, ErrProtocol) {
		t.Errorf("the link ends with %v", err)
	}
	e.done <- nil
	s := e.link.Stats()
	if s.Spoofed != 1 || s.Refused != 4 || s.Received != 1 || e.heard.Load() != 1 {
		t.Errorf("%+v, %d control messages", s, e.heard.Load())
	}
}

// BenchmarkWriters has each processor write packets to a device, as links of several clients do.
func BenchmarkWriters(b *testing.B) {
	for _, queues := range []int{1, 2} {
		b.Run(fmt.Sprintf("%d queues", queues), func(b *testing.B) {
			ns := tuntest.New(b)
			d, err := device.Open(device.Config{Namespace: ns.Path(), Queues: queues})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			ns.IP("link", "set", d.Name(), "up")
			writers := NewWriters(d)
			b.RunParallel(func(pb *testing.PB) {
				w, u := writers.Next(), unit(1, 1000, 0)
				for pb.Next() {
					if err := w.write(u.buf[:unitHead+len(u.Data)], unitHead, &u.Header, u.GSO); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkStream(b *testing.B) {
	bench(b, secure)
}

func BenchmarkDatagrams(b *testing.B) {
	bench(b, secureDatagrams)
}

func bench(b *testing.B, connect func(testing.TB) (client, server net.Conn)) {
	near, far := tunnel(b, connect, [2]*device.Offloads{}, nil)
	const n = 64 << 20
	b.SetBytes(n)
	for b.Loop() {
		if got := transfer(b, near.ns, far.ns, "10.79.0.1", n); got != n {
			b.Fatalf("%d bytes arrived", got)
		}
	}
}
