package demo

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/device"
	tunwire "github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

// described is a protocol that nobody speaks but this demonstration.
const described = "desc:magic 16 = 0xd71e; length 16 len payload; seq 32 count; payload; check 32 crc32c"

const (
	vpnName    = "vpn.encase.example"
	vpnAddress = "10.66.0.1"
	vpnPort    = "4433"
	pings      = 50
)

// A tunnelResult is what --tunnel --json writes.
type tunnelResult struct {
	OK      bool           `json:"ok"`
	Clients []clientResult `json:"clients"`
}

type clientResult struct {
	Name    string  `json:"name"`
	Carrier string  `json:"carrier"`
	Codec   string  `json:"codec"`
	Address string  `json:"address"`
	Ping    float64 `json:"ping_ms"`        // the median, from program to program through both kernels
	Up      float64 `json:"up_bytes_s"`     // to the server
	Down    float64 `json:"down_bytes_s"`   // from it
	SHA256  string  `json:"sha256"`         // of what arrived at the server
	Seconds float64 `json:"connect_second"` // until the tunnel was up
}

// runTunnel is the demonstration of a tunnel.
func (o *options) runTunnel(ctx context.Context, c *cobra.Command) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("namespaces and interfaces need root; run: sudo encase demo --tunnel")
	}
	out := c.OutOrStdout()
	s := &stage{out: out, show: terminal.Of(out)}
	if o.json {
		s = &stage{out: nowhere{}}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n, err := o.newNetwork(ctx, s)
	if n != nil {
		defer n.end(cancel)
	}
	if err != nil {
		return explain(ctx, err)
	}
	r := &tunnelResult{}
	for _, t := range n.clients {
		one, err := n.visit(ctx, s, t, int64(o.size))
		if err != nil {
			return explain(ctx, fmt.Errorf("%s: %w", t.name, err))
		}
		r.Clients = append(r.Clients, *one)
	}
	r.OK = true
	if o.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	s.line("%s", s.show.Paint(terminal.Green, fmt.Sprintf("ok: %s intact through each tunnel, both ways", o.size.text())))
	return s.err
}

// A tunnelNetwork is a server and its clients, each in a namespace.
type tunnelNetwork struct {
	place   *namespace
	server  *tun.Server
	clients []*tunnelClient
	running sync.WaitGroup
	began   time.Time
	ca      *ephemeral.Authority
}

// A tunnelClient is one of them.
type tunnelClient struct {
	name    string
	carrier tun.Carrier
	spec    string
	place   *namespace
	address netip.Addr
	took    time.Duration
	tun     *tun.Client
}

// newNetwork sets everything up. What is returned is to be ended, also with an error.
func (o *options) newNetwork(ctx context.Context, s *stage) (*tunnelNetwork, error) {
	n := &tunnelNetwork{began: time.Now()}
	s.act("A server and two clients, each in a network namespace of its own")
	var err error
	if n.place, err = newNamespace(); err != nil {
		return nil, err
	}
	if n.ca, err = ephemeral.New("encase demo authority"); err != nil {
		return n, err
	}
	if err := n.serve(ctx); err != nil {
		return n, err
	}
	for i, t := range []*tunnelClient{
		{name: "alice.encase.example", carrier: tun.Datagrams, spec: "raw"},
		{name: "bob.encase.example", carrier: tun.Stream, spec: described},
	} {
		if t.place, err = newNamespace(); err != nil {
			return n, err
		}
		n.clients = append(n.clients, t)
		if err := wire(n.place, t.place, i+1); err != nil {
			return n, err
		}
		if err := n.connect(ctx, t, i+1); err != nil {
			return n, fmt.Errorf("%s: %w", t.name, err)
		}
		s.rows(terminal.Row{Name: t.name, Text: fmt.Sprintf("%s, %s, up in %v, address %v", t.carrier, t.spec,
			t.took.Round(time.Millisecond), t.address)})
	}
	s.line("")
	return n, s.err
}

