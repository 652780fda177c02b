package connect_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/cmd/encase/connect"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

// A server is a peer under the test's control, at an address of this machine.
type server struct {
	addr, ca string
	conns    chan *wrap.Conn
}

// serve starts a server for one connection whose certificate is for name.
func serve(t *testing.T, name string) *server {
	t.Helper()
	dir := t.TempDir()
	_, cert := identity(t, dir, name)
	codec, err := length.Parse("16be")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &wrap.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Codec: codec}
	l, err := wrap.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &server{addr: l.Addr().String(), ca: filepath.Join(dir, "ca.crt"), conns: make(chan *wrap.Conn, 1)}
	go func() {
		defer close(s.conns)
		c, err := l.Accept()
		if err != nil {
			return
		}
		conn := c.(*wrap.Conn)
		conn.SetDeadline(time.Now().Add(time.Minute))
		if conn.Handshake() == nil {
			s.conns <- conn
		}
	}()
	return s
}

// identity writes ca.crt, server.crt and server.key to dir.
func identity(t *testing.T, dir, name string) (*ephemeral.Authority, tls.Certificate) {
	t.Helper()
	ca, err := ephemeral.New("test authority")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.WriteFiles(dir, map[string]tls.Certificate{"server": cert}); err != nil {
		t.Fatal(err)
	}
	return ca, cert
}

// dial runs "encase connect" against s until it ends.
func (s *server) dial(ctx context.Context, stdin io.Reader, stdout io.Writer) <-chan error {
	c := connect.Command()
	c.SetArgs([]string{"--codec", "length:16be", "--ca", s.ca, "-q", s.addr})
	c.SetIn(stdin)
	c.SetOut(stdout)
	c.SetErr(io.Discard)
	c.SilenceErrors, c.SilenceUsage = true, true
	done := make(chan error, 1)
	go func() { done <- c.ExecuteContext(ctx) }()
	return done
}

func (s *server) accept(t *testing.T) *wrap.Conn {
	t.Helper()
	conn, ok := <-s.conns
	if !ok {
		t.Fatal("no connection")
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func result(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("encase connect has not ended")
		return nil
	}
}

// A peer that ends its side first still gets the rest of the input.
func TestPeerEndsFirst(t *testing.T) {
	s := serve(t, "127.0.0.1")
	stdin, more := io.Pipe()
	var out bytes.Buffer
	done := s.dial(t.Context(), stdin, &out)
	conn := s.accept(t)
	if _, err := conn.Write([]byte("that is all")); err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	large := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	go func() {
		more.Write(large)
		more.Close()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, large) {
		t.Errorf("the peer got %d bytes, %v, want %d", len(got), err, len(large))
	}
	if err := result(t, done); err != nil || out.String() != "that is all" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

// When the peer has closed TLS and its connection, nobody waits for more input.
func TestPeerHangsUp(t *testing.T) {
	s := serve(t, "127.0.0.1")
	done := s.dial(t.Context(), silent(), io.Discard)
	s.accept(t).Close()
	if err := result(t, done); err != nil {
		t.Error(err)
	}
}

// The end of a connection that is not the end of TLS is an error.
func TestTruncated(t *testing.T) {
	s := serve(t, "127.0.0.1")
	out, stdout := io.Pipe()
	done := s.dial(t.Context(), silent(), stdout)
	conn := s.accept(t)
	conn.Write([]byte("half of"))
	got := make([]byte, len("half of"))
	if _, err := io.ReadFull(out, got); err != nil || string(got) != "half of" {
		t.Errorf("got %q, %v", got, err)
	}
	conn.Carrier().Close()
	if err := result(t, done); !errors.Is(err, bio.ErrTruncated) || !strings.Contains(err.Error(), "incomplete") {
		t.Errorf("got %v", err)
	}
}

// What fails at this end must not look like the end to the peer.
func TestPeerNoticesFailure(t *testing.T) {
	for name, c := range map[string]struct {
		stdin  func(cancel func()) io.Reader
		stdout io.Writer
		want   string
	}{
		"input":  {func(func()) io.Reader { return failing{} }, io.Discard, "cannot read the input: out of paper"},
		"output": {func(func()) io.Reader { return silent() }, failing{}, "cannot write the output: out of paper"},
		"signal": {func(cancel func()) io.Reader { return canceling{cancel} }, io.Discard, "interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, "127.0.0.1")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := s.dial(ctx, c.stdin(cancel), c.stdout)
			conn := s.accept(t)
			conn.Write([]byte("x"))
			if _, err := io.ReadAll(conn); err == nil || errors.Is(err, net.ErrClosed) {
				t.Errorf("the peer saw the end of the data: %v", err)
			}
			if err := result(t, done); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// silent is an input that says nothing and does not end.
func silent() io.Reader {
	r, _ := io.Pipe()
	return r
}

type failing struct{}

var errPaper = errors.New("out of paper")

func (failing) Read([]byte) (int, error)  { return 0, errPaper }
func (failing) Write([]byte) (int, error) { return 0, errPaper }

// canceling is an input during which somebody presses Ctrl-C.
type canceling struct{ cancel func() }

func (c canceling) Read([]byte) (int, error) {
	c.cancel()
	select {}
}

// What stands in a certificate that is refused does not reach the terminal as it is.
func TestHostileName(t *testing.T) {
	s := serve(t, "\x1b[2Jevil")
	err := result(t, s.dial(t.Context(), strings.NewReader(""), io.Discard))
	if err == nil || !strings.Contains(err.Error(), `\x1b[2Jevil`) || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("got %q", err)
	}
}

// Waiting for a peer ends with the context.
func TestInterruptedWhileWaiting(t *testing.T) {
	s := serve(t, "127.0.0.1")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // never shakes hands
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.addr = l.Addr().String()
	if err := result(t, s.dial(ctx, strings.NewReader(""), io.Discard)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
