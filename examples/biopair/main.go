// Biopair is the classic program with a BIO pair and a header of one's own: TLS talks to one end of the pair, the
// program moves what comes out of the other end over TCP, with four bytes in front of every piece. The client sends its
// standard input; the server answers how much that was.
//
//	$ echo hello | go run ./examples/biopair
//	got 6 bytes
//
// link.go is the part to read. With one's own header and nothing else to do by hand, package wrap is shorter.
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

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "biopair:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	ca, err := ephemeral.New("biopair CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- serve(ctx, listener, &tls.Config{Certificates: []tls.Certificate{cert}}) }()

	cfg := &tls.Config{RootCAs: ca.Pool(), ServerName: "server.example"}
	if err := talk(ctx, listener.Addr().String(), cfg, stdin, stdout); err != nil {
		return err
	}
	return <-served
}

// serve counts what one client sends and tells it.
func serve(ctx context.Context, listener net.Listener, cfg *tls.Config) error {
	tcp, err := listener.Accept()
	if err != nil {
		return err
	}
	l, err := newLink(ctx, tcp, cfg, frame.Server)
	if err != nil {
		return err
	}
	defer l.Close()
	n, err := io.Copy(io.Discard, l) // until close_notify; io.Copy returns nil for io.EOF and for nothing else
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if _, err := fmt.Fprintf(l, "got %d bytes\n", n); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return l.CloseWrite()
}

// talk sends in and writes the answer to out. It sends all before it reads: a link that waits in Write does not read,
// so two of them that both send more than TCP buffers would wait for each other. Package wrap has no such limit.
func talk(ctx context.Context, addr string, cfg *tls.Config, in io.Reader, out io.Writer) error {
	tcp, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	l, err := newLink(ctx, tcp, cfg, frame.Client)
	if err != nil {
		return err
	}
	defer l.Close()
	if _, err := io.Copy(l, in); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if err := l.CloseWrite(); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	_, err = io.Copy(out, l)
	return err
}

// newLink returns a link over tcp, which ends with ctx.
func newLink(ctx context.Context, tcp net.Conn, cfg *tls.Config, role frame.Role) (*link, error) {
	engines, err := bio.TLS(&bio.Config{TLS: cfg})
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	engine, err := engines(role)
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	context.AfterFunc(ctx, func() { tcp.Close() })
	return pair(engine, tcp), nil
}
