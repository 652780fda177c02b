package bio_test

import (
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// The names are those of bio/bench, which measures OpenSSL and the bare AEAD at the same work.

// BenchmarkRecord/encase/SIZE seals SIZE bytes behind room for a header and opens them at the other end: TLS 1.3 with
// TLS_AES_128_GCM_SHA256.
func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{1350, 1400, bio.MaxPlaintext} {
		b.Run(fmt.Sprintf("encase/%d", size), func(b *testing.B) { benchmarkRecord(b, size) })
	}
}

func benchmarkRecord(b *testing.B, size int) {
	const headroom = 64
	c, s := newPair(b, clientConfig(tls.VersionTLS13), serverConfig(tls.VersionTLS13))
	shake(b, c, s)
	if suite := c.State().TLS.CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		b.Skipf("the handshake chose %s: no AES in hardware", tls.CipherSuiteName(suite))
	}
	p := make([]byte, size)
	wire := make([]byte, headroom, headroom+size+c.Overhead())
	plain := make([]byte, 0, size+1)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		out, _, err := c.Seal(wire[:headroom], p)
		if err != nil {
			b.Fatal(err)
		}
		got, _, err := s.Open(plain[:0], out[headroom:])
		if err != nil || len(got) != size {
			b.Fatalf("Open returned %d bytes: %v", len(got), err)
		}
	}
}

// BenchmarkHandshake/encase makes a client and a server and shakes hands: TLS 1.3, X25519, a P-256 certificate that is
// verified, no tickets.
func BenchmarkHandshake(b *testing.B) {
	b.Run("encase", func(b *testing.B) {
		server := serverConfig(tls.VersionTLS13)
		server.SessionTicketsDisabled = true
		clients := mustMake(b, &bio.Config{TLS: clientConfig(tls.VersionTLS13)})
		servers := mustMake(b, &bio.Config{TLS: server})
		b.ReportAllocs()
		for b.Loop() {
			c, err := clients(frame.Client)
			if err != nil {
				b.Fatal(err)
			}
			s, err := servers(frame.Server)
			if err != nil {
				b.Fatal(err)
			}
			shake(b, &peer{Engine: c}, &peer{Engine: s})
		}
	})
}

// BenchmarkIdle/IMPL/SIZE measures what an idle connection of a server holds after a record of SIZE bytes: an engine,
// and crypto/tls with a goroutine that waits.
func BenchmarkIdle(b *testing.B) {
	for _, size := range []int{100, bio.MaxPlaintext} {
		idle := newIdler(b, tls.X25519, size)
		for name, open := range map[string]func() (any, error){"encase": idle.engine, "crypto-tls": idle.conn} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				for b.Loop() {
					b.ReportMetric(float64(idle.measure(b, 1000, open)), "B/conn")
				}
			})
		}
	}
}
