package bench

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"
)

const (
	dtlsMessage = 1350
	dtlsSuite   = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	batchSize   = 32
)

// BenchmarkDTLSRecord seals a message and opens it at the other end, with AES-128-GCM. encase: Engine.Seal and Open.
// encase-batch: SealBatch and OpenBatch of 32 messages, in place; figures are per message. pion: Write and Read of pion
// over a pipe in memory, which its goroutines take part in. aead: the cipher alone.
func BenchmarkDTLSRecord(b *testing.B) {
	runEach(b, []contestant{
		{"encase", recordSingly},
		{"encase-batch", recordBatch},
		{"pion", recordPion},
		{"aead", func(b *testing.B) { benchmarkAEAD(b, dtlsMessage) }},
	})
}

// A contestant does the same work as the others.
type contestant struct {
	name string
	run  func(b *testing.B)
}

func runEach(b *testing.B, list []contestant) {
	for _, c := range list {
		b.Run(fmt.Sprintf("%s/%d", c.name, dtlsMessage), func(b *testing.B) {
			b.SetBytes(dtlsMessage)
			b.ReportAllocs()
			c.run(b)
		})
	}
}

func recordSingly(b *testing.B) {
	client, server := newEngines(b)
	p, wire, plain := make([]byte, dtlsMessage), make([]byte, 0, 2048), make([]byte, 0, 2048)
	for b.Loop() {
		d, _, err := client.Seal(wire, p)
		if err != nil {
			b.Fatal(err)
		}
		if got, _, err := server.Open(plain, d); err != nil || len(got) != len(p) {
			b.Fatal(len(got), err)
		}
	}
}

func recordBatch(b *testing.B) {
	client, server := newEngines(b)
	messages, wire, opened := newBatch(), make([]byte, 0, 64<<10), make([][]byte, 0, batchSize)
	b.ResetTimer()
	for i := 0; i < b.N; i += batchSize {
		d, segment, n, err := client.(bio.Batcher).SealBatch(wire, messages, 0, 0)
		if err != nil || n != batchSize {
			b.Fatal(n, err)
		}
		if got, _, err := server.(bio.Batcher).OpenBatch(opened, d, segment); err != nil || len(got) != batchSize {
			b.Fatal(len(got), err)
		}
	}
}

func newBatch() [][]byte {
	messages := make([][]byte, batchSize)
	for i := range messages {
		messages[i] = make([]byte, dtlsMessage)
	}
	return messages
}

