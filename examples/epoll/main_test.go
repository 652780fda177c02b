//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

func TestManyConnections(t *testing.T) {
	address, dir, _ := start(t)
	for _, tt := range []struct{ count, size string }{{"1", "0"}, {"200", "3000"}, {"4", "1000000"}} {
		var out bytes.Buffer
		if err := run(t.Context(), []string{"client", address, dir, tt.count, tt.size}, &out); err != nil {
			t.Errorf("%s connections, %s bytes each: %v", tt.count, tt.size, err)
		}
	}
}

// TestSlowReader has a client say more than all buffers hold before it listens: the server must stop reading from it,
// and lose nothing.
func TestSlowReader(t *testing.T) {
	conn, ended := echoOverSocketPair(t)
	text := make([]byte, 2<<20)
	rand.Read(text)
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(text)
		sent <- errors.Join(err, conn.CloseWrite())
	}()
	select {
	case err := <-sent:
		t.Fatalf("the server has taken 2 MB and found nobody who takes them back (%v)", err)
	case <-time.After(200 * time.Millisecond):
	}
	heard, err := io.ReadAll(conn)
	if err := errors.Join(err, <-sent); err != nil || !bytes.Equal(heard, text) {
		t.Errorf("%d bytes came back from %d: %v", len(heard), len(text), err)
	}
	conn.Close()
	if err := <-ended; err != nil {
		t.Errorf("server: %v", err)
	}
}

// echoOverSocketPair returns the client's end of a pair of sockets whose other end is served by a loop: unlike those of
// TCP, their buffers do not grow. ended tells how the server's end has ended.
func echoOverSocketPair(t *testing.T) (client *tls.Conn, ended <-chan error) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, socketType, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[0]), "client")
	socket, err := net.FileConn(file)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	socket.SetDeadline(time.Now().Add(10 * time.Second))

	engines, err := bio.TLS(&bio.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := engines(frame.Server)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	l, err := newLoop(func(_ *conn, err error) { result <- err })
	if err != nil {
		t.Fatal(err)
	}
	if err := l.add(fds[1], engine, new(echo)); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer l.close()
		l.run(t.Context()) // until the connection has ended
	}()
	return tls.Client(socket, &tls.Config{RootCAs: ca.Pool(), ServerName: "server.example"}), result
}

// TestAlert sends what is not TLS, more of it than the server reads before it gives up, and checks that its alert
// arrives all the same, and then its FIN, not a reset: on a real network that would overtake the alert.
func TestAlert(t *testing.T) {
	address, _, log := start(t)
	tcp, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := tcp.Write(bytes.Repeat([]byte("\x16\x03\x01\x00\x04\x63\x00\x00\x00"), 10_000)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(tcp)
	const alert, fatal, unexpectedMessage = 21, 2, 10
	if want := []byte{alert, 3, 1, 0, 2, fatal, unexpectedMessage}; err != nil || !bytes.Equal(got, want) {
		t.Errorf("the server answers % x, then %v; want the alert % x, then the end", got, err, want)
	}
	time.Sleep(50 * time.Millisecond) // in which a reset would arrive
	if _, err := tcp.Write([]byte("more")); err != nil {
		t.Errorf("the server has not let the client finish: %v", err)
	}
	tcp.Close()
	if line := <-log; !strings.HasPrefix(line, "connection 1: bio: this end refuses the peer") {
		t.Errorf("the server says %q", line)
	}
}

// TestTruncation closes TCP without closing TLS.
func TestTruncation(t *testing.T) {
	address, dir, log := start(t)
	conn := dial(t, address, dir)
	if _, err := conn.Write([]byte("half of it")); err != nil {
		t.Fatal(err)
	}
	conn.NetConn().(*net.TCPConn).CloseWrite()
	if line := <-log; !strings.Contains(line, "before the peer closed TLS") {
		t.Errorf("the server says %q", line)
	}
}

func TestNobodyListens(t *testing.T) {
	_, dir, _ := start(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	if err := run(t.Context(), []string{"client", address, dir, "2", "1"}, io.Discard); err == nil {
		t.Error("the client reports nothing")
	}
}

// start runs a server until the test ends. What it prints after its first line comes through log.
func start(t *testing.T) (address, dir string, log <-chan string) {
	dir = t.TempDir()
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"server", "127.0.0.1:0", dir}, w)
		w.Close()
	}()
	lines := make(chan string, 16)
	go func() {
		for in := bufio.NewScanner(r); in.Scan(); {
			lines <- in.Text()
		}
		close(lines)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	address, ok := strings.CutPrefix(<-lines, "listening on ")
	if !ok {
		t.Fatalf("the server does not listen: %v", <-ended)
	}
	return address, dir, lines
}

// dial connects with crypto/tls itself: the server must not need a peer of our own.
func dial(t *testing.T, address, dir string) *tls.Conn {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "server.example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}
