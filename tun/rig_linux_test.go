package tun

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/tuntest"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// A rig is a server in a namespace and the means to connect clients, each in another.
type rig struct {
	t      testing.TB
	ns     *tuntest.Namespace
	ca     *ephemeral.Authority
	server *Server
	cfg    ServerConfig
	stop   context.CancelFunc
	ended  chan error
	log    *journal
	count  int
}

// A journal keeps what is logged, and shows it if the test fails.
type journal struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func newJournal(t testing.TB, who string) (*journal, *slog.Logger) {
	j := &journal{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s:\n%s", who, j)
		}
	})
	return j, slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

const (
	streamPort   = "10.1.0.1:4433"
	datagramPort = "10.1.0.1:4434"
)

func newRig(t testing.TB, change func(*ServerConfig)) *rig {
	t.Helper()
	r := &rig{t: t, ns: tuntest.New(t)}
	var err error
	if r.ca, err = ephemeral.New("test CA"); err != nil {
		t.Fatal(err)
	}
	r.ns.IP("link", "add", "br0", "type", "bridge")
	r.ns.IP("addr", "add", "10.1.0.1/24", "dev", "br0")
	r.ns.IP("link", "set", "br0", "up")
	var logger *slog.Logger
	r.log, logger = newJournal(t, "server")
	r.cfg = ServerConfig{
		Interface: Interface{Config: device.Config{Namespace: r.ns.Path()}},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.66.0.1/24"), netip.MustParsePrefix("fd66::1/64")},
		Pools:     []netip.Prefix{netip.MustParsePrefix("10.66.0.0/24"), netip.MustParsePrefix("fd66::/64")},
		LeaseFile: t.TempDir() + "/leases.json", Log: logger,
	}
	if change != nil {
		change(&r.cfg)
	}
	r.start()
	t.Cleanup(r.halt)
	return r
}

func (r *rig) issue(name string) tls.Certificate {
	r.t.Helper()
	cert, err := r.ca.Issue(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return cert
}

func (r *rig) codec() frame.Maker {
	mk, err := codecs.Parse("length:16be")
	if err != nil {
		r.t.Fatal(err)
	}
	return mk
}

// start starts the server, anew if it has been stopped.
func (r *rig) start() {
	r.t.Helper()
	cfg := r.cfg
	serverTLS := &tls.Config{Certificates: []tls.Certificate{r.issue("server.test")},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: r.ca.Pool()}
	streams, datagrams := r.listen(serverTLS)
	cfg.Entrances = []Entrance{
		{Codec: "length:16be", Stream: streams, TLS: &wrap.Config{TLS: serverTLS, Codec: r.codec(), WriteBuffer: 128 << 10}},
		{Codec: "raw", Datagrams: datagrams},
	}
	var err error
	if r.server, err = NewServer(cfg); err != nil {
		r.t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.ended = make(chan error, 1)
	go func() { r.ended <- r.server.Run(ctx) }()
}

// listen opens the ports. A program that another test starts at this moment may still hold those that a server before had,
// until it is under way.
func (r *rig) listen(cfg *tls.Config) (streams net.Listener, datagrams *datagram.Listener) {
	r.t.Helper()
	for end := time.Now().Add(tuntest.Patience); ; time.Sleep(10 * time.Millisecond) {
		var err error
		r.ns.Do(func() error {
			if streams, err = net.Listen("tcp", streamPort); err != nil {
				return nil
			}
			datagrams, err = datagram.Listen("udp", datagramPort, &datagram.Config{TLS: cfg, MTU: 1472, Queue: 4 << 20,
				Stack: dtls.Stack(dtls.Options{MTU: SafeDatagram})}, datagram.ListenOptions{})
			if err != nil {
				streams.Close()
			}
			return nil
		})
		switch {
		case err == nil:
			return streams, datagrams
		case !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end):
			r.t.Fatal(err)
		}
	}
}

func (r *rig) halt() {
	r.stop()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("the server ended with: %v", err)
		}
		r.ended <- nil
	case <-time.After(tuntest.Patience):
		r.t.Error("the server does not stop")
	}
}

// A traveller is a client in a namespace of its own.
type traveller struct {
	r      *rig
	ns     *tuntest.Namespace
	name   string
	client *Client
	log    *journal
	stop   context.CancelFunc
	ended  chan error
}

// client makes a client with a certificate, next to the server, which connects by the carriers that are named.
func (r *rig) client(name string, change func(*ClientConfig), carriers ...Carrier) *traveller {
	r.t.Helper()
	r.count++
	c := &traveller{r: r, ns: tuntest.New(r.t), name: name}
	port := fmt.Sprintf("c%d", r.count)
	tuntest.Connect(r.ns, c.ns, port, fmt.Sprintf("10.1.1.%d/32", r.count), "eth0", fmt.Sprintf("10.1.0.%d/24", 1+r.count))
	r.ns.IP("link", "set", port, "master", "br0")
	c.ns.IP("route", "add", "default", "via", "10.1.0.1")
	c.begin(change, carriers...)
	return c
}

