//go:build linux

// Dtlspoll is a non-blocking DTLS server and client with a poll loop of their own, for programs that have such a loop
// already: one goroutine, one socket, timeouts that the loop keeps, and the engine driven directly.
//
//	$ mkdir /tmp/poll && go run ./examples/dtlspoll server 127.0.0.1:4433 /tmp/poll &
//	$ go run ./examples/dtlspoll client 127.0.0.1:4433 /tmp/poll hello world
//	hello
//	world
//
// loop.go knows sockets and poll, peer.go the engines, timeouts.go the time, bell.go is how the handshake wakes the
// loop, apps.go what is said. What the loop calls, and what is called in its place in C:
//
//	Open    a datagram has come                     SSL_read, wolfSSL_read; BIO_write before it
//	Seal    a message is to be sent                 SSL_write, wolfSSL_write; BIO_read behind it
//	Flush   the engine has something to send        BIO_read after SSL_do_handshake, and after errors
//	Ready   the handshake has something to say      DTLSv1_get_timeout, wolfSSL_dtls_get_current_timeout
//	Tick    the time has come, or Ready has said    DTLSv1_handle_timeout, wolfSSL_dtls_got_timeout
//
// There is no SSL_ERROR_WANT_READ: a call takes what there is and returns. What differs from C is the handshake, which
// keeps its own time, on goroutines of its own; it ends at latest after Options.HandshakeTimeout, and once it is over
// the engine does nothing that it is not called for.
//
// A server that strangers can reach should rather be a datagram.Listener: it knows how to stay small under a flood of
// forged ClientHellos, and follows clients whose address changes. This one has a limit for handshakes, which a flood
// would use up.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		log.Fatalln("dtlspoll:", err)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) < 3 {
		return errors.New("usage: dtlspoll server ADDRESS FOLDER | dtlspoll client ADDRESS FOLDER MESSAGE...")
	}
	address, err := netip.ParseAddrPort(args[1])
	switch {
	case err != nil || !address.Addr().Is4():
		return fmt.Errorf("bad address %q: want IPv4 and port, as in 127.0.0.1:4433", args[1])
	case args[0] == "server" && len(args) == 3:
		return serve(ctx, address, args[2], stdout)
	case args[0] == "client" && len(args) > 3:
		return ask(ctx, address, args[2], args[3:], stdout)
	}
	return fmt.Errorf("neither server nor client: %q", args)
}

// serve says back what its clients say, until ctx ends. It leaves the certificate to trust in dir.
func serve(ctx context.Context, address netip.AddrPort, dir string, stdout io.Writer) error {
	ca, err := ephemeral.New("dtlspoll CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		return err
	}
	if err := ca.WriteFiles(dir, nil); err != nil {
		return err
	}
	engines, err := newEngines(&tls.Config{Certificates: []tls.Certificate{cert}}, frame.Server)
	if err != nil {
		return err
	}
	l, err := newLoop(address, echo{stdout})
	if err != nil {
		return err
	}
	defer l.close()
	l.engines = engines
	bound, err := l.address()
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "listening on", bound)
	return l.run(ctx)
}

// ask has messages said back.
func ask(ctx context.Context, address netip.AddrPort, dir string, messages []string, stdout io.Writer) error {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("ca.crt holds no certificate")
	}
	engines, err := newEngines(&tls.Config{RootCAs: roots, ServerName: "server.example"}, frame.Client)
	if err != nil {
		return err
	}
	engine, err := engines()
	if err != nil {
		return err
	}
	a := &asker{stdout: stdout, unsaid: messages}
	l, err := newLoop(netip.AddrPortFrom(netip.IPv4Unspecified(), 0), a)
	if err != nil {
		return err
	}
	defer l.close()
	l.add(address, engine)
	return errors.Join(l.run(ctx), a.err)
}

// newEngines returns what makes the engines of one side: in C, an SSL_CTX and SSL_new.
func newEngines(cfg *tls.Config, role frame.Role) (func() (*dtls.Engine, error), error) {
	maker, err := dtls.New(&bio.Config{TLS: cfg}, dtls.Options{
		HandshakeTimeout: handshakeTime,
		FlightInterval:   flightInterval,
	})
	if err != nil {
		return nil, err
	}
	return func() (*dtls.Engine, error) {
		e, err := maker(role)
		if err != nil {
			return nil, err
		}
		return e.(*dtls.Engine), nil
	}, nil
}
