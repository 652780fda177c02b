package datagram

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/udp"
)

// A credential is what all tests share.
type credential struct {
	ca             *ephemeral.Authority
	server, client tls.Certificate
}

var sharedCredential = sync.OnceValues(func() (c credential, err error) {
	if c.ca, err = ephemeral.New("test CA"); err != nil {
		return c, err
	}
	if c.server, err = c.ca.Issue("server.test", "127.0.0.1"); err != nil {
		return c, err
	}
	c.client, err = c.ca.Issue("client.test")
	return c, err
})

// configs returns configurations of two sides where the client trusts the server, in a codec, "" for none. What is
// lost is soon sent again.
func configs(tb testing.TB, codec string, change ...func(*dtls.Options)) (client, server *Config) {
	tb.Helper()
	c, err := sharedCredential()
	if err != nil {
		tb.Fatal(err)
	}
	o := dtls.Options{FlightInterval: 100 * time.Millisecond}
	for _, f := range change {
		f(&o)
	}
	client = &Config{TLS: &tls.Config{RootCAs: c.ca.Pool(), ServerName: "server.test"}}
	server = &Config{TLS: &tls.Config{Certificates: []tls.Certificate{c.server}}}
	for _, cfg := range []*Config{client, server} {
		cfg.Stack = dtls.Stack(o)
		cfg.Codec = codecOf(tb, codec)
	}
	return client, server
}

// pskStack returns the stack with a key that both ends have: its handshakes cost little.
func pskStack(o dtls.Options) bio.Stack {
	o.PSK = func([]byte) ([]byte, error) { return []byte("sixteen bytes..."), nil }
	o.PSKIdentity = []byte("client")
	return dtls.Stack(o)
}

func codecOf(tb testing.TB, spec string) frame.Maker {
	tb.Helper()
	if spec == "" {
		return nil
	}
	m, err := codecs.Parse(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// A host is a server with one socket, as simple as can be: it lets everybody in, and forgets nobody.
type host struct {
	tb    testing.TB
	cfg   *Config
	sock  *udp.Socket
	conns chan *Conn // whose handshake is done, or has failed
	done  sync.WaitGroup

	mu   sync.Mutex
	all  map[netip.AddrPort]*Conn
	cids map[string]*Conn
	said int // datagrams of handshakes
}

const hostCID = 8

func newHost(tb testing.TB, cfg *Config) *host {
	tb.Helper()
	sock, err := udp.Open("udp", "127.0.0.1:0", udp.Options{ReadBuffer: 8 << 20})
	if err != nil {
		tb.Fatal(err)
	}
	h := &host{tb: tb, cfg: cfg, sock: sock, conns: make(chan *Conn, 1000),
		all: map[netip.AddrPort]*Conn{}, cids: map[string]*Conn{}}
	h.done.Go(h.receive)
	tb.Cleanup(h.close)
	return h
}

func (h *host) close() {
	h.sock.Close()
	h.done.Wait()
	h.mu.Lock()
	var all []*Conn
	for _, c := range h.all {
		all = append(all, c)
	}
	h.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
}

func (h *host) addr() netip.AddrPort {
	return netip.MustParseAddrPort(h.sock.LocalAddr().String())
}

func (h *host) receive() {
	packets := make([]udp.Packet, 8)
	for i := range packets {
		packets[i].Data = make([]byte, udp.MaxRead)
	}
	for {
		n, err := h.sock.ReadBatch(packets)
		for i := range packets[:n] {
			p := &packets[i]
			if c := h.connOf(p); c != nil {
				c.deliver(p.Data, p.Segment, endpoint{p.Addr, p.Local})
			}
		}
		if err != nil {
			return
		}
	}
}

func (h *host) connOf(p *udp.Packet) *Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	if cid, ok := bio.PeekCID(p.Data, hostCID); ok && h.cids[string(cid)] != nil {
		return h.cids[string(cid)]
	}
	if c := h.all[p.Addr]; c != nil {
		return c
	}
	c, err := newConn(h.cfg, frame.Server, &socketOutput{h.sock}, h.sock, hostOwner{h}, &endpoint{p.Addr, p.Local})
	if err != nil {
		h.tb.Error(err)
		return nil
	}
	h.all[p.Addr] = c
	return c
}

// The host as the owner of its Conns.
type hostOwner struct{ *host }

func (h hostOwner) says(*Conn, []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said++
}

func (h hostOwner) shaken(c *Conn, err error) {
	h.mu.Lock()
	if cid := c.localCID(); err == nil && cid != nil {
		h.cids[string(cid)] = c
	}
	h.mu.Unlock()
	h.conns <- c
}

func (h hostOwner) moved(c *Conn, from, to endpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, from.addr)
	h.all[to.addr] = c
}

func (h hostOwner) closed(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if to := c.to.Load(); h.all[to.addr] == c {
		delete(h.all, to.addr)
	}
	delete(h.cids, string(c.localCID()))
}

// accept waits for a Conn whose handshake is over.
func (h *host) accept() *Conn {
	h.tb.Helper()
	select {
	case c := <-h.conns:
		if err := c.Handshake(); err != nil {
			h.tb.Fatal(err)
		}
		return c
	case <-time.After(20 * time.Second):
		h.tb.Fatal("nobody has connected")
	}
	return nil
}

// dial returns both ends of a new connection to the host.
func (h *host) dial(client *Config) (c, s *Conn) {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := Dial(ctx, "udp", h.addr().String(), client)
	if err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() { c.Close() })
	return c, h.accept()
}

// noise returns n bytes that depend on seed.
func noise(n int, seed uint64) []byte {
	p := make([]byte, n)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}
