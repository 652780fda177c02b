package dtls

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"
)

const benchMessage = 1350

// BenchmarkSuites seals and opens with each kind of cipher, and with a connection ID. How that compares with pion and
// OpenSSL is for bio/bench to say.
func BenchmarkSuites(b *testing.B) {
	for _, c := range []struct {
		name  string
		suite uint16
		cid   int
	}{
		{"aes128gcm", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0},
		{"aes128gcm+cid8", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 8},
		{"aes256gcm", tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 0},
		{"chacha20", tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, 0},
		{"ccm", TLS_ECDHE_ECDSA_WITH_AES_128_CCM, 0},
	} {
		b.Run("suite="+c.name, func(b *testing.B) {
			s := certSetup(b, ecKey).suite(c.suite).both(func(o *Options) { o.CIDLen = c.cid })
			client, server := benchPair(b, s)
			p, wire, plain := noise(benchMessage), make([]byte, 0, 2048), make([]byte, 0, 2048)
			b.SetBytes(benchMessage)
			b.ReportAllocs()
			for b.Loop() {
				d, _, _ := client.Seal(wire, p)
				if got, _, err := server.Open(plain, d); err != nil || len(got) != len(p) {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// benchPair returns two engines that have shaken hands, without goroutines.
func benchPair(t testing.TB, s *setup) (client, server *Engine) {
	client, server = s.makePair(t)
	shake(t, client, server)
	return client, server
}

// shake moves datagrams until both ends are open.
func shake(t testing.TB, client, server *Engine) {
	t.Helper()
	move := func(from, to *Engine) {
		for more := true; more; {
			var d []byte
			if d, more = from.Flush(nil, 0); len(d) > 0 {
				if _, _, err := to.Open(nil, d); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for client.State().Phase != bio.PhaseOpen || server.State().Phase != bio.PhaseOpen {
		move(client, server)
		move(server, client)
		select {
		case <-client.Ready():
		case <-server.Ready():
		case <-time.After(20 * time.Second):
			t.Fatalf("the handshake does not move: %v, %v", client.State(), server.State())
		}
	}
	client.Tick(time.Time{})
	server.Tick(time.Time{})
}

// pionPair returns two connections of pion's over a pipe of datagrams in memory.
func pionPair(t testing.TB, extra ...pion.Option) (client, server *pion.Conn) {
	near, far := newPipe()
	return pionOver(t, near, far, extra...)
}

// pionOver returns two connections of pion's that have shaken hands.
func pionOver(t testing.TB, near, far net.PacketConn, extra ...pion.Option) (client, server *pion.Conn) {
	s := certSetup(t, ecKey)
	silent := pion.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard})
	copts := []pion.ClientOption{pion.WithServerName(serverName), pion.WithRootCAs(s.client.TLS.RootCAs), silent}
	sopts := []pion.ServerOption{pion.WithCertificates(s.server.TLS.Certificates...), silent}
	for _, o := range extra {
		copts, sopts = append(copts, o), append(sopts, o)
	}
	client, err := pion.ClientWithOptions(near, near.LocalAddr(), copts...)
	check(t, err)
	server, err = pion.ServerWithOptions(far, far.LocalAddr(), sopts...)
	check(t, err)
	var wg sync.WaitGroup
	var cerr, serr error
	wg.Go(func() { cerr = client.Handshake() })
	wg.Go(func() { serr = server.Handshake() })
	wg.Wait()
	check(t, cerr)
	check(t, serr)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// A pipe is one end of a net.PacketConn in memory, the same that pion gets inside an engine.
type pipe struct {
	*memConn
	name memAddr
	far  *memConn
}

func newPipe() (near, far *pipe) {
	end := func(name string) *memConn { return newMemConn(name, &queue{mute: true}, func() {}) }
	a, b := end("far"), end("near")
	return &pipe{a, "near", b}, &pipe{b, "far", a}
}

// WriteTo implements net.PacketConn.
func (p *pipe) WriteTo(d []byte, _ net.Addr) (int, error) {
	p.far.deliver(append([]byte(nil), d...))
	return len(d), nil
}
