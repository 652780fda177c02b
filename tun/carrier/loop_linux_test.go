package carrier

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/network"
)

// Routes of a tunnel do not lead frames into it, whichever they are: not a default route behind a policy, one of the
// main table, nor one that covers the peer. Frames take the way that there is without them, and when there is none,
// none.
func TestNoLoop(t *testing.T) {
	for name, c := range map[string]struct {
		routes []string
		mark   uint32
	}{
		"everything":                {[]string{"0.0.0.0/0", "::/0"}, 0x7464},
		"everything, in halves":     {[]string{"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"}, 0x7464},
		"the peer's network":        {[]string{"198.18.2.0/24", "fd18:2::/32"}, 0x7464},
		"the peer":                  {[]string{"198.18.2.2/32", "fd18:2::2/128"}, 0x7464},
		"without a mark, in halves": {[]string{"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a, b := r.both()
			swallowed := r.tunnel(a, c.mark, c.routes)
			for _, peer := range []netip.Addr{b4, b6} {
				client, server := r.dial(a, peer), r.listen(b, peer)
				r.exchange(client, server)
				r.dial(a, peer) // a second one finds its way while the routes are there
				r.exchange(client, server)
			}
			if n := swallowed.Load(); n != 0 {
				t.Errorf("%d frames went into the tunnel", n)
			}
			if s := a.Stats(); s.Unreachable != 0 {
				t.Errorf("%+v", s)
			}
			if out := r.a.IP("route", "get", "198.18.2.2"); !strings.Contains(out, "tun0") {
				t.Errorf("what is not a frame goes elsewhere, so what does this test? %s", out)
			}
			r.a.IP("link", "set", "eth0", "down")
			client := r.dial(a, b4)
			client.Write([]byte("nowhere to go"))
			r.until("the kernel says so", func() bool { return a.Stats().Unreachable > 0 })
			if n := swallowed.Load(); n != 0 {
				t.Errorf("without another way %d frames went into the tunnel", n)
			}
		})
	}
}

// tunnel makes an interface with routes in the host a, and counts the frames that go into it.
func (r *rig) tunnel(avoiding *Device, mark uint32, routes []string) *atomic.Int64 {
	r.t.Helper()
	d, err := device.Open(device.Config{Name: "tun0", Namespace: r.a.Path(), Offloads: &device.Offloads{}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { d.Close() })
	swallowed := new(atomic.Int64)
	go func() {
		buf := make([]byte, device.Headroom+device.Room)
		for {
			p, err := d.Queues()[0].Read(buf, device.Headroom)
			if err != nil {
				return
			}
			if p.Header.Protocol == Protocol {
				swallowed.Add(1)
			}
		}
	}()
	if err := avoiding.Avoid(d.Index()); err != nil {
		r.t.Fatal(err)
	}
	n, err := network.Open(r.a.Path())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(n.Close)
	s := network.Settings{Addresses: []netip.Prefix{netip.MustParsePrefix("10.66.0.2/24")}, Mark: mark}
	for _, p := range routes {
		s.Routes = append(s.Routes, netip.MustParsePrefix(p))
	}
	r.a.Do(func() error { return n.Apply(d.Index(), s) })
	return swallowed
}

// exchange sends a frame in both directions.
func (r *rig) exchange(client, server *Conn) {
	r.t.Helper()
	buf := make([]byte, 100)
	if _, err := client.Write([]byte("question")); err != nil {
		r.t.Fatal(err)
	}
	n, from, err := server.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "question" {
		r.t.Fatalf("%q, %v; %+v", buf[:n], err, client.d.Stats())
	}
	if _, err := server.WriteTo([]byte("answer"), from); err != nil {
		r.t.Fatal(err)
	}
	if n, err := client.Read(buf); err != nil || string(buf[:n]) != "answer" {
		r.t.Fatalf("%q, %v", buf[:n], err)
	}
}

// Rules of a program that was killed are swept away, and are no obstacle to the next.
func TestSweep(t *testing.T) {
	r := newRig(t)
	for _, family := range []string{"-4", "-6"} {
		r.a.IP(family, "rule", "add", "iif", "carrier7", "lookup", "main", "priority", "31000", "protocol", "110")
		r.a.IP(family, "rule", "add", "iif", "carrier0", "lookup", "main", "priority", "31000", "protocol", "110")
		r.a.IP(family, "rule", "add", "iif", "carrier8", "lookup", "main", "priority", "31000")
	}
	a := r.open(r.a, Config{Name: "carrier0", Addresses: []netip.Addr{a4, a6}})
	r.a.Do(func() error {
		n, err := Sweep()
		if n != 2 {
			t.Errorf("%d rules were swept away, want 2", n)
		}
		return err
	})
	for _, family := range []string{"-4", "-6"} {
		out := r.a.IP(family, "rule")
		if strings.Contains(out, "carrier7") || !strings.Contains(out, "carrier8") || strings.Count(out, "carrier0") != 3 {
			t.Errorf("rules:\n%s", out)
		}
	}
	a.Close()
}
