package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// start runs a server until the test ends.
func start(t *testing.T, program string, args ...string) (address string) {
	t.Helper()
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append([]string{program, "127.0.0.1:0"}, args...), w)
		w.Close()
	}()
	in := bufio.NewScanner(r)
	in.Scan()
	go io.Copy(io.Discard, r)
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	address, ok := strings.CutPrefix(in.Text(), "listening on ")
	if !ok {
		t.Fatalf("the server does not listen: %v", <-ended)
	}
	return address
}

// client runs a client and returns what it prints.
func client(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), args, &out); err != nil {
		t.Errorf("%q: %v", args, err)
	}
	return out.String()
}

func TestUDP(t *testing.T) {
	address := start(t, "udp-server")
	if got := client(t, "udp-client", address, "hello", "world"); got != "hello\nworld\n" {
		t.Errorf("the client prints %q", got)
	}
}

// TestDTLS has one client after the other, of which the first is still there when the second comes.
func TestDTLS(t *testing.T) {
	dir := t.TempDir()
	address := start(t, "dtls-server", dir)
	long := strings.Repeat("x", 1000)
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			if got := client(t, "dtls-client", address, dir, "hello", long); got != "hello\n"+long+"\n" {
				t.Errorf("the client prints %q", got)
			}
		})
	}
	clients.Wait()
}

// TestBadNetwork loses, repeats and reorders a fifth of what both programs send each other, and looks at what can be
// read on the way: all of it without DTLS, and with DTLS nothing.
func TestBadNetwork(t *testing.T) {
	const secret = "the message that nobody else may read"
	for _, protocol := range []string{"udp", "dtls"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			dir := []string{t.TempDir()}
			if protocol == "udp" {
				dir = nil
			}
			address := netip.MustParseAddrPort(start(t, protocol+"-server", dir...))
			relay, err := lossy.New(address, lossy.Conditions{Loss: 0.2, Duplicate: 0.2, Reorder: 0.2}, 3)
			if err != nil {
				t.Fatal(err)
			}
			defer relay.Close()
			var mu sync.Mutex
			readable := false
			relay.Tap(func(_ bool, p []byte) {
				mu.Lock()
				defer mu.Unlock()
				readable = readable || bytes.Contains(p, []byte(secret))
			})
			args := append([]string{protocol + "-client", relay.Addr().String()}, dir...)
			if got := client(t, append(args, secret, "b", "c", "d")...); got != secret+"\nb\nc\nd\n" {
				t.Errorf("the client prints %q", got)
			}
			mu.Lock()
			defer mu.Unlock()
			if readable != (protocol == "udp") {
				t.Errorf("can the message be read on the way? %v", readable)
			}
		})
	}
}

// TestStranger has a client that trusts another authority: it must not talk.
func TestStranger(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	address := start(t, "dtls-server", dir)
	if _, err := newCertificate(other); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"dtls-client", address, other, "hello"}, io.Discard); err == nil {
		t.Error("the client talks to a server that it does not trust")
	}
	if err := os.Remove(filepath.Join(other, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"dtls-client", address, other, "hello"}, io.Discard); err == nil {
		t.Error("the client talks to a server without any trust")
	}
}
