// Latechoice is a server that looks at what the client asks for before it decides which certificate to show, and takes
// its time: a certificate is issued when a name is asked for the first time, as with ACME or a hardware module.
// Meanwhile the handshake rests and nobody else waits.
//
//	$ go run ./examples/latechoice
//	a.example over web/1: welcome to a.example
//	b.example over web/1: welcome to b.example
//	a.example over admin/1: refused
//	c.example over web/1: refused
//
// In OpenSSL's terms: SSL_CTX_set_client_hello_cb that returns SSL_CLIENT_HELLO_RETRY, and
// SSL_ERROR_WANT_CLIENT_HELLO_CB until the choice is made; SSL_CTX_set_tlsext_servername_callback sees only the name;
// wolfSSL: wolfSSL_CTX_set_cert_cb.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "latechoice:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout io.Writer) error {
	ca, err := ephemeral.New("latechoice CA")
	if err != nil {
		return err
	}
	framing, err := length.New(length.Options{Width: 16})
	if err != nil {
		return err
	}
	registry := newRegistry(ca, 100*time.Millisecond, "a.example", "b.example")
	listener, err := wrap.Listen("tcp", "127.0.0.1:0", &wrap.Config{
		TLS:              &tls.Config{}, // what Choose returns takes its place
		Choose:           registry.choose,
		HandshakeTimeout: 5 * time.Second, // bounds the choice, too: its context ends with it
		Codec:            framing,
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	served := make(chan struct{})
	go func() {
		serve(ctx, listener)
		close(served)
	}()
	defer func() { stop(); <-served }()
	visits := []visit{{"a.example", "web/1"}, {"b.example", "web/1"}, {"a.example", "admin/1"}, {"c.example", "web/1"}}
	for _, v := range visits {
		said, err := v.pay(ctx, listener.Addr().String(), ca.Pool(), framing)
		var alert *bio.AlertError
		if errors.As(err, &alert) && !alert.Sent {
			said, err = "refused\n", nil // the server said so: any other end of a connection is no answer
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s over %s: %s", v.name, v.protocol, said)
	}
	return nil
}

// serve welcomes clients until ctx ends.
func serve(ctx context.Context, listener net.Listener) {
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		conn, err := listener.Accept() // does not wait for the handshake: one slow choice holds up nobody else
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond) // such as "too many open files": it passes
			continue
		}
		clients.Go(func() { welcome(ctx, conn.(*wrap.Conn)) })
	}
}

func welcome(ctx context.Context, conn *wrap.Conn) {
	defer conn.Close() // for the ends with an error
	err := conn.HandshakeContext(ctx)
	if err == nil {
		_, err = fmt.Fprintln(conn, "welcome to", conn.ConnectionState().ServerName)
	}
	if err == nil {
		err = conn.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, conn.RemoteAddr(), err)
	}
}

// A visit is a client's: it asks for a name (SNI) and a protocol (ALPN).
type visit struct{ name, protocol string }

// pay connects and returns what the server says.
func (v visit) pay(ctx context.Context, addr string, roots *x509.CertPool, framing frame.Maker) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	dialer := wrap.Dialer{Config: &wrap.Config{
		TLS:   &tls.Config{RootCAs: roots, ServerName: v.name, NextProtos: []string{v.protocol}},
		Codec: framing,
	}}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// With TLS 1.3 the client's handshake is done before the server has looked at the client's certificate: only the
	// first Read tells whether the server accepts it.
	said, err := io.ReadAll(io.LimitReader(conn, 1024))
	return string(said), err
}