// end takes everything down.
func (n *tunnelNetwork) end(cancel context.CancelFunc) {
	cancel()
	n.running.Wait()
	for _, t := range n.clients {
		t.place.close()
	}
	n.place.close()
}

// quiet is for what goes on behind the scenes.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (n *tunnelNetwork) serve(ctx context.Context) error {
	cert, err := n.ca.Issue(vpnName)
	if err != nil {
		return err
	}
	t := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: n.ca.Pool()}
	codec, err := codecs.Parse(described)
	if err != nil {
		return err
	}
	var stream net.Listener
	var datagrams *datagram.Listener
	err = n.place.do(func() (err error) {
		if stream, err = net.Listen("tcp", ":"+vpnPort); err == nil {
			datagrams, err = datagram.Listen("udp", ":"+vpnPort, &datagram.Config{TLS: t, MTU: udpMTU, Queue: udpQueue,
				Stack: dtls.Stack(dtls.Options{MTU: tun.SafeDatagram})},
				datagram.ListenOptions{})
		}
		return err
	})
	if err != nil {
		return err
	}
	n.server, err = tun.NewServer(tun.ServerConfig{
		Interface: tun.Interface{Config: device.Config{Name: "encase0", Namespace: n.place.path()}}, Log: quiet(),
		Addresses: []netip.Prefix{netip.MustParsePrefix(vpnAddress + "/24")},
		Pools:     []netip.Prefix{netip.MustParsePrefix("10.66.0.0/24")},
		Entrances: []tun.Entrance{{Codec: "raw", Datagrams: datagrams},
			{Codec: described, Stream: stream, TLS: &wrap.Config{TLS: t, Codec: codec, WriteBuffer: 128 << 10}}},
	})
	if err == nil {
		n.running.Go(func() { n.server.Run(ctx) })
	}
	return err
}

const (
	udpMTU   = 1472 // of Ethernet, without the headers of IP and UDP
	udpQueue = 4 << 20
)

