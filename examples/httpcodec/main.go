// Httpcodec serves HTTP/1.1 and HTTP/2 over a protocol of one's own: net/http on both sides, TLS in frames between
// them.
//
//	$ go run ./examples/httpcodec
//	HTTP/1.1 200 OK: GET /hello over TLS 1.3, HTTP/1.1
//	HTTP/2.0 200 OK: GET /hello over TLS 1.3, HTTP/2.0
//
// HTTP/1.1 alone needs no more than wrap.Listen and a wrap.Dialer. HTTP/2 is chosen with ALPN, as in any TLS
// connection; but net/http looks at ALPN only in a *tls.Conn, so server.go and this file do it for it.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "httpcodec:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout io.Writer) error {
	client, server, err := configs()
	if err != nil {
		return err
	}
	listener, err := wrap.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return err
	}
	srv := newServer(http.HandlerFunc(describe))
	defer srv.Close() // for the returns with an error
	served := make(chan error, 1)
	go func() { served <- srv.Serve(newListener(listener)) }()

	for _, transport := range []*http.Transport{http1(client), http2(client)} {
		if err := get(ctx, transport, "https://"+listener.Addr().String()+"/hello", stdout); err != nil {
			return err
		}
		transport.CloseIdleConnections()
	}
	if err := srv.Shutdown(ctx); err != nil {
		return err
	}
	if err := <-served; err != http.ErrServerClosed {
		return err
	}
	return nil
}

// describe is the service: it says what it was asked, and how.
func describe(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s over %s, %s", r.Method, r.URL.Path, tls.VersionName(r.TLS.Version), r.Proto)
}

// configs returns both ends' configurations. The frames begin with four bytes of a magic and four of a length.
func configs() (client, server *wrap.Config, err error) {
	ca, err := ephemeral.New("httpcodec CA")
	if err != nil {
		return nil, nil, err
	}
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		return nil, nil, err
	}
	framing, err := length.New(length.Options{Width: 32, Prefix: "c0decafe"})
	if err != nil {
		return nil, nil, err
	}
	client = &wrap.Config{TLS: &tls.Config{RootCAs: ca.Pool()}, Codec: framing}
	server = &wrap.Config{Codec: framing, TLS: &tls.Config{
		Certificates: []tls.Certificate{cert},
		NextProtos:   []string{"h2", "http/1.1"},
	}}
	return client, server, nil
}

// http1 returns a transport that speaks HTTP/1.1.
func http1(cfg *wrap.Config) *http.Transport {
	return &http.Transport{DialTLSContext: dial(cfg, "http/1.1")}
}

// http2 returns a transport that speaks HTTP/2. To net/http the connection is one without TLS, "with prior knowledge":
// dial has asked for it, and made sure.
func http2(cfg *wrap.Config) *http.Transport {
	t := &http.Transport{DialTLSContext: dial(cfg, "h2"), Protocols: new(http.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// dial returns a function that makes connections for one protocol of ALPN.
func dial(cfg *wrap.Config, proto string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	cfg = cfg.Clone()
	cfg.TLS = cfg.TLS.Clone()
	cfg.TLS.NextProtos = []string{proto}
	dialer := wrap.Dialer{Config: cfg}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if got := conn.(*wrap.Conn).ConnectionState().NegotiatedProtocol; got != proto {
			conn.Close()
			return nil, fmt.Errorf("the server at %s has chosen %q, not %q", addr, got, proto)
		}
		return conn, nil
	}
}

// get prints the answer of a GET request.
func get(ctx context.Context, transport http.RoundTripper, url string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s %s: %s\n", resp.Proto, resp.Status, body)
	return err
}
