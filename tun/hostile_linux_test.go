package tun

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/tuntest"
	"github.com/encase-tls/encase/tun/wire"
)

// A villain has a good certificate, and does on its connections what it should not, as its random numbers have it.
type villain struct {
	*puppet
	r      *rand.Rand
	stolen string // the token of somebody else
	victim [4]byte
}

// openings are ways to begin a connection that lead nowhere.
var openings = []func(v *villain) error{
	func(v *villain) error { return v.write(v.noise(1 + v.r.IntN(3000))) },
	func(v *villain) error { return v.say(wire.TypeHello, v.noise(v.r.IntN(600))) },
	func(v *villain) error { return v.say(wire.TypeHello, bytes.Repeat([]byte("["), 1000)) },
	func(v *villain) error { return v.say(wire.TypeHello, []byte(`{"version":0}`)) },
	func(v *villain) error { return v.say(wire.TypeHello, []byte(`{"version":1,"mtu":99999999999}`)) },
	func(v *villain) error { return v.say(wire.TypeConfig, v.noise(20)) },
	func(v *villain) error { return v.say(wire.TypePing, wire.AppendPing(nil, wire.Ping{ID: 1})) },
	func(v *villain) error { return v.say(wire.TypeAttach, []byte(`{"version":1,"token":"guess"}`)) },
	func(v *villain) error {
		return v.say(wire.TypeAttach, wire.AppendJSON(nil, wire.Attach{Version: wire.Version, Token: v.stolen}))
	},
	func(v *villain) error { return v.packet(echoRequest(v.victim, [4]byte{10, 66, 0, 1}, 0), packet.GSO{}) },
	func(v *villain) error { return v.write([]byte{0, 1, 0, 0, 0xff, 0xff, '{'}) }, // and nothing more
}

// deeds are what a client with a session can do wrong, and some things that are right.
var deeds = []func(v *villain) error{
	func(v *villain) error { return v.write(v.noise(1 + v.r.IntN(1200))) },
	func(v *villain) error {
		return v.packet(echoRequest(v.victim, [4]byte{10, 66, 0, 1}, 10), packet.GSO{})
	},
	func(v *villain) error {
		return v.packet(echoRequest([4]byte{10, 66, 0, 1}, v.victim, 10), packet.GSO{})
	},
	func(v *villain) error { return v.packet(v.bent(), packet.GSO{}) },
	func(v *villain) error { return v.packet(v.bent(), packet.GSO{Partial: true}) },
	func(v *villain) error {
		g := packet.GSO{Kind: packet.Kind(v.r.IntN(5)), Partial: v.r.IntN(2) == 0, ECN: v.r.IntN(2) == 0,
			Size: uint16(v.r.Uint32())}
		return v.packet(v.bent(), g)
	},
	func(v *villain) error {
		return v.packet(echoRequest(v.address(), [4]byte{10, 66, 0, 1}, v.r.IntN(900)), packet.GSO{})
	},
	func(v *villain) error { return v.say(wire.Type(v.r.IntN(64)), v.noise(v.r.IntN(200))) },
	func(v *villain) error { return v.say(wire.TypeHello, []byte(`{"version":1}`)) },
	func(v *villain) error {
		return v.say(wire.TypePart, append([]byte{0, byte(v.r.IntN(4))}, v.noise(40)...))
	},
	func(v *villain) error { return v.say(wire.TypeConfigured, v.noise(4)) },
	func(v *villain) error { return v.say(wire.TypeProbed, v.noise(6)) },
	func(v *villain) error { return v.say(wire.TypePong, v.noise(12)) },
	func(v *villain) error {
		for range 2 * maxControl {
			if err := v.say(wire.TypePing, wire.AppendPing(nil, wire.Ping{ID: v.r.Uint32()})); err != nil {
				return err
			}
		}
		return nil
	},
}

func (v *villain) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(v.r.Uint32())
	}
	return b
}

// bent returns a packet of its own with something wrong in it.
func (v *villain) bent() []byte {
	p := echoRequest(v.address(), [4]byte{10, 66, 0, 1}, v.r.IntN(600))
	for range 1 + v.r.IntN(4) {
		p[v.r.IntN(min(len(p), 40))] = byte(v.r.Uint32())
	}
	return p[:1+v.r.IntN(len(p))]
}

// misbehave does something on one connection until the server has enough of it, or it has done a few hundred things.
func (v *villain) misbehave() {
	defer v.conn.Close()
	if v.r.IntN(3) == 0 {
		openings[v.r.IntN(len(openings))](v)
		v.hearControl(time.Duration(v.r.IntN(200)) * time.Millisecond)
		return
	}
	if v.join("") != nil {
		return
	}
	if v.r.IntN(4) > 0 {
		go v.answer()
	} // else it reads nothing of what is said to it
	for range v.r.IntN(300) {
		if deeds[v.r.IntN(len(deeds))](v) != nil {
			return
		}
	}
	time.Sleep(time.Duration(v.r.IntN(50)) * time.Millisecond)
}

