package control

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/link"
)

func serve(t *testing.T, h Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "deep", "x.sock")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { s.Serve(h); close(done) }()
	t.Cleanup(func() { s.Close(); <-done })
	return path
}

func TestAsk(t *testing.T) {
	path := serve(t, func(_ context.Context, q Request) Answer {
		if q.Do != Kick {
			return Answer{Error: "no: " + q.Do}
		}
		return Answer{Text: q.Who + ", " + q.Text}
	})
	a, err := Ask(t.Context(), path, Request{Do: Kick, Who: "alice", Text: "go"})
	if err != nil || a.Text != "alice, go" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := Ask(t.Context(), path, Request{Do: "x"}); err == nil || err.Error() != "no: x" {
		t.Errorf("an error of the daemon: %v", err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another encase answers") {
		t.Errorf("a second daemon: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/.encase-*"); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if _, err := Ask(t.Context(), path+"x", Request{Do: Status}); err == nil ||
		!strings.Contains(err.Error(), "no tunnel is up") {
		t.Errorf("nobody is there: %v", err)
	}
}

// The socket of a program that was killed is in nobody's way; another file is.
func TestListenWhereSomethingIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil {
		t.Error("a file was taken for a socket")
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Error("a file was removed")
	}
}

// Whoever talks nonsense is told so, and whoever says nothing is not waited for when the daemon ends.
func TestNonsense(t *testing.T) {
	path := serve(t, func(context.Context, Request) Answer { return Answer{Text: "fine"} })
	for in, want := range map[string]string{
		"\n":                       "not a request",
		"{}\n{}\n":                 "fine", // what follows the line is not looked at
		`{"do":"kick","whom":"x"}`: "unknown field",
		`{"do":"ban","for":-1}`:    "a ban for -1 seconds",
		`{"do":"ban","for":1e300}`: "a ban for 1e+300 seconds",
		`{"do":"a"} {"do":"b"}`:    "something follows",
		strings.Repeat("x", 1<<20): "a request of more than 65536 bytes",
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		go func() { c.Write([]byte(in)); c.(*net.UnixConn).CloseWrite() }()
		answer := make([]byte, 4096)
		n, _ := c.Read(answer)
		if !strings.Contains(string(answer[:n]), want) {
			t.Errorf("%.40q is answered with %s", in, answer[:n])
		}
		c.Close()
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"do":"ban","who":"a","for":3}` + "\n"))
	f.Add([]byte(`{"do":"kick","text":"\ud800"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := readRequest(bytes.NewReader(data))
		if err == nil && (len(data) == 0 || q.For < 0) {
			t.Errorf("%+v", q)
		}
	})
}

func state(at time.Time, sent uint64) *State {
	s := &State{PID: 1, Started: at.Add(-90 * time.Minute), Now: at, Expires: at.Add(365 * 24 * time.Hour)}
	s.Status = tun.Status{Role: "server", Interface: "encase0", Offloads: "tcp", MTU: 1400}
	s.Device.ReadBytes = sent
	s.Sessions = []tun.Session{{ID: "a", Peer: "alice\x1b[2J", Since: at.Add(-time.Minute), MTU: 1400,
		MTUSource: "probed",
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.66.0.2/32")}, Active: "datagrams",
		Connections: []tun.Connection{
			{Carrier: "datagrams", Codec: "raw", Remote: "192.0.2.1:5", TLS: "DTLS 1.2", Cipher: "X", Since: at, Works: true,
				RTT: 12.5, MTU: 1215, Source: "probed",
				Loss: 0.25, Waiting: 1500, Stats: link.Stats{SentBytes: sent, Spoofed: 3}},
			{Carrier: "stream", Codec: "length:16be", Remote: "192.0.2.1:6"},
		}}}
	return s
}

func TestWriteStatus(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := state(at, 3<<20)
	s.Pending, s.CRLExpires = []string{"interface.mtu"}, at.Add(25*time.Hour)
	var b strings.Builder
	if err := writeStatus(&b, terminal.Terminal{}, s, nil); err != nil {
		t.Fatal(err)
	}
	const want = `encase0  server, up 1h30m, MTU 1400, offloads tcp
  waits for a restart: interface.mtu
  confined: user 0, no capabilities, all files, all system calls
  the list of revoked certificates expires in 25h00m

alice\x1b[2J  10.66.0.2/32  since 1m00s, MTU 1400 (probed)
 * datagrams  192.0.2.1:5  raw  DTLS 1.2 X  12.50 ms, 25 % lost
     sent 3 MiB, received 0 B, queued 1.46 KiB, MTU 1215 (probed), keys 0s old; dropped 3 spoofed
   stream  192.0.2.1:6  length:16be     silent
`
	lines, wanted := strings.Split(b.String(), "\n"), strings.Split(want, "\n")
	for i := range wanted[:len(wanted)-1] {
		if strings.TrimSpace(lines[i]) != strings.TrimSpace(wanted[i]) {
			t.Errorf("line %d: %q, want %q", i, lines[i], wanted[i])
		}
	}
}

// The live view draws rates, survives a daemon that is away, and ends when it is told to.
func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	at, n := time.Now(), 0
	var b strings.Builder
	err := watchStatus(ctx, &b, func(context.Context) (*State, error) {
		switch n++; n {
		case 3:
			return nil, errors.New("it is away")
		case 5:
			cancel()
		}
		return state(at.Add(time.Duration(n)*time.Second), uint64(n)*125_000), nil
	}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	out := b.String()
	for _, want := range []string{"█ 1 Mbit/s, most 1 Mbit/s", "it is away", "round trip", "12.50 ms, most 12.50 ms",
		"25.0 %"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestSparkline(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{[]float64{0, 0}, "   "},
		{[]float64{0, 1, 2, 4}, " ▃▅█"},
		{[]float64{8, 8}, " ██"},
		{[]float64{1, 1000}, " ▁█"},
	} {
		most := 0.0
		for _, v := range c.values {
			most = max(most, v)
		}
		if got := sparkline(c.values, max(3, len(c.values)), most); got != c.want {
			t.Errorf("%v: %q, want %q", c.values, got, c.want)
		}
	}
}
