package wrap_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// credentials are what all tests share: an authority and certificates of both sides.
type credentials struct {
	ca             *ephemeral.Authority
	server, client tls.Certificate
}

var sharedCredentials = sync.OnceValues(func() (c credentials, err error) {
	if c.ca, err = ephemeral.New("test CA"); err != nil {
		return c, err
	}
	if c.server, err = c.ca.Issue("server.test", "127.0.0.1"); err != nil {
		return c, err
	}
	c.client, err = c.ca.Issue("client.test")
	return c, err
})

func testCredentials(tb testing.TB) credentials {
	tb.Helper()
	c, err := sharedCredentials()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// configs returns TLS configurations of two sides where the client trusts the server.
func configs(tb testing.TB) (client, server *tls.Config) {
	tb.Helper()
	c := testCredentials(tb)
	now := func() time.Time { return c.server.Leaf.NotBefore.Add(time.Hour) } // also where time is not what it seems
	client = &tls.Config{RootCAs: c.ca.Pool(), ServerName: "server.test", Time: now}
	return client, &tls.Config{Certificates: []tls.Certificate{c.server}, Time: now}
}

// wrapConfigs returns configurations over a codec, "" for none. They do not linger for a peer that does not read.
func wrapConfigs(tb testing.TB, codec string) (client, server *wrap.Config) {
	tb.Helper()
	ct, st := configs(tb)
	client, server = &wrap.Config{TLS: ct}, &wrap.Config{TLS: st}
	for _, cfg := range []*wrap.Config{client, server} {
		cfg.Linger = 200 * time.Millisecond
		cfg.Codec = codecOf(tb, codec)
	}
	return client, server
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

// A transport makes connected pairs of byte streams.
type transport struct {
	name string
	pair func(tb testing.TB) (a, b net.Conn)
}

var transports = []transport{
	{"pipe", func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }},
	{"tcp", func(tb testing.TB) (net.Conn, net.Conn) { return accepted(tb, "tcp", "127.0.0.1:0") }},
	{"unix", func(tb testing.TB) (net.Conn, net.Conn) { return accepted(tb, "unix", socketName(tb)) }},
}

// socketName returns the path of a socket; those of t.TempDir can be too long for one.
func socketName(tb testing.TB) string {
	dir, err := os.MkdirTemp("", "wrap")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func accepted(tb testing.TB, network, address string) (client, server net.Conn) {
	tb.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial(network, l.Addr().String()); err != nil {
		tb.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		tb.Fatal(err)
	}
	return client, server
}

func tcpPair(tb testing.TB) (server, client *net.TCPConn) {
	tb.Helper()
	c, s := accepted(tb, "tcp", "127.0.0.1:0")
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// connect makes both ends over a and b and closes them at the end of the test.
func connect(tb testing.TB, a, b io.ReadWriteCloser, client, server *wrap.Config) (c, s *wrap.Conn) {
	c, s = wrap.Client(wrap.Stream(a), client), wrap.Server(wrap.Stream(b), server)
	tb.Cleanup(func() { closeBoth(c, s) })
	return c, s
}

// closeBoth closes two ends at once: each may wait for the other to read.
func closeBoth(c, s io.Closer) {
	var both sync.WaitGroup
	both.Go(func() { c.Close() })
	both.Go(func() { s.Close() })
	both.Wait()
}

// shake lets both ends shake hands.
func shake(tb testing.TB, c, s *wrap.Conn) {
	tb.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := c.Handshake(); err != nil {
		tb.Fatalf("client's handshake: %v", err)
	}
	if err := <-done; err != nil {
		tb.Fatalf("server's handshake: %v", err)
	}
}

// shakeResults returns what a handshake that is to fail comes to at each end. TLS 1.3 lets a client finish before the
// server has looked at its certificate, so a client that has finished also reads.
func shakeResults(c, s *wrap.Conn) (client, server error) {
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err != nil {
			s.Close()
		}
		done <- err
	}()
	if client = c.Handshake(); client == nil {
		c.SetReadDeadline(time.Now().Add(patience))
		_, client = c.Read(make([]byte, 1))
	}
	if client != nil {
		c.Close()
	}
	return client, <-done
}

// exchange sends a message each way.
func exchange(tb testing.TB, c, s net.Conn) {
	tb.Helper()
	send(tb, c, s, "ping")
	send(tb, s, c, "pong")
}

func send(tb testing.TB, from, to net.Conn, message string) {
	tb.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(from, message)
		sent <- err
	}()
	expect(tb, to, message)
	if err := <-sent; err != nil {
		tb.Fatalf("Write: %v", err)
	}
}

// expect reads message.
func expect(tb testing.TB, from net.Conn, message string) {
	tb.Helper()
	from.SetReadDeadline(time.Now().Add(patience))
	defer from.SetReadDeadline(time.Time{})
	p := make([]byte, len(message))
	if _, err := io.ReadFull(from, p); err != nil {
		tb.Fatalf("Read: %v", err)
	}
	if string(p) != message {
		tb.Fatalf("read %.40q, want %.40q", p, message)
	}
}

// readErr returns what reading comes to after the data.
func readErr(tb testing.TB, c net.Conn) error {
	tb.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, struct{ io.Reader }{c})
	if err == nil {
		return io.EOF
	}
	return err
}

// wantAlert checks that err says that a TLS alert ended the connection, and which end had sent it.
func wantAlert(tb testing.TB, who string, err error, sent bool) {
	tb.Helper()
	var alert *bio.AlertError
	if !errors.As(err, &alert) || alert.Sent != sent {
		tb.Errorf("%s: %v, want an AlertError with Sent %v", who, err, sent)
	}
}

func wantErr(tb testing.TB, what string, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("%s: %v, want %v", what, err, want)
	}
}
