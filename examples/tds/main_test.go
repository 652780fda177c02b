package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func TestDemonstration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	const want = "everything encrypted: TLS 1.3, TLS_AES_128_GCM_SHA256\n" +
		"the login encrypted: what follows it is in clear\n"
	if out.String() != want {
		t.Errorf("got\n%s", &out)
	}
}

// TestClient runs both roles as from the command line.
func TestClient(t *testing.T) {
	dir := certificates(t)
	address, refused := startServer(t, dir, "login-only")
	ca := filepath.Join(dir, "ca.crt")
	for _, c := range []struct{ options, sql, want, why string }{
		{"", "SELECT 1", "1\n", ""},
		{"", "select -2147483648;", "-2147483648\n", ""},
		{"", "SELECT 'it''s Müller'", "it's Müller\n", ""},
		{"", "SELECT ''", "\n", ""},
		{"login-only", "SELECT 1", "1\n", ""},
		{"login-only", "SELECT encryption", "the login encrypted: what follows it is in clear\n", ""},
		{"freetds", "SELECT encryption", "everything encrypted: TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n", ""},
		{"", "SELECT 2147483648", "", "incorrect syntax"},
		{"", "SELECT 'a'b'", "", "incorrect syntax"},
		{"", "DROP TABLE users", "", "unknown statement"},
		{"", strings.Repeat(" ", maxMessage/2) + "SELECT 1", "", ""}, // the server hangs up
	} {
		var out strings.Builder
		err := run(t.Context(), []string{"client", address, ca, c.options, c.sql}, &out)
		works := c.want != ""
		if out.String() != c.want || (err == nil) != works || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%q %.40q: %q, %v; want %q, %q", c.options, c.sql, &out, err, c.want, c.why)
		}
	}
	if what := refused(); strings.Count(what, "\n") != 1 || !strings.Contains(what, "a message of more than 65536 bytes") {
		t.Errorf("the server complains of %q", what)
	}
	err := run(t.Context(), []string{"client", address}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "usage") {
		t.Error(err)
	}
}

// TestDowngrade changes the server's answer on its way, so that the client believes that the login alone is to be
// encrypted: it goes no further.
func TestDowngrade(t *testing.T) {
	dir := certificates(t)
	address, _ := startServer(t, dir, "")
	between, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer between.Close()
	heard := make(chan int64, 1)
	go func() { heard <- downgrade(between, address) }()
	ca := filepath.Join(dir, "ca.crt")
	err = run(t.Context(), []string{"client", between.Addr().String(), ca, "", "SELECT 1"}, io.Discard)
	if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), "somebody on the path") {
		t.Error(err)
	}
	if n := <-heard; n != 0 {
		t.Errorf("the client has said %d bytes more", n)
	}
}

// downgrade passes PRELOGIN on and changes ENCRYPT_ON to ENCRYPT_OFF in the answer. It returns how many bytes the
// client says after that.
func downgrade(l net.Listener, target string) (more int64) {
	client, err := l.Accept()
	if err != nil {
		return -1
	}
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return -1
	}
	defer server.Close()
	p := make([]byte, 4096)
	n, _ := client.Read(p)
	server.Write(p[:n])
	n, _ = server.Read(p)
	const encryption = 8 + 26 + 6 // behind the header, the list and the version
	p[encryption] = byte(tds.Off)
	client.Write(p[:n])
	more, _ = io.Copy(io.Discard, client)
	return more
}

