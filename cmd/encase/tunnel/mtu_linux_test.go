package tunnel

import (
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/tuntest"
)

// Both ends tell operators how long packets may be: one whose own link is narrow, which its kernel says, and one that has
// to find out, since nobody says anything.
func TestMTU(t *testing.T) {
	p := newPlace(t)
	vpn, alice := p.daemon(p.server, "vpn.test", vpnConfig), p.daemon(p.client, "alice.test", udpOnly)
	p.client.IP("link", "set", "up1", "mtu", "1280") // what is longer and comes from the server is dropped there
	vpn.start()
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
	path := func(d *process, q control.Request) (path tun.PathMTU) {
		a, err := d.ask(q)
		if err != nil || len(a.Paths) != 1 {
			t.Fatalf("%s: %+v, %v", d.name, a, err)
		}
		return a.Paths[0]
	}
	var there, back tun.PathMTU
	p.until(2*tuntest.Patience, "both ends have found out", func() bool {
		there, back = path(alice, control.Request{Do: control.MTU}), path(vpn, control.Request{Do: control.MTU})
		return there.State == "settled" && back.State == "settled" && there.From == back.To && back.From == there.To &&
			there.To < 1280 && back.To < 1280
	})
	if there.Source != "kernel" || there.Datagram != 1280-20-8 || back.Source != "probed" || back.Peer != "alice.test" ||
		back.Datagram > 1280-20-8 || back.Datagram < 1280-20-8-8 {
		t.Errorf("there %+v, back %+v", there, back)
	}
	p.client.IP("link", "set", "up1", "mtu", "1500")
	again := control.Request{Do: control.MTU, Who: "alice.test", Search: true}
	if back = path(vpn, again); back.To != tun.DefaultMTU || back.Source != "configured" {
		t.Errorf("found anew: %+v", back)
	}
	if _, err := vpn.ask(control.Request{Do: control.MTU, Who: "bob.test"}); err == nil ||
		!strings.Contains(err.Error(), "bob.test is not connected") {
		t.Errorf("the path to nobody: %v", err)
	}
}
