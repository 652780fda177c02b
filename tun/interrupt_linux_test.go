package tun

import (
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/tun/tuntest"
)

// transfers are two flows, up and down, which go on until they are stopped.
type transfers struct{ up, down *tuntest.Flow }

func (c *traveller) transfers() *transfers {
	c.r.t.Helper()
	x := &transfers{tuntest.NewFlow(c.r.t, c.ns, c.r.ns, "10.66.0.1"), tuntest.NewFlow(c.r.t, c.r.ns, c.ns, "10.66.0.2")}
	x.up.Start(tuntest.Noise(1, 1<<40))
	x.down.Start(tuntest.Noise(2, 1<<40))
	x.goOn()
	return x
}

// goOn waits until both have moved more.
func (x *transfers) goOn() {
	x.up.Moves(1 << 20)
	x.down.Moves(1 << 20)
}

// end stops both and checks that nothing was lost.
func (x *transfers) end() {
	x.goOn()
	x.up.Stop()
	x.down.Stop()
}

// UDP is blocked and let through again in the middle of transfers, twice.
func TestTransfersWhileDatagramsAreBlocked(t *testing.T) {
	tuntest.Need(t, "nft")
	t.Parallel()
	r := newRig(t, nil)
	c := r.client("alice.test", nil, Stream, Datagrams)
	c.address()
	c.uses(Datagrams)
	x := c.transfers()
	for range 2 {
		c.ns.Run("nft", "add table inet block; add chain inet block out { type filter hook output priority 0; };"+
			"add chain inet block in { type filter hook input priority 0; };"+
			"add rule inet block out udp dport 4434 drop; add rule inet block in udp sport 4434 drop")
		c.uses(Stream)
		x.goOn()
		c.ns.Run("nft", "delete table inet block")
		c.uses(Datagrams)
		x.goOn()
	}
	x.end()
}

// A NAT forgets the client, and gives it another port, in the middle of transfers.
func TestTransfersWhileNATForgets(t *testing.T) {
	tuntest.Need(t, "nft", "conntrack")
	for name, carriers := range map[string][]Carrier{"datagrams": {Datagrams}, "both": {Stream, Datagrams}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			c := r.client("alice.test", nil, carriers...)
			c.address()
			c.uses(Datagrams)
			x := c.transfers()
			id := r.server.Status().Sessions[0].ID
			for _, ports := range []string{"50000-50010", "51000-51010"} {
				c.ns.Run("nft", "add table ip nat; flush table ip nat; "+
					"add chain ip nat out { type nat hook postrouting priority 100; };"+
					"add rule ip nat out udp dport 4434 masquerade to :"+ports)
				tuntest.Eventually(t, "the server hears the client from another port", func() bool {
					if r.hearsPort(ports[:2]) {
						return true
					}
					c.ns.Run("conntrack", "-F") // again, if a packet of the server was first and is now what began it all
					return false
				})
				x.goOn()
			}
			x.end()
			if now := r.server.Status().Sessions[0].ID; now != id {
				t.Errorf("the session was %s and is %s", id, now)
			}
		})
	}
}

// hearsPort reports whether the server has datagrams from a port that begins so.
func (r *rig) hearsPort(begins string) bool {
	return slices.ContainsFunc(r.server.Status().Sessions[0].Connections, func(o Connection) bool {
		_, port, _ := strings.Cut(o.Remote, ":")
		return o.Carrier == string(Datagrams) && strings.HasPrefix(port, begins)
	})
}

// The server is started anew in the middle of transfers: its clients get the addresses that they had, and what the
// kernels have begun goes on.
func TestTransfersWhileTheServerRestarts(t *testing.T) {
	for name, carriers := range mixtures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			c := r.client("alice.test", nil, carriers...)
			had := c.address()
			x := c.transfers()
			r.halt()
			r.start()
			x.end()
			if has := c.address(); has != had {
				t.Errorf("the client has %s, had %s", has, had)
			}
		})
	}
}

// What is carried loses one packet in fifty, each way, and arrives complete.
func TestTransfersOverALossyPath(t *testing.T) {
	tuntest.Need(t, "nft")
	for name, carriers := range mixtures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			c := r.client("alice.test", nil, carriers...)
			c.address()
			for _, ns := range []*tuntest.Namespace{c.ns, r.ns} {
				ns.Run("nft", "add table inet lossy; add chain inet lossy in { type filter hook input priority 0; };"+
					"add rule inet lossy in ip saddr 10.1.0.0/24 numgen random mod 50 0 counter drop")
			}
			x := c.transfers()
			x.goOn()
			x.end()
			for _, ns := range []*tuntest.Namespace{c.ns, r.ns} {
				if out := ns.Run("nft", "list", "table", "inet", "lossy"); numberAfter(t, out, "counter packets") == 0 {
					t.Error("nothing was lost: what does this test?")
				}
			}
		})
	}
}
