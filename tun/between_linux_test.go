package tun

import (
	"testing"

	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/tuntest"
)

// Clients reach each other inside the server, over and between all carriers, also if the kernel of the server passes
// nothing on; and through the kernel only if it does.
func TestClientToClient(t *testing.T) {
	tuntest.Need(t, "ping")
	for _, direct := range []bool{true, false} {
		name, how := "direct", Direct
		if !direct {
			name, how = "by the kernel", ByKernel
		}
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *ServerConfig) { c.ClientToClient = how })
			a, b := r.client("alice.test", nil, Stream), r.client("bob.test", nil, Datagrams)
			addressA, addressB := a.address(), b.address()
			wait := map[bool]string{true: "20", false: "1"}[direct] // in seconds, for an answer that is to come or not
			pings := func() bool { return a.ns.Command("ping", "-q", "-c", "1", "-W", wait, addressB).Run() == nil }
			forward := func(v string) { r.ns.Run("sh", "-c", "echo "+v+" > /proc/sys/net/ipv4/ip_forward") }
			if forward("0"); pings() != direct {
				t.Errorf("without forwarding: they reach each other is %v", !direct)
			}
			if !direct {
				forward("1")
			}
			transfer(t, a.ns, b.ns, addressB, 4<<20)
			transfer(t, b.ns, a.ns, addressA, 4<<20)
			a.ns.Run("ping", "-q", "-c", "1", "-W", "20", "-s", "3000", addressB)
			if out := a.ns.Run("ping", "-c", "1", "-W", "20", addressB); direct != (r.server.Status().Device.Read < 100) {
				t.Errorf("%d packets have been through the kernel: %s", r.server.Status().Device.Read, out)
			}
		})
	}
}

// A client cannot send in the name of another, nor reach one if clients are kept apart; neither costs it anything.
func TestSpoofedBetweenClients(t *testing.T) {
	tuntest.Need(t, "ping")
	for how, unreachable := range map[ClientToClient]bool{Direct: false, Apart: true} {
		r := newRig(t, func(c *ServerConfig) { c.ClientToClient = how })
		a, b := r.client("alice.test", nil, Stream), r.client("bob.test", nil, Datagrams)
		a.address()
		addressB := b.address()
		a.ns.IP("addr", "add", "10.66.0.77/32", "dev", a.client.dev.device.Name())
		for _, from := range []string{"10.66.0.77", "10.66.0.2"} {
			want := from == "10.66.0.2" && !unreachable
			wait := map[bool]string{true: "20", false: "1"}[want]
			if reached := a.ns.Command("ping", "-q", "-c", "1", "-W", wait, "-I", from, addressB).Run() == nil; reached != want {
				t.Errorf("%v: from %s bob is reached: %v", how, from, reached)
			}
		}
		var s link.Stats
		for _, c := range r.server.named("alice.test") {
			s = c.list()[0].link.Stats()
		}
		if s.Spoofed != 1 || (s.Unreachable == 1) != unreachable {
			t.Errorf("%v: %+v", how, s)
		}
	}
}
