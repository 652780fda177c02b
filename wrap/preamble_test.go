package wrap_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// httpConnect is a frame.Preamble of a client: it asks an HTTP proxy for a tunnel.
// https://www.rfc-editor.org/rfc/rfc9110.html#section-9.3.6
type httpConnect struct{ target string }

var errProxy = errors.New("the proxy refuses")

// Exchange implements frame.Preamble. It peeks, a byte more each time, until the answer is complete, and takes that
// and no more: what follows may be TLS already.
func (h httpConnect) Exchange(_ context.Context, p frame.Peeker, _ frame.Role) error {
	if _, err := fmt.Fprintf(p, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", h.target); err != nil {
		return err
	}
	const longest = 4096
	for n := 1; n <= longest; n++ {
		head, err := p.Peek(n)
		if err != nil {
			return fmt.Errorf("HTTP CONNECT: %w", err)
		}
		if bytes.HasSuffix(head, []byte("\r\n\r\n")) {
			return h.answer(p, head)
		}
	}
	return fmt.Errorf("HTTP CONNECT: %w: the answer is longer than %d bytes", frame.ErrMalformed, longest)
}

func (h httpConnect) answer(p frame.Peeker, head []byte) error {
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
	switch {
	case err != nil:
		return fmt.Errorf("HTTP CONNECT: %w: %w", frame.ErrMalformed, err)
	case answer.StatusCode/100 != 2:
		return fmt.Errorf("HTTP CONNECT to %s: %w: %s", h.target, errProxy, answer.Status)
	}
	_, err = p.Discard(len(head))
	return err
}

// sslRequest is a frame.Preamble of both sides: PostgreSQL's question whether TLS is spoken.
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
type sslRequest struct{}

const (
	sslRequestLen  = 8
	sslRequestCode = 80877103
)

var errNoTLS = errors.New("PostgreSQL: the server does not speak TLS")

// Exchange implements frame.Preamble.
func (sslRequest) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	question := binary.BigEndian.AppendUint32(nil, sslRequestLen)
	question = binary.BigEndian.AppendUint32(question, sslRequestCode)
	if role == frame.Server {
		return sslAnswer(p, question)
	}
	if _, err := p.Write(question); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(p, answer[:]); err != nil {
		return fmt.Errorf("PostgreSQL: SSLRequest: %w", err)
	}
	switch answer[0] {
	case 'S':
		return nil
	case 'N':
		return errNoTLS
	}
	return fmt.Errorf("PostgreSQL: %w: SSLRequest is answered with %q", frame.ErrMalformed, answer)
}

func sslAnswer(p frame.Peeker, question []byte) error {
	got, err := p.Peek(len(question))
	switch {
	case err != nil:
		return fmt.Errorf("PostgreSQL: SSLRequest: %w", err)
	case !bytes.Equal(got, question):
		return fmt.Errorf("PostgreSQL: %w: % x is no SSLRequest", frame.ErrMalformed, got)
	}
	if _, err := p.Discard(len(question)); err != nil {
		return err
	}
	_, err = p.Write([]byte{'S'})
	return err
}

// proxy is an HTTP server that makes tunnels, to one target only.
func proxy(t *testing.T, target string) (address string) {
	t.Helper()
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != target {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		far, err := net.Dial("tcp", target)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		near, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(near, "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
		go func() {
			defer far.Close()
			io.Copy(far, buffered)
		}()
		defer near.Close()
		io.Copy(near, far)
	}))
	t.Cleanup(p.Close)
	return p.Listener.Addr().String()
}