// attack lets a villain act over a carrier until a time.
func (r *rig) attack(seed uint64, carrier Carrier, stolen string, victim [4]byte, end time.Time) {
	cert := r.issue(fmt.Sprintf("villain%d.test", seed))
	for i := uint64(0); time.Now().Before(end); i++ {
		p, err := r.puppet(carrier, cert)
		if err != nil { // it comes too often
			time.Sleep(20 * time.Millisecond)
			continue
		}
		v := &villain{puppet: p, r: rand.New(rand.NewPCG(seed, i)), stolen: stolen, victim: victim}
		v.misbehave()
	}
}

// Clients that do whatever they can do wrong neither crash the server nor make it stall, and get no packet past it that
// is not from their own address; one that is honest goes on beside them.
func TestHostileClients(t *testing.T) {
	tuntest.Need(t, "nft", "ping")
	long := 6 * time.Second
	if os.Getenv("ENCASE_SOAK") != "" {
		long = 2 * time.Minute
	}
	r := newRig(t, nil)
	honest := r.client("honest.test", nil, Stream, Datagrams)
	victim := netip.MustParseAddr(honest.address())
	device := r.server.dev.device.Name()
	r.ns.Run("nft", fmt.Sprintf(`add table inet watch; add set inet watch from { type ipv4_addr . ipv4_addr; };
		add chain inet watch in { type filter hook prerouting priority -300; };
		add rule inet watch in iifname %q ip saddr %s meta mark set 1 counter comment "honest";
		add rule inet watch in iifname %[1]q ip saddr 10.66.0.1 counter comment "own";
		add rule inet watch in iifname %[1]q ip saddr != 10.66.0.0/24 counter comment "foreign"`, device, victim))
	end := time.Now().Add(long)
	var attacks sync.WaitGroup
	for i, carrier := range []Carrier{Stream, Stream, Datagrams, Datagrams} {
		attacks.Go(func() {
			r.attack(uint64(i), carrier, honest.client.current.Load().config.Token, victim.As4(), end)
		})
	}
	received := 0
	for time.Now().Before(end) {
		out, _ := honest.ns.Command("ping", "-i", "0.02", "-c", "50", "-W", "5", "10.66.0.1").CombinedOutput()
		received += strings.Count(string(out), "time=")
		transfer(t, honest.ns, r.ns, "10.66.0.1", 1<<20)
		transfer(t, r.ns, honest.ns, victim.String(), 1<<20)
	}
	attacks.Wait()
	if received == 0 {
		t.Error("the honest client's pings are lost")
	}
	s := r.server.Status()
	for what, n := range map[string]uint64{"spoofed packets": s.Totals.Stats.Spoofed, "refused packets": s.Totals.Stats.Refused,
		"connections that broke the protocol": s.Totals.Broken, "flooded": s.Totals.Flooded,
		"refused connections": s.Refused} {
		if n == 0 {
			t.Errorf("no %s are counted: %+v", what, s.Totals)
		}
	}
	r.sawNothingSpoofed(t)
	if g := s.Strangers; g.HalfOpen > 10 {
		t.Errorf("%+v", g)
	}
	for _, one := range s.Sessions {
		if one.Peer == "honest.test" && time.Since(one.Since) < long {
			t.Error("the honest client has lost its session")
		}
	}
}

// sawNothingSpoofed reads what the kernel has counted.
func (r *rig) sawNothingSpoofed(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(r.ns.Run("nft", "list", "chain", "inet", "watch", "in")) {
		fields := strings.Fields(line)
		for i, f := range fields {
			if f != "packets" {
				continue
			}
			n, err := strconv.Atoi(fields[i+1])
			if mine := strings.Contains(line, "honest"); err != nil || mine != (n > 0) {
				t.Errorf("the kernel has seen: %s", strings.TrimSpace(line))
			}
		}
	}
}

// A token is of no use with the certificate of another client, and neither is a certificate for a second session in the
// place of the first if the server keeps the old.
func TestStolenToken(t *testing.T) {
	r := newRig(t, nil)
	honest := r.joined(t, Stream, r.issue("honest.test"))
	thief, err := r.puppet(Stream, r.issue("thief.test"))
	if err != nil {
		t.Fatal(err)
	}
	defer thief.conn.Close()
	thief.say(wire.TypeAttach, wire.AppendJSON(nil, wire.Attach{Version: wire.Version, Token: honest.config.Token}))
	kind, body, err := thief.hearControl(openTime)
	if err != nil || kind != wire.TypeBye || wire.Reason(body[0]) != wire.ReasonReplaced {
		t.Errorf("%v %q, %v", kind, body, err)
	}
	if s := r.server.Status(); s.Refused != 1 || len(s.Sessions) != 1 || len(s.Sessions[0].Connections) != 1 {
		t.Errorf("%+v", s)
	}
}

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
	until(t, "there are too many connections", func() bool {
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
		until(t, "nobody is let in for one that is silent", func() bool {
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
			until(t, "the flood is not counted", func() bool { return c.seen(r.server.Status().Strangers) })
			r.client("honest.test", nil, Stream).address()
		})
	}
}

// A client that reads nothing of what comes for it costs the others nothing, and memory only as far as it is allowed.
func TestSlowClient(t *testing.T) {
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
