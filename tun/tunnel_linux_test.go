package tun

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// Kernels at both ends talk through the tunnel, over each carrier: TCP and UDP of IPv4 and IPv6, and pings of every
// size around the MTU.
func TestTunnel(t *testing.T) {
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			tuntest.Need(t, "ping")
			r := newRig(t, nil)
			c := r.client("alice.test", nil, carrier)
			if a := c.address(); a != "10.66.0.2" {
				t.Errorf("the address is %s", a)
			}
			const n = 8 << 20
			transfer(t, c.ns, r.ns, "10.66.0.1", n)
			transfer(t, r.ns, c.ns, "10.66.0.2", n)
			transfer(t, c.ns, r.ns, "fd66::1", n)
			transfer(t, r.ns, c.ns, "fd66::2", n)
			for _, size := range []int{0, 1, 1371, 1372, 1373, 1600, 5000} {
				c.ns.Run("ping", "-q", "-c", "1", "-W", "20", "-s", fmt.Sprint(size), "10.66.0.1")
			}
			for _, size := range []int{0, 1351, 1352, 1353, 3000} {
				c.ns.Run("ping", "-6", "-q", "-c", "1", "-W", "20", "-s", fmt.Sprint(size), "fd66::1")
			}
			if out, err := c.ns.Command("ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1373", "10.66.0.1").CombinedOutput(); err == nil ||
				!strings.Contains(string(out), "1400") {
				t.Errorf("a ping that is too big: %v, %s", err, out)
			}
			for _, c := range r.server.clients() {
				for _, o := range c.list() {
					if s := o.link.Stats(); s.Spoofed+s.Refused+s.Undeliverable+s.Unreachable != 0 {
						t.Errorf("%+v", s)
					}
				}
			}
		})
	}
}

// Packets go over datagrams while those arrive, over the stream when they do not, and back again; a connection of the
// kernels survives both moves.
func TestDatagramsBlockedAndBack(t *testing.T) {
	tuntest.Need(t, "nft")
	r := newRig(t, nil)
	c := r.client("alice.test", nil, Stream, Datagrams)
	c.address()
	c.uses(Datagrams)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.ns.Run("ping", "-q", "-i", "0.05", "-w", "14", "10.66.0.1")
	}()
	c.ns.Run("nft", "add table inet block; add chain inet block out { type filter hook output priority 0; };"+
		"add chain inet block in { type filter hook input priority 0; };"+
		"add rule inet block out udp dport 4434 drop; add rule inet block in udp sport 4434 drop")
	c.uses(Stream)
	transfer(t, c.ns, r.ns, "10.66.0.1", 4<<20)
	c.ns.Run("nft", "delete table inet block")
	c.uses(Datagrams)
	transfer(t, r.ns, c.ns, "10.66.0.2", 4<<20)
	<-done
}

// Clients have addresses of their own and keep them; who comes again with the same certificate takes over.
func TestManyClients(t *testing.T) {
	r := newRig(t, nil)
	a := r.client("alice.test", nil, Stream)
	b := r.client("bob.test", nil, Datagrams)
	addressA, addressB := a.address(), b.address()
	if addressA == addressB {
		t.Fatal("both have", addressA)
	}
	transfer(t, a.ns, r.ns, "10.66.0.1", 1<<20)
	transfer(t, b.ns, r.ns, "10.66.0.1", 1<<20)
	if err := a.ns.Command("ping", "-q", "-c", "1", "-W", "1", addressB).Run(); err == nil {
		t.Error("clients reach each other though they may not")
	}
	second := r.client("alice.test", nil, Stream)
	if got := second.address(); got != addressA {
		t.Errorf("who comes again gets %s, had %s", got, addressA)
	}
}

