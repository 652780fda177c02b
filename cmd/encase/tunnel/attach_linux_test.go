package tunnel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/tun/tuntest"
)

// A client that has no privileges at all uses an interface that was prepared for it, and leaves it as it was; when
// something is not as the server wants it, it says what.
func TestPreparedInterface(t *testing.T) {
	tuntest.Need(t, "setpriv")
	p := newPlace(t)
	vpn := p.daemon(p.server, "vpn.test", vpnConfig+`
[[client]]
name = "alice.test"
addresses = ["10.66.0.9", "fd66::9"]
routes = ["10.9.0.0/16"]
`)
	alice := p.daemon(p.client, "alice.test", "[interface]\nname = \"tun0\"\nattach = true\nfwmark = 0\nqueues = 2\ndns = \"off\"\n"+aliceConfig)
	vpn.start()
	ip := func(args string) { p.client.IP(strings.Fields(args)...) }
	ip("tuntap add tun0 mode tun multi_queue user nobody")
	ip("addr add 10.66.0.9/24 dev tun0")
	ip("addr add fd66::9/64 dev tun0 nodad")
	ip("link set tun0 up mtu 1400")
	p.unprivileged()
	alice.start()
	alice.says("route to 10.9.0.0/16: operation not permitted; it needs CAP_NET_ADMIN, or an interface that is so already")
	ip("route add 10.9.0.0/16 dev tun0")
	before := p.client.IP("addr", "show", "tun0") + p.client.IP("route")
	p.reaches("10.66.0.1", tuntest.Patience)
	flow := tuntest.NewFlow(t, p.client, p.server, "fd66::1")
	flow.Start(tuntest.Noise(1, 8<<20))
	if n := flow.Wait(); n != 8<<20 {
		t.Errorf("%d bytes have arrived", n)
	}
	a, err := alice.ask(control.Request{Do: control.Status})
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.Status.PID))
	for _, want := range []string{"Uid:\t65534\t65534", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("%q is not in\n%s, %v", want, status, err)
		}
	}
	if a.Status.Offloads != "tcp ecn udp" {
		t.Errorf("offloads are %s", a.Status.Offloads)
	}
	alice.ask(control.Request{Do: control.Down})
	<-alice.ended
	after := p.client.IP("addr", "show", "tun0") + p.client.IP("route")
	if carrier := strings.NewReplacer("NO-CARRIER,", "", ",LOWER_UP", "", "state DOWN", "state UP", " linkdown", "").Replace; carrier(
		after) != carrier(before) {
		t.Errorf("left behind\n%s\nwas\n%s", after, before)
	}
}

// unprivileged has daemons that are started from now on run as nobody, without any capability.
func (p *place) unprivileged() {
	p.t.Helper()
	const nobody = 65534
	for path := p.dir; path != os.TempDir(); path = filepath.Dir(path) {
		os.Chmod(path, 0o755)
	}
	program, err := os.ReadFile(p.program) // which lies where nobody may look
	if err != nil {
		p.t.Fatal(err)
	}
	copied := filepath.Join(p.dir, "encase")
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		p.t.Fatal(err)
	}
	p.program = filepath.Join(p.dir, "unprivileged")
	writeFile(p.t, p.program, "#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all "+
		"--inh-caps=-all --no-new-privs "+copied+" \"$@\"\n")
	if err := os.Chmod(p.program, 0o755); err != nil {
		p.t.Fatal(err)
	}
	filepath.WalkDir(p.dir, func(path string, _ os.DirEntry, _ error) error { return os.Chown(path, nobody, nobody) })
}
