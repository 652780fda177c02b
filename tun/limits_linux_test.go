package tun

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/encase-tls/encase/tun/tuntest"
	"github.com/encase-tls/encase/tun/wire"
)

// A client has a few connections of a kind at most: the newest.
func TestTooManyConnections(t *testing.T) {
	r := newRig(t, nil)
	cert := r.issue("greedy.test")
	first := r.joined(t, Stream, cert)
	for range 3 * maxConnections {
		p, err := r.puppet(Stream, cert)
		if err != nil {
			t.Fatal(err)
		}
		defer p.conn.Close()
		p.say(wire.TypeAttach, wire.AppendJSON(nil, wire.Attach{Version: wire.Version, Token: first.config.Token}))
		if _, _, err := p.hear(openTime); err != nil { // the first question
			t.Fatal(err)
		}
	}
	tuntest.Eventually(t, "there are too many connections", func() bool {
		return len(r.server.Status().Sessions[0].Connections) <= maxConnections
	})
}

// What of several sessions with one certificate is let in, takes over, or is refused.
func TestSameCertificate(t *testing.T) {
	refused := func(err error) bool {
		var bye *wire.Bye
		return errors.As(err, &bye) && bye.Reason == wire.ReasonFull
	}
	join := func(r *rig, resume string) (*puppet, error) {
		p, err := r.puppet(Stream, r.issue("alice.test"))
		if err == nil {
			r.t.Cleanup(func() { p.conn.Close() })
			err = p.join(resume)
		}
		return p, err
	}
	t.Run("keep the old", func(t *testing.T) {
		r := newRig(t, func(c *ServerConfig) { c.Limits.KeepOld = true })
		first := r.joined(t, Stream, r.issue("alice.test"))
		go first.answer()
		if _, err := join(r, ""); !refused(err) {
			t.Fatalf("a second session: %v", err)
		}
		if s := r.server.Status(); s.Duplicates != 1 {
			t.Errorf("%+v", s)
		}
		second, err := join(r, first.config.Token)
		if err != nil || second.address() != first.address() {
			t.Fatalf("the same client again: %v", err)
		}
		// It has been killed and says nothing any more: when that is found out, another is let in.
		tuntest.Eventually(t, "nobody is let in for one that is silent", func() bool {
			_, err := join(r, "")
			return err == nil
		})
	})
	t.Run("two of them", func(t *testing.T) {
		r := newRig(t, func(c *ServerConfig) { c.Limits = Limits{SameName: 2} })
		first, err := join(r, "")
		second, err2 := join(r, "")
		if err != nil || err2 != nil || first.address() == second.address() {
			t.Fatalf("%v, %v", err, err2)
		}
		go second.answer()
		if s := r.server.Status().Sessions; len(s) != 2 || s[0].Peer != "alice.test" || s[1].Peer != "alice.test #2" {
			t.Errorf("%+v", s)
		}
		third, err := join(r, "") // in the place of the oldest
		if err != nil || third.address() != first.address() {
			t.Errorf("%v", err)
		}
		if !r.server.Kick("alice.test", wire.Bye{Reason: wire.ReasonKicked}) || len(r.server.Status().Sessions) != 0 {
			t.Error("not all sessions have ended")
		}
	})
}

// A flood of connections that say nothing keeps nobody else out: one address has its share of places, and when many
// addresses have taken all of them, the oldest gives way.
func TestHandshakeFlood(t *testing.T) {
	for what, c := range map[string]struct {
		limits Limits
		seen   func(g *Strangers) bool
	}{
		"one address": {Limits{HalfOpen: 16, PerAddress: 8, Rate: 1000},
			func(g *Strangers) bool { return g.PerAddress > 50 && g.HalfOpen <= 8 && g.UnderLoad }},
		"all places": {Limits{HalfOpen: 8, PerAddress: -1, Rate: 1000},
			func(g *Strangers) bool { return g.Full+g.Evicted > 50 && g.HalfOpen <= 8 && g.UnderLoad }},
		"too often": {Limits{HalfOpen: 500, PerAddress: -1, Rate: 1},
			func(g *Strangers) bool { return g.Rate > 10 }},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, func(cfg *ServerConfig) { cfg.Limits = c.limits })
			for range 100 {
				r.ns.Try(func() error {
					conn, err := net.DialTimeout("tcp", streamPort, tuntest.Patience)
					if err == nil {
						t.Cleanup(func() { conn.Close() })
					}
					return err // the server may have closed it already
				})
			}
			tuntest.Eventually(t, "the flood is not counted", func() bool { return c.seen(r.server.Status().Strangers) })
			r.client("honest.test", nil, Stream).address()
		})
	}
}

// A client that reads nothing of what comes for it costs the others nothing, and memory only as far as it is allowed.
func TestSlowClient(t *testing.T) {
	tuntest.Need(t, "ping")
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			const queue = 1 << 20
			r := newRig(t, func(c *ServerConfig) { c.Limits.Queue = queue })
			slow := r.joined(t, carrier, r.issue("slow.test"))
			honest := r.client("honest.test", nil, carrier)
			address := honest.address()
			stop := r.pour(t, slow.config.Addresses[0].Addr())
			received := strings.Count(honest.ns.Run("ping", "-i", "0.02", "-c", "50", "-W", "5", "10.66.0.1"), "time=")
			transfer(t, r.ns, honest.ns, address, 8<<20)
			transfer(t, honest.ns, r.ns, "10.66.0.1", 8<<20)
			sent := stop()
			if received < 40 {
				t.Errorf("%d of 50 pings are answered", received)
			}
			for _, s := range r.server.Status().Sessions {
				for _, c := range s.Connections {
					if c.Waiting > queue {
						t.Errorf("%d bytes wait for %s", c.Waiting, s.Peer)
					}
					if lost := c.Stats.DroppedFull + c.Stats.DroppedLate; carrier == Stream && s.Peer == "slow.test" && lost == 0 {
						t.Errorf("nothing of %d packets was dropped: %+v", sent, c.Stats)
					}
				}
			}
		})
	}
}
