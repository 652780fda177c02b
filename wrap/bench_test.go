package wrap_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// BenchmarkBulk moves data in one direction over loopback TCP, in writes of different sizes, beside plain crypto/tls.
func BenchmarkBulk(b *testing.B) {
	client, server := configs(b)
	for _, size := range []int{1400, 16 << 10, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("tls/%dKiB", size>>10), func(b *testing.B) {
			bulk(b, size, func(c net.Conn) net.Conn { return tls.Client(c, client) },
				func(c net.Conn) net.Conn { return tls.Server(c, server) })
		})
		for _, spec := range []string{"raw", "length:16be"} {
			maker := frame.Maker(frame.Raw)
			if spec != "raw" {
				maker, _ = codecs.Parse(spec)
			}
			cc := &wrap.Config{TLS: client, Codec: maker}
			sc := &wrap.Config{TLS: server, Codec: maker}
			b.Run(fmt.Sprintf("%s/%dKiB", spec, size>>10), func(b *testing.B) {
				bulk(b, size, func(c net.Conn) net.Conn { return wrap.Client(wrap.Stream(c), cc) },
					func(c net.Conn) net.Conn { return wrap.Server(wrap.Stream(c), sc) })
			})
		}
	}
}

func configs(t testing.TB) (client, server *tls.Config) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.test", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}, &tls.Config{Certificates: []tls.Certificate{cert}}
}

func bulk(b *testing.B, size int, client, server func(net.Conn) net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	done := make(chan int64)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			close(done)
			return
		}
		s := server(raw)
		n, _ := io.CopyBuffer(io.Discard, struct{ io.Reader }{s}, make([]byte, 64<<10))
		done <- n
		s.Close()
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	c := client(raw)
	p := make([]byte, size)
	if _, err := c.Write(p); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	n := int64(size)
	for b.Loop() {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
		n += int64(size)
	}
	c.(interface{ CloseWrite() error }).CloseWrite()
	if got := <-done; got != n {
		b.Fatalf("%d of %d bytes arrived", got, n)
	}
	b.StopTimer()
	c.Close()
}