// TestConnectProxy goes through an HTTP proxy, to raw TLS and to a WebSocket, which has a preamble of its own.
func TestConnectProxy(t *testing.T) {
	for _, codec := range []string{"", "websocket"} {
		t.Run("codec="+codec, func(t *testing.T) {
			client, server := wrapConfigs(t, codec)
			l, err := wrap.Listen("tcp", "127.0.0.1:0", server)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go serveEcho(l)
			client.Preambles = []frame.Preamble{httpConnect{l.Addr().String()}}
			dialer := wrap.Dialer{Config: client}
			c, err := dialer.DialContext(t.Context(), "tcp", proxy(t, l.Addr().String()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			send(t, c, c, "there and back")
		})
	}
}

// TestProxyRefuses is refused by the proxy: the error says by whom, and why.
func TestProxyRefuses(t *testing.T) {
	client, _ := wrapConfigs(t, "")
	client.Preambles = []frame.Preamble{httpConnect{"elsewhere.test:1"}}
	_, err := (&wrap.Dialer{Config: client}).DialContext(t.Context(), "tcp", proxy(t, "nowhere.test:1"))
	wantErr(t, "DialContext", err, errProxy)
}

func TestPostgres(t *testing.T) {
	client, server := wrapConfigs(t, "")
	client.Preambles, server.Preambles = []frame.Preamble{sslRequest{}}, []frame.Preamble{sslRequest{}}
	for _, tr := range transports {
		a, b := tr.pair(t)
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		exchange(t, c, s)
	}
}

// TestReadTooFar has a client that does not wait for the answer to its SSLRequest: its ClientHello comes with it, and
// TLS finds it.
func TestReadTooFar(t *testing.T) {
	client, server := wrapConfigs(t, "")
	server.Preambles = []frame.Preamble{sslRequest{}}
	a, b := tcpPair(t)
	s := wrap.Server(wrap.Stream(a), server)
	defer s.Close()
	c := tls.Client(&hasty{TCPConn: b}, client.TLS)
	defer c.Close()
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	exchange(t, c, s)
}

// A hasty puts an SSLRequest in front of the first Write, and drops the answer.
type hasty struct {
	*net.TCPConn
	wrote, read bool
}

func (h *hasty) Write(p []byte) (int, error) {
	if h.wrote {
		return h.TCPConn.Write(p)
	}
	h.wrote = true
	n, err := h.TCPConn.Write(append([]byte{0, 0, 0, 8, 4, 210, 22, 47}, p...))
	return max(n-sslRequestLen, 0), err
}

func (h *hasty) Read(p []byte) (int, error) {
	if !h.read {
		h.read = true
		if _, err := io.ReadFull(h.TCPConn, make([]byte, 1)); err != nil {
			return 0, err
		}
	}
	return h.TCPConn.Read(p)
}

// TestPreambleFails has peers that answer wrongly.
func TestPreambleFails(t *testing.T) {
	for name, test := range map[string]struct {
		preamble frame.Preamble
		answer   string
		want     error
	}{
		"no TLS":          {sslRequest{}, "N", errNoTLS},
		"wrong answer":    {sslRequest{}, "E", frame.ErrMalformed},
		"no answer":       {sslRequest{}, "", bio.ErrTruncated},
		"not HTTP":        {httpConnect{"x:1"}, "220 mail.test ESMTP\r\n\r\n", frame.ErrMalformed},
		"half an answer":  {httpConnect{"x:1"}, "HTTP/1.1 200 OK\r\n", bio.ErrTruncated},
		"endless answer":  {httpConnect{"x:1"}, string(bytes.Repeat([]byte("x"), 5000)), frame.ErrMalformed},
		"refused":         {httpConnect{"x:1"}, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", errProxy},
		"closed at start": {httpConnect{"x:1"}, "", bio.ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := wrapConfigs(t, "")
			client.Preambles = []frame.Preamble{test.preamble}
			a, b := tcpPair(t)
			c := wrap.Client(wrap.Stream(a), client)
			defer c.Close()
			go func() {
				io.WriteString(b, test.answer)
				b.CloseWrite()
				io.Copy(io.Discard, b)
				b.Close()
			}()
			err := c.Handshake()
			if wantErr(t, "Handshake", err, test.want); errors.Is(err, io.EOF) {
				t.Errorf("%v passes for an end in good order", err)
			}
		})
	}
}

// TestPreambleHangs has a peer that does not answer: the time of the handshake is that of the preamble, too, and a
// context or Close ends it.
func TestPreambleHangs(t *testing.T) {
	for _, name := range []string{"timeout", "context", "close"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, _ := wrapConfigs(t, "")
				client.Preambles = []frame.Preamble{sslRequest{}}
				client.HandshakeTimeout = 3 * time.Second
				a, b := net.Pipe()
				go io.Copy(io.Discard, b)
				c := wrap.Client(wrap.Stream(a), client)
				want, after := error(os.ErrDeadlineExceeded), client.HandshakeTimeout
				ctx := context.Background()
				switch name {
				case "context":
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
					want, after = context.DeadlineExceeded, time.Second
				case "close":
					time.AfterFunc(2*time.Second, func() { c.Close() })
					want, after = net.ErrClosed, 2*time.Second
				}
				start := time.Now()
				wantErr(t, "HandshakeContext", c.HandshakeContext(ctx), want)
				if took := time.Since(start); took != after {
					t.Errorf("that took %v, want %v", took, after)
				}
				c.Close()
				b.Close()
			})
		})
	}
}