// connect brings up the tunnel of a client.
func (n *tunnelNetwork) connect(ctx context.Context, t *tunnelClient, number int) error {
	cert, err := n.ca.Issue(t.name)
	if err != nil {
		return err
	}
	codec, err := codecs.Parse(t.spec)
	if err != nil {
		return err
	}
	up := make(chan netip.Addr, 8)
	e := tun.Endpoint{Name: "server", Carrier: t.carrier, Codec: t.spec,
		Dial: t.dial(fmt.Sprintf("10.99.%d.1:%s", number, vpnPort), codec,
			&tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: n.ca.Pool(), ServerName: vpnName})}
	began := time.Now()
	t.tun, err = tun.NewClient(tun.ClientConfig{
		Interface: tun.Interface{Config: device.Config{Name: "encase0",
			Namespace: t.place.path()}}, Log: quiet(), Name: t.name,
		Endpoints: []tun.Endpoint{e},
		OnUp: func(_ string, c tunwire.Config) error {
			select {
			case up <- c.Addresses[0].Addr():
			default: // it has come back
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	n.running.Go(func() { t.tun.Run(ctx) })
	const patience = 20 * time.Second
	select {
	case t.address = <-up:
		t.took = time.Since(began)
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the tunnel is not up after %v", patience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dial returns what connects a client.
func (t *tunnelClient) dial(address string, codec frame.Maker, config *tls.Config) func(context.Context) (net.Conn,
	error) {
	if t.carrier == tun.Datagrams {
		cfg := &datagram.Config{TLS: config, MTU: udpMTU, Queue: udpQueue, Stack: dtls.Stack(dtls.Options{SendCID: true, MTU: tun.SafeDatagram})}
		return func(ctx context.Context) (conn net.Conn, err error) {
			err = t.place.do(func() error { conn, err = datagram.Dial(ctx, "udp", address, cfg); return err })
			return conn, err
		}
	}
	cfg := &wrap.Config{TLS: config, Codec: codec, WriteBuffer: 128 << 10}
	return func(ctx context.Context) (net.Conn, error) {
		var raw net.Conn
		err := t.place.do(func() (err error) { raw, err = new(net.Dialer).DialContext(ctx, "tcp", address); return err })
		if err != nil {
			return nil, err
		}
		c := wrap.Client(wrap.Stream(raw), cfg)
		if err := c.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	}
}

// visit measures a client, with a picture of that while it lasts.
func (n *tunnelNetwork) visit(ctx context.Context, s *stage, t *tunnelClient, bytes int64) (*clientResult, error) {
	s.act("%s, over %s: ping, and %s both ways", t.name, t.carrier, size(bytes).text())
	stop := n.picture(s)
	r, err := n.measure(ctx, t, bytes)
	stop()
	if err != nil {
		return nil, err
	}
	s.rows(terminal.Row{Name: "ping", Text: fmt.Sprintf("%.2f ms, the median of %d, from program to program", r.Ping,
		pings)},
		terminal.Row{Name: "to the server", Text: perSecond(r.Up) + "/s"}, terminal.Row{Name: "from it",
			Text: perSecond(r.Down) + "/s"},
		terminal.Row{Name: "SHA-256", Text: r.SHA256[:16] + "... of what was sent, and of what arrived: equal"})
	s.line("")
	return r, s.err
}

// measure pings the server from a client and moves data both ways.
func (n *tunnelNetwork) measure(ctx context.Context, t *tunnelClient, bytes int64) (*clientResult, error) {
	l, err := n.through(ctx, t)
	if err != nil {
		return nil, err
	}
	defer l.close()
	defer l.until(ctx)()
	r := &clientResult{Name: t.name, Carrier: string(t.carrier), Codec: t.spec, Address: t.address.String(),
		Seconds: t.took.Seconds()}
	rtt, err := l.ping(pings)
	if err != nil {
		return nil, err
	}
	r.Ping = float64(rtt.Microseconds()) / 1000
	sum, took, err := l.verified(bytes, io.Discard)
	if err != nil {
		return nil, err
	}
	r.Up, r.SHA256 = rate(bytes, took), hex.EncodeToString(sum)
	back := &link{client: l.server, server: l.client}
	if _, took, err = back.verified(bytes, io.Discard); err != nil {
		return nil, err
	}
	r.Down = rate(bytes, took)
	return r, nil
}

// through connects a client with the server by TCP, which is in the clear: the tunnel is what protects it.
func (n *tunnelNetwork) through(ctx context.Context, t *tunnelClient) (*link, error) {
	var l net.Listener
	err := n.place.do(func() (err error) { l, err = net.Listen("tcp", vpnAddress+":0"); return err })
	if err != nil {
		return nil, err
	}
	defer l.Close()
	out := &link{}
	err = t.place.do(func() (err error) {
		out.client, err = new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		return err
	})
	if err != nil {
		return nil, err
	}
	out.server, err = l.Accept()
	return out, err
}

// ping sends a byte and waits for it, n times, and returns the median.
func (l *link) ping(n int) (time.Duration, error) {
	var b [1]byte
	times := make([]time.Duration, n)
	for i := range times {
		began := time.Now()
		for _, c := range [][2]net.Conn{{l.client, l.server}, {l.server, l.client}} {
			if _, err := c[0].Write(b[:]); err != nil {
				return 0, err
			}
			if _, err := io.ReadFull(c[1], b[:]); err != nil {
				return 0, err
			}
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[n/2], nil
}

// picture shows on a terminal how the server is, until stop is called, which leaves the screen as it was.
func (n *tunnelNetwork) picture(s *stage) (stop func()) {
	if !s.show.Interactive {
		return func() {}
	}
	const every = 250 * time.Millisecond
	const aside, back = "\x1b[?1049h", "\x1b[?1049l" // another screen, and the one from before
	s.write(aside)
	v, quit, over := control.NewView(s.out), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for tick := time.NewTicker(every); ; {
			v.Show(&control.State{Status: n.server.Status(), PID: os.Getpid(), Started: n.began, Now: time.Now()})
			select {
			case <-quit:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(quit)
		<-over
		s.write(back)
	}
}