// begin makes the client and runs it.
func (c *traveller) begin(change func(*ClientConfig), carriers ...Carrier) {
	r, name := c.r, c.name
	r.t.Helper()
	cert := r.issue(name)
	var logger *slog.Logger
	c.log, logger = newJournal(r.t, name)
	cfg := ClientConfig{Interface: Interface{Config: device.Config{Namespace: c.ns.Path()}}, Underlay: c.ns.Path(),
		Log: logger, Name: name}
	for _, carrier := range carriers {
		cfg.Endpoints = append(cfg.Endpoints, c.endpoint(carrier, cert))
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if c.client, err = NewClient(cfg); err != nil {
		r.t.Fatal(err)
	}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	c.ended = make(chan error, 1)
	go func() { c.ended <- c.client.Run(ctx) }()
	r.t.Cleanup(c.halt)
}

func (c *traveller) halt() {
	c.stop()
	select {
	case err := <-c.ended:
		if err != nil {
			c.r.t.Errorf("%s ended with: %v", c.name, err)
		}
		c.ended <- nil
	case <-time.After(tuntest.Patience):
		c.r.t.Errorf("%s does not stop", c.name)
	}
}

func (c *traveller) endpoint(carrier Carrier, cert tls.Certificate) Endpoint {
	clientTLS := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: c.r.ca.Pool(), ServerName: "server.test"}
	if carrier == Datagrams {
		cfg := &datagram.Config{TLS: clientTLS, MTU: 1472, Queue: 4 << 20,
			Stack: dtls.Stack(dtls.Options{SendCID: true, MTU: SafeDatagram})}
		return Endpoint{Name: "udp://" + datagramPort, Carrier: carrier, Codec: "raw",
			Dial: func(ctx context.Context) (conn net.Conn, err error) {
				err = c.ns.Try(func() error { conn, err = datagram.Dial(ctx, "udp", datagramPort, cfg); return err })
				return conn, err
			}}
	}
	cfg := &wrap.Config{TLS: clientTLS, Codec: c.r.codec(), WriteBuffer: 128 << 10}
	return Endpoint{Name: "tcp://" + streamPort, Carrier: carrier, Codec: "length:16be",
		Dial: func(ctx context.Context) (net.Conn, error) {
			var raw net.Conn
			err := c.ns.Try(func() (err error) { raw, err = new(net.Dialer).DialContext(ctx, "tcp", streamPort); return err })
			if err != nil {
				return nil, err
			}
			conn := wrap.Client(wrap.Stream(raw), cfg)
			if err := conn.HandshakeContext(ctx); err != nil {
				conn.Close()
				return nil, err
			}
			return conn, nil
		}}
}

// address waits until the client has an address and returns that of IPv4.
func (c *traveller) address() string {
	c.r.t.Helper()
	var j *joined
	tuntest.Eventually(c.r.t, c.name+" is connected", func() bool {
		j = c.client.current.Load()
		return j != nil && j.active.Load() != nil
	})
	return j.config.Addresses[0].Addr().String()
}

// uses waits until packets go over a carrier.
func (c *traveller) uses(carrier Carrier) {
	c.r.t.Helper()
	tuntest.Eventually(c.r.t, fmt.Sprintf("%s uses %s", c.name, carrier), func() bool {
		j := c.client.current.Load()
		if j == nil {
			return false
		}
		a := j.active.Load()
		return a != nil && a.carrier == carrier
	})
}

// transfer sends n bytes from one namespace to an address in another and checks them.
func transfer(t testing.TB, from, to *tuntest.Namespace, address string, n int) {
	t.Helper()
	var l net.Listener
	to.Do(func() (err error) { l, err = net.Listen("tcp", net.JoinHostPort(address, "0")); return err })
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
	deadline := time.Now().Add(2 * tuntest.Patience)
	c.SetDeadline(deadline)
	s.SetDeadline(deadline)
	go func() {
		block := make([]byte, 64<<10)
		for i := range block {
			block[i] = pattern(i)
		}
		for sent := 0; sent < n; {
			m, err := c.Write(block[:min(len(block), n-sent)])
			if sent += m; err != nil {
				return
			}
		}
		c.(*net.TCPConn).CloseWrite()
	}()
	data, err := io.ReadAll(s)
	if err != nil || len(data) != n {
		t.Fatalf("%d bytes of %d arrived, %v", len(data), n, err)
	}
	for i, b := range data {
		if b != pattern(i%(64<<10)) {
			t.Fatalf("byte %d is wrong", i)
		}
	}
}

func pattern(i int) byte { return byte(i * 7 >> 3) }
