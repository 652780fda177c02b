package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
	"github.com/encase-tls/encase/wrap/needtest"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// start runs a server; stop ends it and returns what it says at the end.
func start(t *testing.T) (address, dir string, stop func() string) {
	t.Helper()
	dir = t.TempDir()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { w.CloseWithError(run(ctx, []string{"server", "127.0.0.1:0", dir}, w)) }()
	in := bufio.NewScanner(r)
	in.Scan()
	address, ok := strings.CutPrefix(in.Text(), "listening on ")
	if !ok {
		t.Fatalf("the server does not listen: %v", in.Err())
	}
	stop = sync.OnceValue(func() string {
		cancel()
		in.Scan()
		line := in.Text()
		if in.Scan(); in.Err() != nil {
			t.Errorf("server: %v", in.Err())
		}
		return line
	})
	t.Cleanup(func() { stop() })
	return address, dir, stop
}

// TestManySensors has many on a network that loses, repeats and reorders: each report is counted once.
func TestManySensors(t *testing.T) {
	address, dir, stop := start(t)
	bad := lossy.Conditions{Loss: 0.02, Duplicate: 0.1, Reorder: 0.1}
	relay, err := lossy.New(netip.MustParseAddrPort(address), bad, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"client", relay.Addr().String(), dir, "40", "10"}, &out); err != nil {
		t.Error(err)
	}
	if want := "40 sensors, 10 reports each: all arrived, and were counted once\n"; out.String() != want {
		t.Errorf("the client prints %q, want %q", &out, want)
	}
	if got, want := stop(), "40 sensors, 400 reports, 0 messages that were none"; got != want {
		t.Errorf("the server says %q, want %q", got, want)
	}
}

// TestOpenSSL lets openssl s_client report, in several processes at once, among them one that says nothing.
func TestOpenSSL(t *testing.T) {
	needtest.Program(t, "openssl", "openssl")
	address, dir, stop := start(t)
	openssl := func(script ...string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "openssl", "s_client", "-dtls1_2", "-quiet", "-connect", address,
			"-CAfile", dir+"/ca.crt", "-verify_return_error", "-verify_hostname", "server.example")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Error(err)
			return
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Error(err)
			return
		}
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return
		}
		lines := bufio.NewScanner(out)
		for i := 0; i+1 < len(script); i += 2 {
			io.WriteString(in, script[i]+"\n")
			if lines.Scan(); lines.Text() != script[i+1] {
				t.Errorf("%q is answered with %q, want %q", script[i], lines.Text(), script[i+1])
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
	var all sync.WaitGroup
	all.Go(func() { openssl() })
	for range 3 {
		all.Go(func() { openssl("1 10", "1 10.00", "2 20", "2 15.00", "2 20", "2 15.00", "3 -3", "3 9.00") })
	}
	all.Go(func() { openssl("1 7.5", "1 7.50") })
	all.Wait()
	if got := stop(); !strings.HasSuffix(got, "sensors, 10 reports, 0 messages that were none") {
		t.Errorf("the server says %q", got)
	}
}

// TestCount checks which reports count.
func TestCount(t *testing.T) {
	s := newStation()
	for _, step := range []struct {
		number int
		value  float64
		mean   float64
		ok     bool
	}{
		{0, 9, 0, false}, // there is no report 0
		{1, 10, 10, true},
		{1, 10, 10, true}, // repeated
		{3, 90, 0, false}, // before the second
		{2, 20, 15, true},
		{1, 10, 0, false}, // overtaken
		{-1, 1, 0, false},
	} {
		if mean, ok := s.count(nil, step.number, step.value); mean != step.mean || ok != step.ok {
			t.Errorf("report %d of %g: %g, %v, want %g, %v", step.number, step.value, mean, ok, step.mean, step.ok)
		}
	}
	if s.reports != 2 {
		t.Errorf("%d reports are counted, want 2", s.reports)
	}
}
