// Dtlsmove has a client that changes its address in the middle of a DTLS connection, as a phone does that leaves the
// Wi-Fi, and as a NAT makes any client do that has been silent for a minute. The connection goes on, without a
// handshake, because the client's records carry a connection ID.
//
//	$ go run ./examples/dtlsmove
//	with connection IDs
//	  127.0.0.1:43034 says hello, and is answered
//	  127.0.0.1:60862 says hello, and is answered
//	  127.0.0.1:41990 says hello, and is answered
//	  1 handshake, moved 2 times
//	without
//	  127.0.0.1:57401 says hello, and is answered
//	  127.0.0.1:52186 says hello, and is not answered
//	  1 handshake, moved 0 times
//
// The server chooses the ID, and its listener does so unless told not to; the client has to offer that it will send
// one: Options.SendCID. In wolfSSL: wolfSSL_dtls_cid_use and wolfSSL_dtls_cid_set; OpenSSL has none.
// https://www.rfc-editor.org/rfc/rfc9146
//
// The server believes an address only if an authentic record has come from it that is newer than all before: replayed
// and forged ones move nothing. What remains: somebody on the path who is faster than the network can forward a record
// and so be answered in the client's place, until the client's next record. He cannot read it, and the server cannot
// tell; a protocol that minds asks the client for an answer at its new address before it sends much.
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
		fmt.Fprintln(os.Stderr, "dtlsmove:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout io.Writer) error {
	fmt.Fprintln(stdout, "with connection IDs")
	if err := visit(ctx, stdout, dtls.Options{SendCID: true}); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "without")
	err := visit(ctx, stdout, dtls.Options{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // as it has to be
	}
	return orElse(err, "the server has answered a stranger")
}

func orElse(err error, otherwise string) error {
	if err == nil {
		return errors.New(otherwise)
	}
	return err
}

// visit starts a server, and a client that says hello, moves and says hello again, twice.
func visit(ctx context.Context, stdout io.Writer, o dtls.Options) error {
	listener, client, err := prepare(o)
	if err != nil {
		return err
	}
	defer listener.Close()
	defer func() {
		s := listener.Stats()
		fmt.Fprintf(stdout, "  %d handshake, moved %d times\n", s.Opened, s.Moved)
	}()
	socket, err := newRoaming()
	if err != nil {
		return err
	}
	conn, err := datagram.Client(wrap.Datagram(socket, listener.Addr(), 0), client)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	defer conn.Close()
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	for move := range 3 {
		if move > 0 {
			if err := socket.move(); err != nil {
				return err
			}
		}
		err := greet(ctx, conn, socket.LocalAddr())
		if errors.Is(err, os.ErrDeadlineExceeded) {
			fmt.Fprintf(stdout, "  %v says hello, and is not answered\n", socket.LocalAddr())
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "  %v says hello, and is answered\n", socket.LocalAddr())
	}
	return nil
}

// prepare returns a server that answers with the address at which it sees the client, and what a client needs for it.
func prepare(o dtls.Options) (*datagram.Listener, *datagram.Config, error) {
	ca, err := ephemeral.New("dtlsmove CA")
	if err != nil {
		return nil, nil, err
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		return nil, nil, err
	}
	listener, err := datagram.Listen("udp4", "127.0.0.1:0", &datagram.Config{
		TLS:         &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler:     func(c *datagram.Conn, message []byte) { fmt.Fprintf(c, "%s, %v", message, c.RemoteAddr()) },
		IdleTimeout: time.Minute,
	}, datagram.ListenOptions{})
	client := &datagram.Config{
		TLS:   &tls.Config{RootCAs: ca.Pool(), ServerName: "server.example"},
		Stack: dtls.Stack(o),
	}
	return listener, client, err
}

// greet says hello until that is answered, for a second, and checks that the server has seen where it came from.
func greet(ctx context.Context, conn *datagram.Conn, at net.Addr) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	buf := make([]byte, 100)
	var err error
	for range 4 {
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
		for {
			var n int
			if n, err = conn.Read(buf); err != nil {
				break
			}
			if string(buf[:n]) == fmt.Sprintf("hello, %v", at) {
				return nil
			} // else a late answer, to an address that was left
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return err
}