// A server that is started anew gives everyone the same address, and clients are back soon.
func TestServerRestart(t *testing.T) {
	r := newRig(t, nil)
	a := r.client("alice.test", nil, Stream, Datagrams)
	b := r.client("bob.test", nil, Stream)
	addressA, addressB := a.address(), b.address()
	r.halt()
	r.start()
	for _, x := range []struct {
		c    *traveller
		want string
	}{{b, addressB}, {a, addressA}} {
		tuntest.Eventually(t, x.c.name+" is back", func() bool {
			return x.c.ns.Command("ping", "-q", "-c", "1", "-W", "1", "10.66.0.1").Run() == nil
		})
		if got := x.c.address(); got != x.want {
			t.Errorf("%s has %s, had %s", x.c.name, got, x.want)
		}
	}
}

// Whoever Authorize refuses does not get in, and is sent away when it does so later.
func TestAuthorize(t *testing.T) {
	var refused sync.Map
	r := newRig(t, func(c *ServerConfig) {
		c.Authorize = func(id Identity) (Grant, error) {
			if _, no := refused.Load(id.Name); no {
				return Grant{}, errors.New("not on the list")
			}
			return Grant{Addresses: []netip.Addr{netip.MustParseAddr("10.66.0.77")}}, nil
		}
	})
	refused.Store("mallory.test", true)
	m := r.client("mallory.test", nil, Stream)
	a := r.client("alice.test", nil, Stream)
	if got := a.address(); got != "10.66.0.77" {
		t.Errorf("the fixed address is %s", got)
	}
	tuntest.Eventually(t, "mallory is told", func() bool {
		return strings.Contains(m.log.String(), "the peer refuses this end")
	})
	if s := r.server.Status(); len(s.Sessions) != 1 || s.Sessions[0].Peer != "alice.test" || s.Refused == 0 ||
		len(s.Sessions[0].Connections) != 1 || s.Sessions[0].Connections[0].TLS != "TLS 1.3" {
		t.Errorf("%+v", s)
	}
	refused.Store("alice.test", true)
	if n := r.server.Review(); n != 1 || len(r.server.Status().Sessions) != 0 {
		t.Errorf("%d sent away", n)
	}
	tuntest.Eventually(t, "alice is told", func() bool { return strings.Contains(a.log.String(), "has been revoked") })
}

// A connection whose keys are old enough is replaced without a packet being lost on the way. That none is dropped because
// this machine is slow, packets may wait for long.
func TestRekey(t *testing.T) {
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			r := newRig(t, func(c *ServerConfig) { c.Rekey, c.QueueTarget = time.Second, time.Minute })
			c := r.client("alice.test", func(c *ClientConfig) { c.QueueTarget = time.Minute }, carrier)
			c.address()
			first := c.client.Status().Sessions[0]
			last := first
			tuntest.Eventually(t, "a new connection replaces one that replaced the first", func() bool {
				if out := c.ns.Run("ping", "-q", "-i", "0.01", "-c", "150", "10.66.0.1"); !strings.Contains(out, "150 received") {
					t.Fatal(out)
				}
				last = c.client.Status().Sessions[0]
				return last.Connections[0].Since.Sub(first.Connections[0].Since) > 2*time.Second
			})
			if last.ID != first.ID {
				t.Errorf("from %+v\nto %+v", first, last)
			}
		})
	}
}

// A client behind a NAT that forgets its port goes on with the same session, by the connection ID of DTLS. As any NAT
// this one lets nothing in that nobody has asked for: it would remember the old port by that.
func TestNATRebind(t *testing.T) {
	tuntest.Need(t, "nft", "conntrack")
	r := newRig(t, nil)
	c := r.client("alice.test", nil, Datagrams)
	c.address()
	before := r.server.Status().Sessions[0]
	c.ns.Run("nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; };"+
		"add rule ip nat out udp dport 4434 masquerade to :50000-50010;"+
		"add chain ip nat in { type filter hook input priority 0; }; add rule ip nat in udp sport 4434 ct state new drop")
	c.ns.Run("conntrack", "-F")
	c.ns.Run("ping", "-q", "-i", "0.1", "-c", "20", "10.66.0.1")
	after := r.server.Status().Sessions[0]
	if before.ID != after.ID || before.Connections[0].Remote == after.Connections[0].Remote {
		t.Errorf("the session is %s from %s, was %s from %s", after.ID, after.Connections[0].Remote, before.ID,
			before.Connections[0].Remote)
	}
}
