package wrap_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// impl is one way to put TLS on a TCP connection.
type impl struct {
	name           string
	client, server func(net.Conn) net.Conn
}

// impls returns plain crypto/tls, and wrap without and with framing: what a benchmark puts side by side.
func impls(tb testing.TB) []impl {
	client, server := configs(tb)
	list := []impl{{
		name:   "tls",
		client: func(c net.Conn) net.Conn { return tls.Client(c, client) },
		server: func(c net.Conn) net.Conn { return tls.Server(c, server) },
	}}
	length, err := codecs.Parse("length:16be")
	if err != nil {
		tb.Fatal(err)
	}
	for _, codec := range []struct {
		name  string
		maker frame.Maker
	}{{"raw", frame.Raw}, {"length:16be", length}} {
		cc, sc := &wrap.Config{TLS: client, Codec: codec.maker}, &wrap.Config{TLS: server, Codec: codec.maker}
		list = append(list, impl{
			name:   codec.name,
			client: func(c net.Conn) net.Conn { return wrap.Client(wrap.Stream(c), cc) },
			server: func(c net.Conn) net.Conn { return wrap.Server(wrap.Stream(c), sc) },
		})
	}
	return list
}

// BenchmarkBulk moves data in one direction over loopback TCP, in writes of different sizes.
func BenchmarkBulk(b *testing.B) {
	list := impls(b)
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1400B", 1400}, {"16KiB", 16 << 10}, {"64KiB", 64 << 10}, {"256KiB", 256 << 10}} {
		for _, im := range list {
			b.Run(fmt.Sprintf("size=%s/impl=%s", size.name, im.name), func(b *testing.B) { bulk(b, im, size.bytes) })
		}
	}
}

func bulk(b *testing.B, im impl, size int) {
	near, far := tcpPair(b)
	c, s := im.client(near), im.server(far)
	done := make(chan int64)
	go func() {
		n, _ := io.CopyBuffer(io.Discard, struct{ io.Reader }{s}, make([]byte, 64<<10))
		done <- n
		s.Close()
	}()
	p := make([]byte, size)
	if _, err := c.Write(p); err != nil { // the handshake
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

// BenchmarkPingPong sends 100 bytes over loopback TCP and waits until they have come back.
func BenchmarkPingPong(b *testing.B) {
	for _, im := range impls(b) {
		b.Run("impl="+im.name, func(b *testing.B) { pingPong(b, im) })
	}
}

func pingPong(b *testing.B, im impl) {
	near, far := tcpPair(b)
	c, s := im.client(near), im.server(far)
	done := make(chan struct{})
	go func() {
		defer close(done)
		echo(s, 100)
	}()
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, p); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	c.Close()
	<-done
	s.Close()
}

// echo sends back what comes, in pieces of size bytes, until it ends.
func echo(c net.Conn, size int) {
	p := make([]byte, size)
	for {
		if _, err := io.ReadFull(c, p); err != nil {
			return
		}
		if _, err := c.Write(p); err != nil {
			return
		}
	}
}
