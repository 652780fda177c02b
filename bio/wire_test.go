package bio_test

import (
	"crypto/tls"
	"errors"
	"flag"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

// TestMain sees to it that no test leaves a goroutine behind. The fuzzer itself does.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code)
	}
	for start := time.Now(); runtime.NumGoroutine() > before && code == 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			stacks := make([]byte, 1<<20)
			os.Stderr.Write(stacks[:runtime.Stack(stacks, true)])
			os.Stderr.WriteString("\nthe tests have left goroutines behind\n")
			code = 1
		}
	}
	os.Exit(code)
}

const serverName = "server.example"

// identities are made once: two authorities, a certificate of the first for the server and one of each for a client.
var identities = sync.OnceValue(func() (id struct {
	roots, others            *ephemeral.Authority
	server, client, stranger tls.Certificate
}) {
	var errs [5]error
	id.roots, errs[0] = ephemeral.New("the test's authority")
	id.others, errs[1] = ephemeral.New("somebody else's authority")
	id.server, errs[2] = id.roots.Issue(serverName, "127.0.0.1")
	id.client, errs[3] = id.roots.Issue("client.example")
	id.stranger, errs[4] = id.others.Issue("stranger.example")
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	return id
})

// clientConfig and serverConfig make configurations for one version of TLS that fit each other.
func clientConfig(version uint16) *tls.Config {
	return &tls.Config{
		MinVersion: version, MaxVersion: version,
		CurvePreferences: []tls.CurveID{tls.X25519}, // a short handshake
		ServerName:       serverName,
		RootCAs:          identities().roots.Pool(),
	}
}

func serverConfig(version uint16) *tls.Config {
	return &tls.Config{
		MinVersion: version, MaxVersion: version,
		Certificates: []tls.Certificate{identities().server},
	}
}

// A peer is an engine with what has come of it.
type peer struct {
	bio.Engine
	rest   []byte // bytes from the other end that the engine has not taken
	got    []byte // application data
	events bio.Events
	err    error
}

func newPeer(t testing.TB, role frame.Role, cfg *bio.Config) *peer {
	t.Helper()
	mk, err := bio.TLS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return makePeer(t, mk, role)
}

func makePeer(t testing.TB, mk bio.Maker, role frame.Role) *peer {
	t.Helper()
	e, err := mk(role)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Abort(nil) })
	return &peer{Engine: e}
}

func newPair(t testing.TB, client, server *tls.Config) (c, s *peer) {
	t.Helper()
	return newPeer(t, frame.Client, &bio.Config{TLS: client}), newPeer(t, frame.Server, &bio.Config{TLS: server})
}

// pump moves bytes between two ends until there are none.
func pump(a, b *peer) {
	for moved := true; moved; {
		moved = a.sendTo(b)
		moved = b.sendTo(a) || moved
	}
}

func (p *peer) sendTo(to *peer) (moved bool) {
	out, _ := p.Flush(nil, 0)
	return to.give(out) || len(out) > 0
}

// give opens src, with what was left from before in front of it.
func (p *peer) give(src []byte) (moved bool) {
	src = append(p.rest, src...)
	if p.err != nil {
		return false
	}
	var st bio.Status
	p.got, st, p.err = p.Open(p.got, src)
	p.events |= st.Events
	p.rest = src[st.Consumed:]
	return st.Consumed > 0
}

// shake connects two ends that must get along.
func shake(t testing.TB, a, b *peer) {
	t.Helper()
	pump(a, b)
	for _, p := range []*peer{a, b} {
		if p.err != nil || p.State().Phase != bio.PhaseOpen {
			t.Fatalf("after the handshake: phase %v, %v", p.State().Phase, p.err)
		}
	}
}

// send lets the other end have a record with p.
func (p *peer) send(t testing.TB, to *peer, data string) {
	t.Helper()
	out, n, err := p.Seal(nil, []byte(data))
	if err != nil || n != len(data) {
		t.Fatalf("Seal took %d of %d bytes: %v", n, len(data), err)
	}
	before := len(to.got)
	to.give(out)
	if got := string(to.got[before:]); got != data {
		t.Fatalf("the other end got %d bytes, want %d: %v", len(got), len(data), to.err)
	}
}

// versions are what most tests run for.
var versions = map[string]uint16{"TLS1.2": tls.VersionTLS12, "TLS1.3": tls.VersionTLS13}

func eachVersion(t *testing.T, test func(t *testing.T, version uint16)) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) { test(t, version) })
	}
}
