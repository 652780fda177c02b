// Openssl carries unmodified TLS programs in a protocol of one's own: what openssl s_client, curl or a browser says is
// put into frames by one relay and taken out by another, and TLS goes from end to end, through both:
//
//	s_client ── TCP ──▶ wrap ══ frames ══▶ unwrap ── TCP ──▶ s_server
//
//	$ openssl s_server -accept 127.0.0.1:4433 -cert server.crt -key server.key -rev &
//	$ go run ./examples/openssl unwrap 127.0.0.1:4434 127.0.0.1:4433 &
//	$ go run ./examples/openssl wrap 127.0.0.1:4435 127.0.0.1:4434 &
//	$ openssl s_client -connect 127.0.0.1:4435
//
// Either end can also be a program that knows encase, and needs no relay: the roles client and server.
//
//	s_client ── TCP ──▶ wrap ══ frames ══▶ server          client ══ frames ══▶ unwrap ── TCP ──▶ s_server
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
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "openssl:", err)
		os.Exit(1)
	}
}

const usage = `usage:
	openssl wrap LISTEN TARGET        plain connections in, frames out
	openssl unwrap LISTEN TARGET      frames in, plain connections out
	openssl server LISTEN CERT KEY    TLS in frames; says back what it hears
	openssl client TARGET CA          TLS in frames; sends standard input, prints the answer`

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	switch {
	case len(args) == 3 && args[0] == "wrap":
		return listen(ctx, args[1], stdout, relay{target: args[2], frames: true}.serve)
	case len(args) == 3 && args[0] == "unwrap":
		return listen(ctx, args[1], stdout, relay{target: args[2]}.serve)
	case len(args) == 4 && args[0] == "server":
		cert, err := tls.LoadX509KeyPair(args[2], args[3])
		if err != nil {
			return err
		}
		return listen(ctx, args[1], stdout, echo(&wrap.Config{
			TLS:   &tls.Config{Certificates: []tls.Certificate{cert}},
			Codec: framing,
		}))
	case len(args) == 3 && args[0] == "client":
		return talk(ctx, args[1], args[2], stdin, stdout)
	}
	return errors.New(usage)
}

// framing is all that wrap needs to know of the protocol.
var framing = frame.Symmetric(func() frame.Codec { return header{} })

// echo returns a handler that says back what its client says.
func echo(cfg *wrap.Config) func(context.Context, *net.TCPConn) error {
	return func(_ context.Context, tcp *net.TCPConn) error {
		conn := wrap.Server(wrap.Stream(tcp), cfg)
		defer conn.Close() // for the return with an error
		if _, err := io.Copy(conn, conn); err != nil {
			return err
		}
		return conn.Close()
	}
}

// talk sends in through a TLS connection in frames, and writes what comes back to out.
func talk(ctx context.Context, target, ca string, in io.Reader, out io.Writer) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", ca)
	}
	dialer := wrap.Dialer{Config: &wrap.Config{TLS: &tls.Config{RootCAs: roots}, Codec: framing}}
	dialing, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := dialer.DialContext(dialing, "tcp", target) // TCP, and then the handshake
	if err != nil {
		return err
	}
	conn := c.(*wrap.Conn)
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, in)
		sent <- errors.Join(err, conn.CloseWrite())
	}()
	if _, err := io.Copy(out, conn); err != nil {
		return err
	}
	return <-sent
}
