package bio_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// lateServer returns a server that waits for a choice, and a client that wants "late" of it.
func lateServer(t *testing.T, version uint16) (c, s *peer) {
	t.Helper()
	client := clientConfig(version)
	client.NextProtos = []string{"late"}
	c = newPeer(t, frame.Client, &bio.Config{TLS: client})
	s = newPeer(t, frame.Server, &bio.Config{TLS: &tls.Config{}, ChooseLate: true})
	return c, s
}

// TestChooseLate feeds the ClientHello in pieces, chooses from another goroutine after a while, and has bytes left
// over.
func TestChooseLate(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := lateServer(t, version)
		if err := s.Chooser().Choose(serverConfig(version)); err == nil {
			t.Error("Choose before the ClientHello returned no error")
		}
		hello, _ := c.Flush(nil, 0)
		for len(hello) > 0 && s.err == nil {
			n := min(len(hello), 50)
			s.give(hello[:n])
			hello = hello[n:]
		}
		if !s.events.Has(bio.EventClientHello) || s.State().Phase != bio.PhaseChoosing {
			t.Fatalf("after the ClientHello: events %b, phase %v, %v", s.events, s.State().Phase, s.err)
		}
		info := s.Chooser().ClientHello()
		if info.ServerName != serverName || !slices.Equal(info.SupportedProtos, []string{"late"}) {
			t.Errorf("ClientHello: name %q, protocols %q", info.ServerName, info.SupportedProtos)
		}
		for range 3 { // an engine that waits takes nothing, and says so only once
			s.events = 0
			if s.give([]byte("early")[:1]); len(s.rest) == 0 || s.events != 0 || s.State().TLS.Version != 0 {
				t.Fatalf("while it waits: %d bytes left, events %b, %v", len(s.rest), s.events, s.err)
			}
			s.rest = nil
		}
		chosen := make(chan error)
		go func() {
			time.Sleep(20 * time.Millisecond)
			cfg := serverConfig(version)
			cfg.NextProtos = []string{"late"}
			chosen <- s.Chooser().Choose(cfg)
		}()
		if err := <-chosen; err != nil {
			t.Fatal(err)
		}
		if err := s.Chooser().Choose(serverConfig(version)); err == nil {
			t.Error("the second Choose returned no error")
		}
		s.give(nil)
		shake(t, c, s)
		if got := s.State().TLS.NegotiatedProtocol; got != "late" || s.Chooser().ClientHello() != nil {
			t.Errorf("the protocol is %q, ClientHello %v", got, s.Chooser().ClientHello())
		}
		c.send(t, s, "after a choice")
		out, n, err := s.Seal(nil, make([]byte, bio.MaxPlaintext)) // the chosen configuration did not ask for this
		if err != nil || n != bio.MaxPlaintext || len(out) != n+s.Overhead() {
			t.Errorf("Seal took %d bytes and made %d, want one full record: %v", n, len(out), err)
		}
	})
}

// Chooser returns the engine's.
func (p *peer) Chooser() bio.Chooser { return p.Engine.(bio.Chooser) }

// TestChooseRest: what a client sends right behind its ClientHello is given again after the choice.
func TestChooseRest(t *testing.T) {
	c, s := lateServer(t, tls.VersionTLS13)
	hello, _ := c.Flush(nil, 0)
	behind := []byte{20, 3, 3, 0, 1, 1} // change_cipher_spec, as a client in compatibility mode may send at once
	s.give(append(bytes.Clone(hello), behind...))
	if !bytes.Equal(s.rest, behind) {
		t.Fatalf("% x is left, want % x", s.rest, behind)
	}
	cfg := serverConfig(tls.VersionTLS13)
	cfg.NextProtos = []string{"late"}
	if err := s.Chooser().Choose(cfg); err != nil {
		t.Fatal(err)
	}
	s.give(nil)
	if len(s.rest) > 0 {
		t.Errorf("after the choice % x is left", s.rest)
	}
	shake(t, c, s)
}

func TestReject(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := lateServer(t, version)
		c.sendTo(s)
		reason := errors.New("nobody of that name here")
		if err := s.Chooser().Reject(reason); err != nil {
			t.Fatal(err)
		}
		pump(c, s)
		wantAlert(t, "server", s.err, true, 80)
		wantAlert(t, "client", c.err, false, 80)
		if !errors.Is(s.err, reason) {
			t.Errorf("the server's error %v does not wrap the reason", s.err)
		}
	})
}

// TestChooseNever gives up while the engine waits. Neither the goroutine nor an alert may stay.
func TestChooseNever(t *testing.T) {
	tests := map[string]func(e bio.Engine){
		"Abort":        func(e bio.Engine) { e.Abort(nil) },
		"TransportEOF": func(e bio.Engine) { e.TransportEOF() },
	}
	for name, giveUp := range tests {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			c, s := lateServer(t, tls.VersionTLS13)
			c.sendTo(s)
			giveUp(s)
			c.Abort(nil)
			for start := time.Now(); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
				if time.Since(start) > time.Minute {
					t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
				}
			}
			if out, _ := s.Flush(nil, 0); len(out) > 0 {
				t.Errorf("it flushes % x", out)
			}
			if err := s.Chooser().Choose(serverConfig(tls.VersionTLS13)); err == nil {
				s.give(nil)
			}
			if s.give([]byte{0}); s.err == nil || s.State().Phase != bio.PhaseFailed {
				t.Errorf("it goes on: phase %v, %v", s.State().Phase, s.err)
			}
		})
	}
}

// TestChooseResumes: servers that choose late share their ticket keys, as others do.
func TestChooseResumes(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		client := clientConfig(version)
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		clients := mustMake(t, &bio.Config{TLS: client})
		servers := mustMake(t, &bio.Config{TLS: &tls.Config{}, ChooseLate: true})
		for i := range 3 {
			c, s := makePeer(t, clients, frame.Client), makePeer(t, servers, frame.Server)
			c.sendTo(s)
			if err := s.Chooser().Choose(serverConfig(version)); err != nil {
				t.Fatal(err)
			}
			shake(t, c, s)
			if got := s.State().TLS.DidResume; got != (i > 0) {
				t.Errorf("connection %d resumed: %v", i, got)
			}
		}
	})
}
