package tunnel

import (
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/tuntest"
)

// linkLocal gives an interface a link-local address, and takes all others of IPv6 from it.
func linkLocal(ns *tuntest.Namespace, dev, address string) {
	ns.IP("-6", "addr", "flush", "dev", dev)
	ns.IP("-6", "addr", "add", address+"/64", "dev", dev, "nodad")
	ns.AwaitAddress(address)
}

// connections returns those of the only client that a server has.
func (d *process) connections() []tun.Connection {
	a, err := d.ask(control.Request{Do: control.Status})
	if err != nil || len(a.Status.Sessions) != 1 {
		return nil
	}
	return a.Status.Sessions[0].Connections
}

// A client whose server has a link-local address connects anew when its own address changes, and when the interface is
// another of the same name.
func TestRoamLinkLocal(t *testing.T) {
	p := newPlace(t)
	tuntest.Connect(p.server, p.client, "other0", "10.9.0.1/24", "other1", "10.9.0.2/24") // link-local as well
	linkLocal(p.server, "up0", "fe80::1")
	linkLocal(p.client, "up1", "fe80::2")
	vpn := p.daemon(p.server, "vpn.test", strings.ReplaceAll(vpnConfig, "10.1.0.1:4443", "[::]:4443"))
	alice := p.daemon(p.client, "alice.test", strings.ReplaceAll(aliceConfig, "10.1.0.1:4443", "[fe80::1%up1]:4443"))
	vpn.start()
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
	comesFrom := func(address string) {
		t.Helper()
		p.until(tuntest.Patience, "both connections come from "+address, func() bool {
			newest := map[string]string{}
			for _, c := range vpn.connections() {
				newest[c.Carrier] = c.Remote
			}
			from := "[" + address + "%up0]"
			return strings.HasPrefix(newest["stream"], from) && strings.HasPrefix(newest["datagrams"], from)
		})
	}
	comesFrom("fe80::2")
	linkLocal(p.client, "up1", "fe80::77")
	comesFrom("fe80::77")
	p.reaches("10.66.0.1", tuntest.Patience)

	p.client.IP("link", "del", "up1") // and up0 with it
	tuntest.Connect(p.server, p.client, "up0", "10.1.0.1/24", "up1", "10.1.0.2/24")
	linkLocal(p.server, "up0", "fe80::1")
	linkLocal(p.client, "up1", "fe80::78")
	comesFrom("fe80::78")
}
