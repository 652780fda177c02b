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
	var there, back tun.PathMTU
	ask := func(q control.Request) bool { // false: there are two connections, of which one goes
		list, err := alice.ask(control.Request{Do: control.MTU})
		other, otherErr := vpn.ask(q)
		if err != nil || otherErr != nil {
			t.Fatal(err, otherErr)
		}
		if len(list.Paths) != 1 || len(other.Paths) != 1 {
			return false
		}
		there, back = list.Paths[0], other.Paths[0]
		return there.State == "settled" && back.State == "settled"
	}
	p.until(2*tuntest.Patience, "both ends have found out", func() bool {
		return ask(control.Request{Do: control.MTU}) && there.From == back.To && back.From == there.To &&
			there.To < 1280 && back.To < 1280
	})
	if there.Source != "kernel" || there.Datagram != 1280-20-8 || back.Source != "probed" || back.Peer != "alice.test" ||
		back.Datagram > 1280-20-8 || back.Datagram < 1280-20-8-8 {
		t.Errorf("there %+v, back %+v", there, back)
	}
	p.client.IP("link", "set", "up1", "mtu", "1500")
	p.until(2*tuntest.Patience, "it is found anew", func() bool {
		return ask(control.Request{Do: control.MTU, Who: "alice.test", Search: true}) && back.To == tun.DefaultMTU &&
			back.Source == "configured"
	})
	if _, err := vpn.ask(control.Request{Do: control.MTU, Who: "bob.test"}); err == nil ||
		!strings.Contains(err.Error(), "bob.test is not connected") {
		t.Errorf("the path to nobody: %v", err)
	}
}
