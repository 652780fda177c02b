// Dtlsresume connects twice to the same server over DTLS. The second handshake resumes the session of the first: no
// certificate is sent or verified and no key agreed on, which saves bytes, a round trip and most of the computing. It
// is for devices that sleep between two messages.
//
//	$ go run ./examples/dtlsresume
//	full handshake:  6 datagrams, 1307 bytes, 2.1ms
//	resumed:         5 datagrams, 698 bytes, 0.9ms
//	after a restart: 6 datagrams, 1371 bytes, 1.6ms
//
// The figures differ a little each time. What the third line shows: a server that has forgotten its sessions makes a
// full handshake, and the client need not know.
//
// In OpenSSL's terms: SSL_CTX_sess_set_new_cb and SSL_set_session on the client's side, SSL_CTX_sess_set_get_cb on the
// server's; in wolfSSL's: wolfSSL_get_session, wolfSSL_set_session. The server resumes what it remembers: there are
// session IDs here, no tickets. Whoever gets hold of a stored session can decrypt all its connections: keep it in
// memory, for hours and not for weeks.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dtlsresume:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout io.Writer) error {
	ca, err := ephemeral.New("dtlsresume CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		return err
	}
	client := &datagram.Config{
		TLS: &tls.Config{
			RootCAs:    ca.Pool(),
			ServerName: "server.example", // the session is found by it, too
			// SSL_set_session: from here on it happens by itself. The cache outlives the connections.
			ClientSessionCache: tls.NewLRUClientSessionCache(16),
		},
	}
	address := ""
	for _, visit := range []struct {
		name    string
		restart bool // the server has been started anew
		resumes bool
	}{
		{"full handshake: ", true, false}, {"resumed:        ", false, true}, {"after a restart:", true, false},
	} {
		if visit.restart {
			server, err := newServer(cert)
			if err != nil {
				return err
			}
			defer server.Close()
			address = server.Addr().String()
		}
		cost, err := connect(ctx, address, client)
		if err != nil {
			return err
		}
		if cost.resumed != visit.resumes {
			return fmt.Errorf("%s resumed: %v", visit.name, cost.resumed)
		}
		fmt.Fprintln(stdout, visit.name, cost)
	}
	return nil
}

// newServer returns a server that remembers up to 1000 sessions, each for an hour, and greets back.
func newServer(cert tls.Certificate) (*datagram.Listener, error) {
	return datagram.Listen("udp", "127.0.0.1:0", &datagram.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		// SSL_CTX_set_session_cache_mode. Several servers behind one address need a SessionStore that they share.
		Stack:       dtls.Stack(dtls.Options{Sessions: dtls.NewSessionStore(1000, time.Hour)}),
		Handler:     func(c *datagram.Conn, message []byte) { fmt.Fprintf(c, "%s to you", message) },
		IdleTimeout: time.Minute,
	}, datagram.ListenOptions{})
}

// A cost is what a handshake took.
type cost struct {
	resumed   bool
	datagrams int64 // both ways
	bytes     int64
	time      time.Duration
}

func (c cost) String() string {
	return fmt.Sprintf("%d datagrams, %d bytes, %.1fms", c.datagrams, c.bytes, c.time.Seconds()*1000)
}

// connect shakes hands, says hello, and says goodbye.
func connect(ctx context.Context, address string, cfg *datagram.Config) (cost, error) {
	var datagrams, bytes atomic.Int64
	cfg = cfg.Clone()
	cfg.Trace = func(t wrap.Trace) {
		datagrams.Add(1)
		bytes.Add(int64(len(t.Frame)))
	}
	start := time.Now()
	conn, err := datagram.Dial(ctx, "udp", address, cfg)
	if err != nil {
		return cost{}, err
	}
	defer conn.Close()
	c := cost{
		resumed:   conn.ConnectionState().DidResume, // SSL_session_reused
		datagrams: datagrams.Load(),
		bytes:     bytes.Load(),
		time:      time.Since(start),
	}
	return c, greet(conn)
}

// greet talks over the connection: what was resumed are keys, and they have to work.
func greet(conn net.Conn) error {
	if _, err := conn.Write([]byte("hello")); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	if err == nil && string(buf[:n]) != "hello to you" {
		err = errors.New("the server does not greet back")
	}
	return err
}
