package bio_test

import (
	"crypto/tls"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

func BenchmarkZZ(b *testing.B) {
	ca, _ := ephemeral.New("x")
	cert, _ := ca.Issue("server.test")
	cm, _ := bio.TLS(&bio.Config{TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}})
	sm, _ := bio.TLS(&bio.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	c, _ := cm(frame.Client)
	s, _ := sm(frame.Server)
	for i := 0; i < 5; i++ {
		out, _ := c.Flush(nil, 0)
		s.Open(nil, out)
		out, _ = s.Flush(nil, 0)
		c.Open(nil, out)
	}
	p := make([]byte, 1400)
	out := make([]byte, 0, 20000)
	dst := make([]byte, 0, 20000)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		o, _, err := c.Seal(out, p)
		if err != nil {
			b.Fatal(err)
		}
		d, _, err := s.Open(dst, o)
		if err != nil || len(d) != len(p) {
			b.Fatal(err, len(d))
		}
	}
}
