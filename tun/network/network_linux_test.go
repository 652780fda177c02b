package network

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/tuntest"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// rig is a namespace with an Ethernet that has a default route, and a TUN device.
func rig(t *testing.T) (*tuntest.Namespace, *Network, *device.Device) {
	t.Helper()
	ns, other := tuntest.New(t), tuntest.New(t)
	tuntest.Connect(ns, other, "eth0", "192.0.2.2/24", "eth0", "192.0.2.1/24")
	ns.IP("route", "add", "default", "via", "192.0.2.1")
	d, err := device.Open(device.Config{Namespace: ns.Path(), Name: "tun0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	n, err := Open(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return ns, n, d
}

// route returns where packets to an address go.
func route(ns *tuntest.Namespace, to string, args ...string) string {
	out, _ := ns.Command("ip", append([]string{"route", "get", to}, args...)...).CombinedOutput()
	for _, dev := range []string{"tun0", "eth0"} {
		if strings.Contains(string(out), dev) {
			return dev
		}
	}
	if strings.Contains(string(out), "No route to host") {
		return "unreachable"
	}
	return string(out)
}

func TestApplyAndClear(t *testing.T) {
	ns, n, d := rig(t)
	before := ns.IP("addr") + ns.IP("rule") + ns.IP("route", "show", "table", "all")
	s := Settings{MTU: 1400, QueueLen: 2000, Addresses: prefixes("10.66.0.2/24", "fd66::2/64"),
		Routes: prefixes("10.0.0.0/8", "2001:db8::/32")}
	for range 2 { // again changes nothing
		if err := n.Apply(d.Index(), s); err != nil {
			t.Fatal(err)
		}
	}
	state := ns.IP("addr", "show", "tun0")
	for _, want := range []string{"mtu 1400", "qlen 2000", "inet 10.66.0.2/24 scope", "inet6 fd66::2/64", "UP"} {
		if !strings.Contains(state, want) || strings.Contains(state, "brd") || strings.Contains(state, "tentative") {
			t.Errorf("%q is not in %s", want, state)
		}
	}
	for to, want := range map[string]string{"10.1.2.3": "tun0", "2001:db8::1": "tun0", "192.0.2.1": "eth0", "1.1.1.1": "eth0"} {
		if got := route(ns, to); got != want {
			t.Errorf("%s goes to %s, want %s", to, got, want)
		}
	}
	s.Addresses, s.Routes = prefixes("10.66.0.3/24"), prefixes("172.16.0.0/12")
	if err := n.Apply(d.Index(), s); err != nil {
		t.Fatal(err)
	}
	if state := ns.IP("addr", "show", "tun0"); strings.Contains(state, "10.66.0.2") || strings.Contains(state, "fd66") {
		t.Errorf("what is not wanted any more is there: %s", state)
	}
	if route(ns, "10.1.2.3") != "eth0" || route(ns, "172.16.0.1") != "tun0" {
		t.Error("the routes are the old ones")
	}
	if err := n.Clear(); err != nil {
		t.Fatal(err)
	}
	d.Close()
	for end := time.Now().Add(tuntest.Patience); ; time.Sleep(50 * time.Millisecond) { // the kernel tidies up later
		after := ns.IP("addr") + ns.IP("rule") + ns.IP("route", "show", "table", "all")
		if withoutTUN(after) == withoutTUN(before) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left behind:\n%s\nbefore:\n%s", after, before)
		}
	}
}

// withoutTUN leaves out what belongs to the device, how long addresses are valid, and what ip says of the namespaces of
// other tests.
func withoutTUN(s string) string {
	var out []string
	skip := false
	for _, line := range strings.Split(s, "\n") {
		line, _, _ = strings.Cut(line, " link-netns")
		if strings.Contains(line, "netns reference is invalid") {
			continue
		}
		if !strings.HasPrefix(line, " ") {
			skip = strings.Contains(line, "tun0")
		}
		if !skip && !strings.Contains(line, "fe80") && !strings.Contains(line, "valid_lft") && !strings.Contains(line, "ff00") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// All traffic goes into the tunnel but its own and that to the local network; with the kill switch nothing gets out when
// the tunnel is gone, until it is cleared or swept.
func TestFullTunnel(t *testing.T) {
	ns, n, d := rig(t)
	const mark = 0x7464
	s := Settings{MTU: 1400, Addresses: prefixes("10.66.0.2/24", "fd66::2/64"), Routes: prefixes("0.0.0.0/0", "::/0"),
		Mark: mark, KillSwitch: true}
	if err := n.Apply(d.Index(), s); err != nil {
		t.Fatal(err)
	}
	check := func(when string, want map[string]string) {
		t.Helper()
		for to, dev := range want {
			address, args, _ := strings.Cut(to, " ")
			if got := route(ns, address, strings.Fields(args)...); got != dev {
				t.Errorf("%s: %s goes to %s, want %s", when, to, got, dev)
			}
		}
	}
	check("up", map[string]string{"1.1.1.1": "tun0", "2001:db8::1": "tun0", "192.0.2.1": "eth0", "1.1.1.1 mark 0x7464": "eth0"})
	d.Close()
	check("gone", map[string]string{"1.1.1.1": "unreachable", "2001:db8::1": "unreachable", "192.0.2.1": "eth0",
		"1.1.1.1 mark 0x7464": "eth0"})
	again, err := Open(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if count, err := again.Sweep(); err != nil || count != 6 {
		t.Errorf("%d swept, %v; want 4 rules and 2 routes", count, err)
	}
	check("swept", map[string]string{"1.1.1.1": "eth0"})
	if err := n.Clear(); err != nil {
		t.Error("clearing what is gone:", err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, s := range []Settings{{KillSwitch: true}, {Addresses: []netip.Prefix{{}}}, {Routes: prefixes("10.0.0.1/8")}} {
		if err := s.check(); err == nil || !strings.HasPrefix(err.Error(), "network: ") {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
