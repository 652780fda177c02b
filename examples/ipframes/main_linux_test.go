package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/tun/tuntest"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// Server and client are two machines with a router between them, which forwards packets of protocol 253 and sees no
// other.
func TestRun(t *testing.T) {
	tuntest.Need(t, "nft")
	router := tuntest.New(t)
	machines := []*tuntest.Namespace{tuntest.New(t), tuntest.New(t)}
	router.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	for i, ns := range machines {
		n := i + 1
		tuntest.Connect(router, ns, fmt.Sprintf("in%d", n), fmt.Sprintf("10.%d.0.1/24", n), "eth0",
			fmt.Sprintf("10.%d.0.2/24", n))
		ns.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
		ns.IP("route", "add", "default", "via", fmt.Sprintf("10.%d.0.1", n))
		router.IP("route", "add", fmt.Sprintf("198.18.0.%d", n), "via", fmt.Sprintf("10.%d.0.2", n))
	}
	router.Run("nft", "add table ip see; add chain ip see f { type filter hook forward priority 0; };"+
		"add rule ip see f ip protocol 253 counter accept; add rule ip see f counter drop")
	dir := t.TempDir()
	start(t, machines[0], "server", "198.18.0.1", dir)
	for range 2 {
		var out bytes.Buffer
		err := machines[1].Try(func() error {
			return run(t.Context(), []string{"client", "198.18.0.2", "198.18.0.1", dir, "1", "2", "39"}, &out)
		})
		if err != nil || out.String() != "42\n" {
			t.Fatalf("%q, %v", &out, err)
		}
	}
	seen := router.Run("nft", "list", "table", "ip", "see")
	if strings.Contains(seen, "protocol 253 counter packets 0 ") ||
		!strings.Contains(seen, "counter packets 0 bytes 0 drop") {
		t.Errorf("the router has forwarded:\n%s", seen)
	}
}

// start runs a program in a namespace until the test ends, and waits until it listens.
func start(t *testing.T, ns *tuntest.Namespace, args ...string) {
	t.Helper()
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- ns.Try(func() error { return run(ctx, args, w) })
		w.Close()
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	in := bufio.NewScanner(r)
	if !in.Scan() || in.Text() != "listening on 198.18.0.1" {
		t.Fatalf("the server says %q", in.Text())
	}
	go io.Copy(io.Discard, r)
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"server"}, {"server", "nobody", "x"}, {"client", "198.18.0.2", "x", "y"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
