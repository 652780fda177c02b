// Newcodec is a codec of one's own, in one file, and what uses it: a TLS client and a TLS server whose records travel
// in the codec's frames, and a trace of them.
//
//	$ go run ./examples/newcodec
//	sent     d7 01 05e2 | 16030105dd.. (1506 bytes) | 011c7d5a
//	received d7 01 0744 | 16030304ba.. (1860 bytes) | dc683115
//	..
//	the server says: hello
//
// codec.go is the codec; codec_test.go runs all rules of the contract on it, fuzzes it, and holds its test vectors.
// Where OpenSSL is used with a header of one's own, the same takes a custom BIO (BIO_meth_new) or, with wolfSSL, two
// I/O callbacks, each of which must cope with half a header, half a frame and two frames at once.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "newcodec:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout io.Writer) error {
	ca, err := ephemeral.New("newcodec CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		return err
	}
	trace := &tracer{out: stdout}
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- greet(ctx, wrap.Server(wrap.Stream(far), &wrap.Config{
			TLS:   &tls.Config{Certificates: []tls.Certificate{cert}},
			Codec: Maker,
		}))
	}()
	said, err := listen(ctx, wrap.Client(wrap.Stream(near), &wrap.Config{
		TLS:   &tls.Config{RootCAs: ca.Pool(), ServerName: "server.example"},
		Codec: Maker,
		Trace: trace.frame,
	}))
	if err != nil {
		return err
	}
	if err := <-served; err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "the server says: %s\n", said)
	return err
}

// greet is the server.
func greet(ctx context.Context, conn *wrap.Conn) error {
	defer conn.Close() // for the return with an error
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return conn.Close()
}

// listen is the client: it returns what the server says until that closes.
func listen(ctx context.Context, conn *wrap.Conn) ([]byte, error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	said, err := io.ReadAll(io.LimitReader(conn, 1<<10))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return said, nil
}

// A tracer prints frames. Those sent and those received come from different goroutines.
type tracer struct {
	mu  sync.Mutex
	out io.Writer
}

// frame is a wrap.Config.Trace. The bytes of t are borrowed: to keep them takes a copy.
func (tr *tracer) frame(t wrap.Trace) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	way := "received"
	if t.Sent {
		way = "sent    "
	}
	h, payload, check := t.Frame[:headerLen], t.TLS, t.Frame[len(t.Frame)-trailerLen:]
	fmt.Fprintf(tr.out, "%s %02x %02x %x | %x.. (%d bytes) | %x\n",
		way, h[0], h[1], h[2:], payload[:min(5, len(payload))], len(payload), check)
}
