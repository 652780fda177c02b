//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
	"github.com/encase-tls/encase/wrap/needtest"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// start runs a server until the test ends. What it prints after its first line comes through log.
func start(t *testing.T) (address, dir string, log <-chan string) {
	t.Helper()
	dir = t.TempDir()
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"server", "127.0.0.1:0", dir}, w)
		w.Close()
	}()
	lines := make(chan string, 100)
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

// client runs one and checks that all comes back.
func client(t *testing.T, address, dir string, messages ...string) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), append([]string{"client", address, dir}, messages...), &out)
	if want := strings.Join(messages, "\n") + "\n"; err != nil || out.String() != want {
		t.Errorf("the client prints %q, then %v, want %q", &out, err, want)
	}
}

// TestManyClients has clients at the same time, directly and through a network that loses, repeats and reorders, and
// looks whether anything of them is left.
func TestManyClients(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("clients", func(t *testing.T) {
		address, dir, log := start(t)
		bad := lossy.Conditions{Loss: 0.1, Duplicate: 0.2, Reorder: 0.2}
		relay, err := lossy.New(netip.MustParseAddrPort(address), bad, 5)
		if err != nil {
			t.Fatal(err)
		}
		defer relay.Close()
		var clients sync.WaitGroup
		for i := range 20 {
			way := []string{address, relay.Addr().String()}[i%2]
			clients.Go(func() { client(t, way, dir, fmt.Sprint("client ", i), "b", strings.Repeat("x", 1100)) })
		}
		clients.Wait()
		for len(log) > 0 {
			t.Errorf("the server says %q", <-log)
		}
	})
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left, there were %d", runtime.NumGoroutine(), before)
		}
	}
}

// TestRefusal has a client that does not trust the server: it says why, and the server hears the alert.
func TestRefusal(t *testing.T) {
	address, _, log := start(t)
	other := t.TempDir()
	ca, err := ephemeral.New("another CA")
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.WriteFiles(other, nil); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"client", address, other, "hello"}, io.Discard); err == nil {
		t.Error("the client talks to a server that it does not trust")
	}
	select {
	case line := <-log:
		if !strings.Contains(line, "peer") {
			t.Errorf("the server says %q", line)
		}
	case <-time.After(20 * time.Second):
		t.Error("the server has not heard the alert")
	}
}

// TestStrangers checks who gets a peer: what can be the beginning of a handshake, and not too many; and that the time
// ends what does not go on.
func TestStrangers(t *testing.T) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		t.Fatal(err)
	}
	engines, err := newEngines(&tls.Config{Certificates: []tls.Certificate{cert}}, frame.Server)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	l, err := newLoop(netip.MustParseAddrPort("127.0.0.1:0"), echo{&said})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	l.engines = engines
	from := func(port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	}
	hello := []byte{22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}
	for i, bad := range [][]byte{nil, hello[:13], []byte("GET / HTTP/1.1\r\n\r\n"),
		append([]byte{23}, hello[1:]...), append(hello[:13:13], 2), append([]byte{22, 0xfe, 0xfd, 0, 1}, hello[5:]...)} {
		l.received(from(1000+i), bad)
	}
	if len(l.peers) > 0 {
		t.Errorf("%d peers that have sent no ClientHello", len(l.peers))
	}
	for i := range maxPeers + 10 {
		l.received(from(2000+i), hello)
	}
	if len(l.peers) != maxPeers {
		t.Errorf("%d peers, want %d", len(l.peers), maxPeers)
	}
	now := time.Now()
	if ms := l.patience(now); ms <= 0 || ms > int(handshakeTime.Milliseconds()) {
		t.Errorf("poll may wait for %d ms", ms)
	}
	l.expire(now.Add(handshakeTime + time.Millisecond))
	if len(l.peers) > 0 || l.patience(now) != -1 {
		t.Errorf("%d peers are left after their time", len(l.peers))
	}
	if !strings.Contains(said.String(), errSilent.Error()) {
		t.Errorf("the server says %q", &said)
	}
}

