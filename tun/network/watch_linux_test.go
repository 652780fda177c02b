package network

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// A Watcher hears of every kind of change, knows the ways as ip does, and ends when it is closed.
func TestWatch(t *testing.T) {
	ns, _, d := rig(t)
	w, err := Watch(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	hears := func(what string) {
		t.Helper()
		select {
		case _, ok := <-w.Changes():
			if !ok {
				t.Fatal("the watch has ended")
			}
		case <-time.After(tuntest.Patience):
			t.Errorf("%s is not heard of", what)
		}
		for quiet := false; !quiet; {
			select {
			case <-w.Changes():
			case <-time.After(50 * time.Millisecond):
				quiet = true
			}
		}
	}
	ns.IP("addr", "add", "192.0.2.3/24", "dev", "eth0")
	hears("an address")
	ns.IP("-6", "addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
	hears("an address of IPv6")
	ns.IP("route", "add", "198.51.100.0/24", "via", "192.0.2.9")
	hears("a route")
	ns.IP("-6", "route", "add", "default", "via", "2001:db8::1")
	hears("a route of IPv6")
	ns.IP("rule", "add", "fwmark", "7", "table", "7")
	hears("a rule")
	ns.IP("route", "add", "default", "via", "192.0.2.7", "table", "7")
	hears("a route of another table")
	ns.IP("link", "set", d.Name(), "up")
	hears("an interface")

	for _, dev := range []string{"eth0", d.Name()} {
		ns.IP("-6", "addr", "add", "fe80::2/64", "dev", dev, "nodad")
	}
	ip := netip.MustParseAddr
	eth := w.Path(ip("192.0.2.1"), 0).Interface
	for _, c := range []struct {
		to   string
		mark uint32
		want Path
	}{
		{"192.0.2.1", 0, Path{Source: ip("192.0.2.2"), Interface: eth}},
		{"::ffff:203.0.113.1", 0, Path{Source: ip("192.0.2.2"), Gateway: ip("192.0.2.1"), Interface: eth}},
		{"203.0.113.1", 7, Path{Source: ip("192.0.2.2"), Gateway: ip("192.0.2.7"), Interface: eth}},
		{"198.51.100.1", 0, Path{Source: ip("192.0.2.2"), Gateway: ip("192.0.2.9"), Interface: eth}},
		{"fe80::1%eth0", 0, Path{Source: ip("fe80::2"), Interface: eth}},
		{"fe80::1%" + strconv.Itoa(eth), 0, Path{Source: ip("fe80::2"), Interface: eth}},
		{"fe80::1%" + d.Name(), 0, Path{Source: ip("fe80::2"), Interface: d.Index()}},
		{"fe80::1%nosuch0", 0, Path{}},
		{"2001:db8:1::1", 0, Path{Source: ip("2001:db8::2"), Gateway: ip("2001:db8::1"), Interface: eth}},
	} {
		if got := w.Path(ip(c.to), c.mark); got != c.want || eth == 0 {
			t.Errorf("to %s with mark %d: %+v, want %+v", c.to, c.mark, got, c.want)
		}
	}
	ns.IP("link", "set", "eth0", "down")
	hears("an interface that goes down")
	if got := w.Path(ip("203.0.113.1"), 0); got != (Path{}) {
		t.Errorf("without a way: %+v", got)
	}
	w.Close()
	for end := time.After(tuntest.Patience); ; {
		select {
		case _, ok := <-w.Changes():
			if !ok {
				return
			}
		case <-end:
			t.Fatal("the watch does not end")
		}
	}
}

func TestWatchNowhere(t *testing.T) {
	if _, err := Watch("/run/netns/no-such"); err == nil {
		t.Error("there is no such namespace")
	}
}
