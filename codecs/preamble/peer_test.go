package preamble_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// hostname is the name that the certificate of a server proves in tests.
const hostname = "db.example"

// credentials are made once; dir has ca.crt, server.crt, server.key.
type credentials struct {
	authority *ephemeral.Authority
	server    tls.Certificate
}

var issue = sync.OnceValues(func() (c credentials, err error) {
	if c.authority, err = ephemeral.New("test CA"); err != nil {
		return c, err
	}
	c.server, err = c.authority.Issue(hostname, "localhost", "127.0.0.1")
	return c, err
})

func issued(t *testing.T) credentials {
	t.Helper()
	c, err := issue()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// files returns a folder with ca.crt, server.crt and server.key.
func (c credentials) files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := c.authority.WriteFiles(dir, map[string]tls.Certificate{"server": c.server}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serverConfig and clientConfig make a connection with preambles, and TLS behind them.
func serverConfig(t *testing.T, list ...frame.Preamble) *wrap.Config {
	return &wrap.Config{
		TLS:       &tls.Config{Certificates: []tls.Certificate{issued(t).server}, NextProtos: []string{"http/1.1"}},
		Preambles: list,
	}
}

func clientConfig(t *testing.T, list ...frame.Preamble) *wrap.Config {
	return &wrap.Config{TLS: &tls.Config{RootCAs: issued(t).authority.Pool(), ServerName: hostname}, Preambles: list}
}

// listen listens on loopback and handles each connection in a goroutine, all of which the test waits for.
func listen(t *testing.T, handle func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				handle(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// echo serves TLS behind preambles: it sends one line back. Why a handshake fails goes to failed, unless that is nil.
func echo(t *testing.T, failed chan<- error, list ...frame.Preamble) (addr string) {
	t.Helper()
	cfg := serverConfig(t, list...)
	return listen(t, func(c net.Conn) {
		conn := wrap.Server(wrap.Stream(c), cfg)
		defer conn.Close()
		if err := conn.Handshake(); err != nil {
			if failed != nil {
				failed <- err
			}
			return
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil {
			conn.Write([]byte(line))
		}
	})
}

// dial makes a TLS connection behind preambles.
func dial(t *testing.T, addr string, list ...frame.Preamble) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d := wrap.Dialer{Config: clientConfig(t, list...)}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(time.Minute))
	}
	return conn, err
}

// roundTrip sends a line through conn and expects it back.
func roundTrip(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write([]byte("hello\n")); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("%s: %q, %v", what, line, err)
	}
}

// daemon starts a program that runs until the test ends, which shows what it said if it failed.
func daemon(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Cancel()
		cmd.Wait()
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s says:\n%s", cmd.Path, text)
		}
	})
}

// command returns a program that has as long as a test may take.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}

// await waits until someone listens on addr.
func await(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("nobody listens on %s", addr)
}