// TestNoAnswer has a server that vanishes after the handshake: the client repeats its question, each time with more
// patience, and gives up.
func TestNoAnswer(t *testing.T) {
	a := &asker{stdout: io.Discard, unsaid: []string{"is anybody there?"}}
	l, p := shaken(t, a)
	var waits []time.Duration
	for !p.gone && len(waits) < 100 {
		waits = append(waits, a.wait)
		l.expire(p.wake) // as if it were so late
	}
	want := []time.Duration{firstWait, 2 * firstWait, 4 * firstWait, 8 * firstWait, lastWait}
	if a.err == nil || !slices.Equal(waits, want) {
		t.Errorf("the client waits %v and ends with %v, want %v", waits, a.err, want)
	}
}

// shaken returns the loop of a client whose handshake is done, and whose server has gone without a word.
func shaken(t *testing.T, a *asker) (*loop, *peer) {
	t.Helper()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		t.Fatal(err)
	}
	server, err := newEngines(&tls.Config{Certificates: []tls.Certificate{cert}}, frame.Server)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := newEngines(&tls.Config{RootCAs: ca.Pool(), ServerName: "server.example"}, frame.Client)
	if err != nil {
		t.Fatal(err)
	}
	far, err := newLoop(netip.MustParseAddrPort("127.0.0.1:0"), mute{})
	if err != nil {
		t.Fatal(err)
	}
	far.engines = server
	address, err := far.address()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { far.run(ctx); close(ended) }()
	near, err := newLoop(netip.MustParseAddrPort("127.0.0.1:0"), a)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := clients()
	if err != nil {
		t.Fatal(err)
	}
	p := near.add(address, engine)
	t.Cleanup(func() { near.close() })
	for end := time.Now().Add(20 * time.Second); !p.open; time.Sleep(time.Millisecond) {
		near.receive()
		for p := range near.bell.answer() {
			near.attend(p)
		}
		if time.Now().After(end) {
			t.Fatal("no handshake")
		}
	}
	stop()
	<-ended
	clear(far.peers) // no goodbye
	far.close()
	return near, p
}

// mute answers nothing.
type mute struct{}

func (mute) opened(*loop, *peer)        {}
func (mute) heard(*loop, *peer, []byte) {}
func (mute) late(*loop, *peer)          {}
func (mute) ended(*peer, error)         {}

// openssl starts it until the test ends.
func openssl(t *testing.T, args ...string) (stdin io.Writer, stdout io.Reader) {
	t.Helper()
	needtest.Program(t, "openssl", "openssl")
	cmd := exec.Command("openssl", args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	t.Cleanup(func() { stop.Stop(); cmd.Process.Kill(); cmd.Wait() })
	return in, out
}

func TestOpenSSLClient(t *testing.T) {
	address, dir, _ := start(t)
	in, out := openssl(t, "s_client", "-dtls1_2", "-quiet", "-connect", address, "-CAfile", dir+"/ca.crt",
		"-verify_return_error", "-verify_hostname", "server.example", "-mtu", "400")
	lines := bufio.NewScanner(out)
	for _, line := range []string{"hello", "world"} {
		io.WriteString(in, line+"\n")
		if lines.Scan(); lines.Text() != line {
			t.Fatalf("%q comes back as %q", line, lines.Text())
		}
	}
}

// TestOpenSSLServer makes openssl s_server an echo server: its output is its input.
func TestOpenSSLServer(t *testing.T) {
	dir := t.TempDir()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.WriteFiles(dir, map[string]tls.Certificate{"server": cert}); err != nil {
		t.Fatal(err)
	}
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().String()
	free.Close()
	in, out := openssl(t, "s_server", "-dtls1_2", "-quiet", "-accept", address,
		"-cert", dir+"/server.crt", "-key", dir+"/server.key")
	go io.Copy(in, out)
	client(t, address, dir, "hello", "world")
}
