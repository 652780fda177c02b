package tun

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
	"github.com/encase-tls/encase/tun/wire"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// What is pushed reaches clients that are connected, over each carrier, without an end of their session: routes that are
// new come, those that are gone go, others stay; the MTU changes; and the server learns that all of it is in force.
func TestPushWhileConnected(t *testing.T) {
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			r := newRig(t, func(c *ServerConfig) { c.Push = Push{Routes: prefixes("10.77.0.0/16", "10.78.0.0/16")} })
			changes := make(chan wire.Config, 9)
			c := r.client("alice.test", func(c *ClientConfig) {
				c.Accept = prefixes("10.0.0.0/8")
				c.OnChange = func(_ string, w wire.Config) { changes <- w }
			}, carrier)
			c.address()
			before := r.server.Status().Sessions[0].ID
			many := prefixes("10.78.0.0/16", "10.79.0.0/16", "192.168.7.0/24")
			for i := range 200 { // more than one datagram holds
				many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 80, byte(i), 0}), 24))
			}
			dns := netip.MustParseAddr("10.66.0.53")
			if err := r.server.SetPush(Push{Routes: many, DNS: []netip.Addr{dns}, MTU: 1300}); err != nil {
				t.Fatal(err)
			}
			select {
			case w := <-changes:
				if len(w.DNS) != 1 || w.DNS[0] != dns || w.MTU != 1300 {
					t.Errorf("%+v", w)
				}
			case <-time.After(tuntest.Patience):
				t.Fatal("the client is not told")
			}
			routes := c.ns.IP("route", "show", "dev", c.client.dev.device.Name())
			for route, there := range map[string]bool{"10.77.0.0/16": false, "10.78.0.0/16": true, "10.79.0.0/16": true,
				"10.80.199.0/24": true, "192.168.7.0/24": false} {
				if strings.Contains(routes, route) != there {
					t.Errorf("%s: there is %v, want %v", route, !there, there)
				}
			}
			if link := c.ns.IP("link", "show", c.client.dev.device.Name()); !strings.Contains(link, "mtu 1300") {
				t.Error(link)
			}
			tuntest.Eventually(t, "the server does not learn that it is done", func() bool {
				r.server.mu.Lock()
				defer r.server.mu.Unlock()
				told := r.server.byKey["alice.test"].told
				return told.revision == 1 && told.confirmed == 1
			})
			transfer(t, c.ns, r.ns, "10.66.0.1", 1<<20)
			if after := r.server.Status().Sessions[0].ID; after != before {
				t.Error("the session is another one")
			}
		})
	}
}

// Too much is refused, and what was said before stays.
func TestPushTooMuch(t *testing.T) {
	r := newRig(t, func(c *ServerConfig) { c.Push = Push{Routes: prefixes("10.77.0.0/16")} })
	c := r.client("alice.test", nil, Stream)
	c.address()
	err := r.server.SetPush(Push{Routes: make([]netip.Prefix, wire.MaxRoutes+1)})
	if err == nil || !strings.Contains(err.Error(), "513 routes") || !strings.Contains(err.Error(), "alice.test") {
		t.Error(err)
	}
	if !strings.Contains(c.ns.IP("route", "show"), "10.77.0.0/16") {
		t.Error("the route has gone")
	}
}

// What a client is granted counts at once when it changes, as far as it can: its own routes and networks.
func TestRegrant(t *testing.T) {
	var grant atomic.Pointer[Grant]
	grant.Store(&Grant{Networks: prefixes("10.90.0.0/24")})
	r := newRig(t, func(c *ServerConfig) { c.Authorize = func(Identity) (Grant, error) { return *grant.Load(), nil } })
	c := r.client("alice.test", nil, Stream)
	c.address()
	grant.Store(&Grant{Networks: prefixes("10.91.0.0/24"), Routes: prefixes("10.92.0.0/24")})
	if n := r.server.Review(); n != 0 {
		t.Errorf("%d sent away", n)
	}
	tuntest.Eventually(t, "the client has no route", func() bool { return strings.Contains(c.ns.IP("route", "show"), "10.92.0.0/24") })
	for a, there := range map[string]bool{"10.90.0.1": false, "10.91.0.1": true, "10.66.0.2": true} {
		a := netip.MustParseAddr(a)
		if s := r.server.table.lookup(a); (s != nil) != there || r.server.byKey["alice.test"].mayUse(a) != there {
			t.Errorf("%v leads to the client: %v, want %v", a, s != nil, there)
		}
	}
}