// TestRefused tries what must not get in.
func TestRefused(t *testing.T) {
	dir := certificates(t)
	address, refused := startServer(t, dir, "login-only")
	for _, who := range []login{
		{version: version74, user: user, password: "Secret"},
		{version: version74, user: "", password: ""},
		{version: version74, user: user, password: password + "\x00"},
		{version: 0x71000001, user: user, password: password},
	} {
		for _, options := range []string{"", "login-only"} {
			conn := dial(t, address, dir, options)
			l := newLink(conn)
			message, err := who.message()
			if err != nil {
				t.Fatal(err)
			}
			if err := l.write(typeLogin, message); err != nil {
				t.Fatal(err)
			}
			r, err := answer(l)
			if err == nil || r.welcome || !strings.Contains(err.Error(), "error 18456") {
				t.Errorf("%+v: %+v, %v", who, r, err)
			}
			if _, _, err := l.read(); err == nil {
				t.Errorf("%+v: the server goes on", who)
			}
			l.conn.Close()
		}
	}
	conn := dial(t, address, dir, "")
	if err := newLink(conn).write(typeBatch, wide("SELECT 1")); err != nil {
		t.Fatal(err)
	}
	if p, err := io.ReadAll(conn); len(p) > 0 {
		t.Errorf("without a login: %x, %v", p, err)
	}
	if what := refused(); strings.Contains(what, "ecret") {
		t.Errorf("a password is in the log: %s", what)
	}
}

// TestLoginInPackets sends a login of several packets: where the login alone is encrypted, that is true of its first.
func TestLoginInPackets(t *testing.T) {
	for _, options := range []string{"", "login-only"} {
		near, far := net.Pipe()
		wire := &recorder{Conn: near}
		client, server := pair(t, wire, far, options)
		message := bytes.Repeat([]byte("MARK"), 3*packetSize/4)
		got := make(chan error, 1)
		go func() {
			if err := server.Handshake(); err != nil {
				got <- err
				return
			}
			typ, p, err := newLink(server).read()
			if err == nil && (typ != typeLogin || !bytes.Equal(p, message)) {
				err = fmt.Errorf("a message of the type %#02x, %d bytes", typ, len(p))
			}
			got <- err
		}()
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := newLink(client).write(typeLogin, message); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		want := 0
		if options != "" {
			want = len(message) - (packetSize - headerLen)
		}
		if n := 4 * bytes.Count(wire.bytes(), []byte("MARK")); n != want {
			t.Errorf("%q: %d bytes are in clear, want %d", options, n, want)
		}
		near.Close()
		far.Close()
	}
}

// A recorder keeps what is written.
type recorder struct {
	net.Conn
	mu      sync.Mutex
	written []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.written = append(r.written, p...)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

func (r *recorder) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.written)
}

// pair returns both ends over two connected streams.
func pair(t *testing.T, near, far net.Conn, options string) (client, server *wrap.Conn) {
	t.Helper()
	ca, err := ephemeral.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("db.example")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config(&tls.Config{RootCAs: ca.Pool(), ServerName: "db.example"}, options)
	if err != nil {
		t.Fatal(err)
	}
	s, err := config(&tls.Config{Certificates: []tls.Certificate{cert}}, options)
	if err != nil {
		t.Fatal(err)
	}
	return wrap.Client(wrap.Stream(near), c), wrap.Server(wrap.Stream(far), s)
}

// certificates returns a directory with ca.crt, server.crt and server.key.
func certificates(t *testing.T) string {
	t.Helper()
	ca, err := ephemeral.New("tds CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := ca.WriteFiles(dir, map[string]tls.Certificate{"server": cert}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startServer runs a server until the test ends. refused returns what it has said of clients by now.
func startServer(t *testing.T, dir, options string) (address string, refused func() string) {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config(&tls.Config{Certificates: []tls.Certificate{cert}}, options)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	log := &logbook{}
	go serve(l, cfg, log)
	return l.Addr().String(), log.String
}

// A logbook is written by several goroutines.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what is written, or will be soon.
func (b *logbook) String() string {
	time.Sleep(50 * time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// dial returns a connection whose handshake is done.
func dial(t *testing.T, address, dir, options string) *wrap.Conn {
	t.Helper()
	roots, err := rootsFrom(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config(&tls.Config{RootCAs: roots}, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := (&wrap.Dialer{Config: cfg}).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn.(*wrap.Conn)
}
