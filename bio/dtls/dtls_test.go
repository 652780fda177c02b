package dtls

import (
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/enginetest"
)

// TestEngine runs the suite that every engine passes.
func TestEngine(t *testing.T) {
	enginetest.Run(t, Stack(Options{Sessions: NewSessionStore(16, time.Minute), HandshakeTimeout: time.Hour}))
}

// flushed waits for output of a handshake.
func flushed(t testing.TB, e *Engine) []byte {
	t.Helper()
	for {
		if d, _ := e.Flush(nil, 0); len(d) > 0 {
			return d
		}
		select {
		case <-e.Ready():
		case <-time.After(20 * time.Second):
			t.Fatalf("the %v says nothing", e.role)
		}
	}
}

// TestIdleBytes holds an idle connection to what it costs.
func TestIdleBytes(t *testing.T) {
	const most = 8 << 10 // a certificate and two keys for AES-GCM are most of it
	s, many := certSetup(t, ecKey), 1000
	if raceEnabled {
		many = 50
	}
	n, err := enginetest.IdleBytes(many, func() (any, error) {
		client, _ := benchPair(t, s)
		return client, nil
	})
	check(t, err)
	t.Logf("%d bytes for an established client", n)
	if n > most && !raceEnabled {
		t.Errorf("%d bytes, want %d at most", n, most)
	}
}

// TestHalfOpenBytes says what a server holds for a peer that has sent one ClientHello, from any address it likes.
func TestHalfOpenBytes(t *testing.T) {
	const most = 48 << 10
	s := certSetup(t, ecKey)
	client, _ := s.makePair(t)
	hello := flushed(t, client)
	defer client.Abort(nil)
	var all []*Engine
	n, err := enginetest.IdleBytes(500, func() (any, error) {
		_, server := s.makePair(t)
		server.Open(nil, append([]byte(nil), hello...))
		flushed(t, server)
		all = append(all, server)
		return server, nil
	})
	check(t, err)
	t.Logf("%d bytes for a half-open server", n)
	if n > most && !raceEnabled {
		t.Errorf("%d bytes, want %d at most", n, most)
	}
	for _, e := range all {
		e.Abort(nil)
	}
}