func recordPion(b *testing.B) {
	client, server := newPions(b)
	p, plain := make([]byte, dtlsMessage), make([]byte, 2048)
	for b.Loop() {
		if _, err := client.Write(p); err != nil {
			b.Fatal(err)
		}
		if n, err := server.Read(plain); err != nil || n != len(p) {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkDTLSHandshake makes both ends and shakes hands: X25519, a P-256 certificate that is verified, a cookie, no
// session. With -test.cpu 1, ns/op is the time of one core for both ends, as it is for openssl.
func BenchmarkDTLSHandshake(b *testing.B) {
	c := newCredentials(b)
	b.Run("encase", func(b *testing.B) {
		room, timeout := make([]byte, 0, 2048), time.NewTimer(time.Hour)
		defer timeout.Stop()
		shakeOften(b, func() {
			client, server := c.engines(b)
			timeout.Reset(handshakeLimit)
			shake(b, client, server, room, timeout.C)
		})
	})
	b.Run("pion", func(b *testing.B) {
		shakeOften(b, func() {
			near, far := newPipe()
			client, server := c.pions(b, near, far)
			client.Close()
			server.Close()
		})
	})
}

func shakeOften(b *testing.B, handshake func()) {
	b.ReportAllocs()
	for b.Loop() {
		handshake()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
}

// credentials are what both stacks use.
type credentials struct {
	client, server *tls.Config
	makers         [2]bio.Maker // by role
}

func newCredentials(tb testing.TB) *credentials {
	tb.Helper()
	ca, err := ephemeral.New("benchmark CA")
	check(tb, err)
	cert, err := ca.Issue("localhost")
	check(tb, err)
	shared := tls.Config{CipherSuites: []uint16{dtlsSuite}, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}}
	c := &credentials{client: shared.Clone(), server: shared.Clone()}
	c.client.ServerName, c.client.RootCAs = "localhost", ca.Pool()
	c.server.Certificates = []tls.Certificate{cert}
	for role, cfg := range map[frame.Role]*tls.Config{frame.Client: c.client, frame.Server: c.server} {
		c.makers[role], err = dtls.New(&bio.Config{TLS: cfg}, dtls.Options{})
		check(tb, err)
	}
	return c
}

func check(tb testing.TB, err error) {
	if err != nil {
		tb.Helper() // not before: it looks at the stack, for as long as a record takes
		tb.Fatal(err)
	}
}

func (c *credentials) engines(tb testing.TB) (client, server bio.Engine) {
	client, err := c.makers[frame.Client](frame.Client)
	check(tb, err)
	server, err = c.makers[frame.Server](frame.Server)
	check(tb, err)
	return client, server
}

func newEngines(tb testing.TB) (client, server bio.Engine) {
	tb.Helper()
	client, server = newCredentials(tb).engines(tb)
	shake(tb, client, server, make([]byte, 0, 2048), time.After(handshakeLimit))
	return client, server
}

const handshakeLimit = 20 * time.Second

// shake moves datagrams, by way of room, until both ends are open.
func shake(tb testing.TB, client, server bio.Engine, room []byte, timeout <-chan time.Time) {
	for open := 0; ; {
		open += moveAll(tb, client, server, room) + moveAll(tb, server, client, room)
		if open == 2 {
			return
		}
		select {
		case <-client.(bio.Notifier).Ready():
		case <-server.(bio.Notifier).Ready():
		case <-timeout:
			tb.Fatalf("the handshake does not end: %v, %v", client.State().Phase, server.State().Phase)
		}
	}
}

// moveAll moves what one end has to say to the other, and returns how many ends have said that they are open now.
func moveAll(tb testing.TB, from, to bio.Engine, room []byte) (opened int) {
	look := func(st bio.Status, err error) {
		check(tb, err)
		if st.Events.Has(bio.EventHandshakeDone) {
			opened++
		}
	}
	look(from.Tick(time.Time{}))
	for more := true; more; {
		var d []byte
		if d, more = from.Flush(room, 0); len(d) > 0 {
			_, st, err := to.Open(nil, d)
			look(st, err)
		}
	}
	return opened
}

// pions returns two connections of pion's that have shaken hands over conns.
func (c *credentials) pions(tb testing.TB, near, far net.PacketConn) (client, server *pion.Conn) {
	silent := pion.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard})
	suites := pion.WithCipherSuites(pion.CipherSuiteID(dtlsSuite))
	client, err := pion.ClientWithOptions(near, far.LocalAddr(), silent, suites,
		pion.WithServerName(c.client.ServerName), pion.WithRootCAs(c.client.RootCAs))
	check(tb, err)
	server, err = pion.ServerWithOptions(far, near.LocalAddr(), silent, suites,
		pion.WithCertificates(c.server.Certificates...))
	check(tb, err)
	var both sync.WaitGroup
	var clientErr, serverErr error
	both.Go(func() { clientErr = client.Handshake() })
	both.Go(func() { serverErr = server.Handshake() })
	both.Wait()
	check(tb, clientErr)
	check(tb, serverErr)
	return client, server
}

func newPions(tb testing.TB) (client, server *pion.Conn) {
	tb.Helper()
	near, far := newPipe()
	client, server = newCredentials(tb).pions(tb, near, far)
	tb.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// A pipe is one end of a net.PacketConn in memory, as cheap as can be.
type pipe struct {
	name     pipeAddr
	in, out  chan []byte
	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed when deadline changes
	closed   chan struct{}
	once     sync.Once
}

type pipeAddr string

func (pipeAddr) Network() string  { return "memory" }
func (a pipeAddr) String() string { return string(a) }

func newPipe() (near, far *pipe) {
	a, b := make(chan []byte, 64), make(chan []byte, 64)
	end := func(name pipeAddr, in, out chan []byte) *pipe {
		return &pipe{name: name, in: in, out: out, changed: make(chan struct{}), closed: make(chan struct{})}
	}
	return end("near", a, b), end("far", b, a)
}

func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		p.mu.Lock()
		deadline, changed := p.deadline, p.changed
		p.mu.Unlock()
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, nil, os.ErrDeadlineExceeded
		}
		select {
		case d := <-p.in:
			return copy(b, d), p.LocalAddr(), nil
		case <-changed:
		case <-p.closed:
			return 0, nil, net.ErrClosed
		}
	}
}

func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case p.out <- append([]byte(nil), b...):
	default: // full: lost, as on a network
	}
	return len(b), nil
}

// SetReadDeadline knows those in the past, with which pion ends a read, and no others.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	close(p.changed)
	p.changed = make(chan struct{})
	return nil
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipe) LocalAddr() net.Addr                { return p.name }
func (p *pipe) SetDeadline(t time.Time) error      { return p.SetReadDeadline(t) }
func (p *pipe) SetWriteDeadline(t time.Time) error { return nil }
