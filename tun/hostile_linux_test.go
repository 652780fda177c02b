package tun

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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

// attack lets a villain act over a carrier until it has done enough.
func (r *rig) attack(seed uint64, carrier Carrier, stolen string, victim [4]byte, enough func() bool) {
	cert := r.issue(fmt.Sprintf("villain%d.test", seed))
	for i := uint64(0); !enough(); i++ {
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
	began := time.Now()
	enough := func() bool { // which on a busy machine takes longer
		took := time.Since(began)
		return took > long && len(r.missing()) == 0 || took > long+tuntest.Patience
	}
	var attacks sync.WaitGroup
	for i, carrier := range []Carrier{Stream, Stream, Datagrams, Datagrams} {
		attacks.Go(func() {
			r.attack(uint64(i), carrier, honest.client.current.Load().config.Token, victim.As4(), enough)
		})
	}
	received := 0
	for !enough() {
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
	if m := r.missing(); len(m) > 0 {
		t.Errorf("no %v are counted: %+v", m, s.Totals)
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

// missing returns those kinds of misbehaviour of which the server has counted nothing.
func (r *rig) missing() (kinds []string) {
	s := r.server.Status()
	for what, n := range map[string]uint64{
		"spoofed packets": s.Totals.Stats.Spoofed, "refused packets": s.Totals.Stats.Refused,
		"connections that broke the protocol": s.Totals.Broken, "floods": s.Totals.Flooded,
		"refused connections": s.Refused} {
		if n == 0 {
			kinds = append(kinds, what)
		}
	}
	return kinds
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
