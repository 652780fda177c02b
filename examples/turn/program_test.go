package main

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/needtest"
)

// An output collects what somebody says.
type output struct {
	mu   sync.Mutex
	said strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}

// await waits until what has been said, and returns what follows in that line.
func (o *output) await(t *testing.T, what string) string {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, rest, ok := strings.Cut(o.String(), what); ok && strings.Contains(rest, "\n") {
			line, _, _ := strings.Cut(rest, "\n")
			return line
		}
	}
	t.Fatalf("nothing says %q:\n%s", what, o)
	return ""
}

// A program runs until the test ends.
type program struct {
	output
	stdin  io.Writer
	exited chan struct{} // closed when it has ended
}

// packages says which package of Debian's a program is in.
var packages = map[string]string{"openssl": "openssl", "gnutls-serv": "gnutls-bin", "turnserver": "coturn"}

// start starts a program.
func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	p := &program{exited: make(chan struct{})}
	cmd := exec.Command(needtest.Program(t, name, packages[name]), args...)
	cmd.Stdout, cmd.Stderr = p, p
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		<-p.exited
	})
	return p
}

// repeat has p's input say a line again and again, as datagrams get lost, until the test ends.
func (p *program) repeat(t *testing.T, line string) {
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
}

// freePort returns an address on loopback whose port nobody used a moment ago, and which the system gives to nobody who
// does not ask for it.
func freePort(t *testing.T) *net.UDPAddr {
	t.Helper()
	for range 100 {
		addr := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 10000 + rand.IntN(20000)}
		udp, err := net.ListenUDP("udp4", addr)
		if err != nil {
			continue
		}
		tcp, err := net.Listen("tcp4", addr.String())
		udp.Close()
		if err == nil {
			tcp.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return nil
}

// startCoturn returns the address on which coturn listens, over UDP and TCP.
func startCoturn(t *testing.T, user Credentials) string {
	t.Helper()
	dir := t.TempDir()
	access := []string{"--no-auth"}
	if user != (Credentials{}) {
		access = []string{"--lt-cred-mech", "--user=" + user.Username + ":" + user.Password}
	}
	address := freePort(t)
	p := start(t, "turnserver", append(access, "-n", "--allow-loopback-peers", "--listening-ip=127.0.0.1",
		"--relay-ip=127.0.0.1", "--listening-port="+strconv.Itoa(address.Port), "--no-cli", "--no-tls", "--no-dtls",
		"--realm=test", "--log-file=stdout", "--pidfile="+filepath.Join(dir, "pid"),
		"--userdb="+filepath.Join(dir, "db"))...)
	for range 300 {
		if conn, err := net.Dial("tcp", address.String()); err == nil {
			conn.Close()
			return address.String()
		}
		time.Sleep(30 * time.Millisecond)
	}
	t.Fatalf("coturn does not listen on %v:\n%s", address, p)
	return ""
}

// passwordFile returns the name of a file with a password.
func passwordFile(t *testing.T, password string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(name, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
