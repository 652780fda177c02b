package tun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// A strait with kernels: a client, two routers with a link between them that can be made narrow, and the server. Both ends
// have wide links of their own.
//
//	client ── 10.2.0.0/24 ── left ── 10.3.0.0/24 ── right ── 10.1.0.0/24 ── server
type straits struct {
	*traveller
	left, right *tuntest.Namespace
}

// beyond makes a client behind a link that carries packets of mtu bytes, and runs it. With hole nobody says so.
func (r *rig) beyond(mtu int, hole bool, change func(*ClientConfig), carriers ...Carrier) *straits {
	r.t.Helper()
	s := &straits{traveller: &traveller{r: r, ns: tuntest.New(r.t), name: "alice.test"}}
	s.left, s.right = tuntest.New(r.t), tuntest.New(r.t)
	tuntest.Connect(s.ns, s.left, "eth0", "10.2.0.2/24", "eth0", "10.2.0.1/24")
	tuntest.Connect(s.left, s.right, "eth1", "10.3.0.1/24", "eth1", "10.3.0.2/24")
	tuntest.Connect(s.right, r.ns, "eth0", "10.1.0.254/24", "far", "10.1.2.1/32")
	r.ns.IP("link", "set", "far", "master", "br0")
	r.ns.IP("route", "add", "10.2.0.0/24", "via", "10.1.0.254")
	s.ns.IP("route", "add", "default", "via", "10.2.0.1")
	s.left.IP("route", "add", "default", "via", "10.3.0.2")
	s.right.IP("route", "add", "default", "via", "10.3.0.1")
	for _, router := range []*tuntest.Namespace{s.left, s.right} {
		setKernel(router, "net/ipv4/ip_forward", "1")
		if hole {
			router.Run("nft", "add table ip hole; add chain ip hole out { type filter hook output priority 0; };"+
				"add rule ip hole out icmp type destination-unreachable drop")
		}
	}
	if hole { // TCP has its own way to find out, which has to be switched on
		for _, end := range []*tuntest.Namespace{r.ns, s.ns} {
			setKernel(end, "net/ipv4/tcp_mtu_probing", "1")
			setKernel(end, "net/ipv4/tcp_base_mss", "512")
		}
	}
	s.setMTU(mtu)
	s.begin(change, carriers...)
	return s
}

// setKernel sets a parameter of the kernel in a namespace.
func setKernel(n *tuntest.Namespace, name, value string) {
	n.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}

func (s *straits) setMTU(mtu int) {
	s.left.IP("link", "set", "eth1", "mtu", fmt.Sprint(mtu))
	s.right.IP("link", "set", "eth1", "mtu", fmt.Sprint(mtu))
}

// ends returns what both ends have found on their way to the other; false if they have not settled.
func (s *straits) ends() (list []PathMTU, ok bool) {
	for _, f := range []func(context.Context, string, bool) ([]PathMTU, error){s.client.PathMTU, s.r.server.PathMTU} {
		paths, err := f(s.r.t.Context(), "", false)
		if err != nil || len(paths) != 1 || paths[0].Carrier == string(Datagrams) && paths[0].State != "settled" {
			return nil, false
		}
		list = append(list, paths[0])
	}
	return list, true
}

// finds waits until both ends have found what a link carries, and returns the shorter of both.
func (s *straits) finds(mtu int, hole bool) int {
	s.r.t.Helper()
	const headers = 20 + 8
	var list []PathMTU
	for end := time.Now().Add(3 * tuntest.Patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var ok bool
		if list, ok = s.ends(); !ok {
			continue
		}
		found := true
		for _, p := range list {
			most := min(mtu-headers-(p.Datagram-p.To), p.Most)
			least := most
			if hole {
				least -= grain
			}
			found = found && least <= p.To && p.To <= most
		}
		if found {
			return min(list[0].To, list[1].To)
		}
	}
	s.r.t.Fatalf("an MTU of %d is not found: %+v", mtu, list)
	return 0
}

// answers reports whether one of some pings is answered, and what was printed: the first may be what tells the kernel how
// long packets can be.
func (s *straits) answers(size int, args ...string) (ok bool, out string) {
	for _, patience := range []string{"0.2", "0.5", "3"} {
		if ok, out = s.ping(patience, size, args...); ok {
			break
		}
	}
	return ok, out
}

// ping pings once.
func (s *straits) ping(patience string, size int, args ...string) (ok bool, out string) {
	args = append([]string{"-q", "-n", "-c", "1", "-W", patience, "-s", fmt.Sprint(size)}, args...)
	text, err := s.ns.Command("ping", args...).CombinedOutput()
	return err == nil, string(text)
}

// pings tries sizes around every edge: that of the path, that of the interface, and the 1280 bytes of IPv6.
func (s *straits) pings(mtu int) {
	s.r.t.Helper()
	const header4, header6 = 20 + 8, 40 + 8
	const own = DefaultMTU
	for _, n := range []int{64, 552, mtu - 1, mtu, mtu + 1, mtu + 8, 2*mtu - 1, own - 1, own, own + 1, 2 * own, 5000} {
		if ok, out := s.answers(n-header4, "-M", "dont", "10.66.0.1"); !ok {
			s.r.t.Errorf("IPv4, %d bytes, path %d: %s", n, mtu, out)
		}
	}
	for _, n := range []int{mtu - 1, mtu} {
		if ok, out := s.answers(n-header4, "-M", "do", "10.66.0.1"); !ok {
			s.r.t.Errorf("IPv4, %d bytes that must stay whole, path %d: %s", n, mtu, out)
		}
	}
	for _, n := range []int{mtu + 1, own} {
		if ok, out := s.ping("0.5", n-header4, "-M", "do", "10.66.0.1"); ok {
			s.r.t.Errorf("IPv4, %d bytes stay whole on a path of %d: %s", n, mtu, out)
		}
	}
	for _, n := range []int{64, mtu - 1, mtu, mtu + 1, 1279, 1280, 1281, own - 1, own, own + 1, 3000} {
		if ok, out := s.answers(n-header6, "-6", "fd66::1"); !ok {
			s.r.t.Errorf("IPv6, %d bytes, path %d: %s", n, mtu, out)
		}
	}
}

// What a link in the middle carries is found, whether its routers say so or not, and everything gets through that can.
func TestPathMTUOfLinks(t *testing.T) {
	tuntest.Need(t, "ping", "nft")
	for _, hole := range []bool{false, true} {
		for _, mtu := range []int{1280, 1000, 600} {
			for _, carrier := range []Carrier{Datagrams, Stream} {
				t.Run(fmt.Sprintf("%s/%d/hole=%v", carrier, mtu, hole), func(t *testing.T) {
					t.Parallel() // most of the time is waiting
					r := newRig(t, nil)
					s := r.beyond(mtu, hole, nil, carrier)
					s.address()
					found := DefaultMTU
					if carrier == Datagrams {
						found = s.finds(mtu, hole)
						s.pings(found)
					}
					const n = 2 << 20
					transfer(t, s.ns, r.ns, "10.66.0.1", n)
					transfer(t, r.ns, s.ns, "10.66.0.2", n)
					transfer(t, s.ns, r.ns, "fd66::1", n)
					transfer(t, r.ns, s.ns, "fd66::2", n)
					if carrier == Datagrams {
						s.finds(mtu, hole) // and nothing has changed that
					}
				})
			}
		}
	}
}

// The sender of a packet that is too long hears so from the other end of the tunnel, in both directions.
func TestTooBigComesFromTheOtherEnd(t *testing.T) {
	tuntest.Need(t, "ping", "nft")
	r := newRig(t, nil)
	s := r.beyond(1000, false, nil, Datagrams)
	s.address()
	s.finds(1000, false)
	list, _ := s.ends()
	for _, c := range []struct {
		from          *tuntest.Namespace
		to, gateway   string
		size, believe int
	}{
		{s.ns, "10.66.0.1", "10.66.0.1", 1300, list[0].To}, {r.ns, "10.66.0.2", "10.66.0.2", 1300, list[1].To},
		{s.ns, "fd66::1", "fd66::1", 1300, 1280}, {r.ns, "fd66::2", "fd66::2", 1300, 1280},
	} {
		out, _ := c.from.Command("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", fmt.Sprint(c.size),
			c.to).CombinedOutput()
		text := strings.ToLower(string(out))
		if !strings.Contains(text, "from "+c.gateway) || !strings.Contains(text, fmt.Sprintf("mtu = %d", c.believe)) &&
			!strings.Contains(text, fmt.Sprintf("mtu=%d", c.believe)) {
			t.Errorf("%s is not told of %d by %s: %s", c.to, c.believe, c.gateway, out)
		}
	}
}

// A link becomes narrower while a transfer runs, and wide again: the transfer goes on, and what is sent follows.
func TestPathMTUChangesInMidTransfer(t *testing.T) {
	tuntest.Need(t, "nft")
	for _, hole := range []bool{false, true} {
		t.Run(fmt.Sprintf("hole=%v", hole), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			s := r.beyond(1500, hole, nil, Datagrams)
			s.address()
			s.finds(1500, hole)
			flows := []*tuntest.Flow{tuntest.NewFlow(t, s.ns, r.ns, "10.66.0.1"), tuntest.NewFlow(t, r.ns, s.ns, "10.66.0.2")}
			for i, f := range flows {
				f.Start(paced{rand.NewChaCha8([32]byte{byte(i)})})
			}
			goOn(t, flows)
			s.setMTU(1000)
			goOn(t, flows)
			s.finds(1000, hole)
			goOn(t, flows)
			s.setMTU(1500)
			for _, end := range []*tuntest.Namespace{s.ns, r.ns} {
				end.IP("route", "flush", "cache") // what ICMP has said, as after ten minutes
			}
			ctx, cancel := context.WithTimeout(t.Context(), tuntest.Patience)
			defer cancel()
			s.client.PathMTU(ctx, "", true)
			r.server.PathMTU(ctx, "", true)
			s.finds(1500, hole)
			goOn(t, flows)
			for _, f := range flows {
				f.Stop()
			}
		})
	}
}

// goOn waits until more has arrived on each flow than can have been on its way. What was lost is sent again after a time
// that the kernel doubles and doubles.
func goOn(t *testing.T, flows []*tuntest.Flow) {
	t.Helper()
	const more = 256 << 10
	for i, f := range flows {
		from := f.Moved()
		for end := time.Now().Add(3 * tuntest.Patience); f.Moved() < from+more; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("flow %d stands still", i)
			}
		}
	}
}

// A paced reader gives 1.6 MB in a second, without an end.
type paced struct{ io.Reader }

func (p paced) Read(b []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return p.Reader.Read(b[:min(len(b), 32<<10)])
}

// A configuration that is longer than a datagram arrives over datagrams, also through a narrow hole, and one that no
// client takes is refused with a reason.
func TestLongConfigOverDatagrams(t *testing.T) {
	tuntest.Need(t, "nft")
	routes := func(n int) (list []netip.Prefix) {
		for i := range n {
			list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), 32))
		}
		return list
	}
	r := newRig(t, func(c *ServerConfig) { c.Push.Routes = routes(500) })
	s := r.beyond(600, true, nil, Datagrams)
	s.address()
	if got := strings.Count(s.ns.IP("route", "show"), "172.16."); got != 500 {
		t.Errorf("the client has %d of 500 routes", got)
	}
	s.halt()
	r.server.SetPush(Push{Routes: routes(513)})
	c := r.client("bob.test", nil, Datagrams)
	for end := time.Now().Add(tuntest.Patience); !strings.Contains(c.log.String(), "more for this client"); {
		if time.Sleep(20 * time.Millisecond); time.Now().After(end) {
			t.Fatalf("the client is not told: %s", c.log)
		}
	}
	if !strings.Contains(r.log.String(), "push fewer routes") {
		t.Errorf("the server does not say what to do: %s", r.log)
	}
}

// Operators ask either end, and have it search anew.
func TestAskPathMTU(t *testing.T) {
	tuntest.Need(t, "nft")
	r := newRig(t, nil)
	s := r.beyond(1000, true, nil, Datagrams)
	s.address()
	found := s.finds(1000, true)
	s.setMTU(1500)
	ctx, cancel := context.WithTimeout(t.Context(), tuntest.Patience)
	defer cancel()
	if _, err := r.server.PathMTU(ctx, "bob.test", true); !errors.Is(err, ErrNoSession) {
		t.Errorf("the path to nobody: %v", err)
	}
	list, err := r.server.PathMTU(ctx, "alice.test", true)
	if err != nil || len(list) == 0 || list[0].Peer != "alice.test" || list[0].To != DefaultMTU ||
		list[0].Source != "configured" || list[0].Holes == 0 {
		t.Errorf("%+v, %v", list, err)
	}
	for end := time.Now().Add(tuntest.Patience); ; time.Sleep(20 * time.Millisecond) {
		list, err = s.client.PathMTU(ctx, "", false)
		if err == nil && len(list) == 1 && list[0].From == DefaultMTU {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the client does not hear what comes: %+v, %v", list, err)
		}
	}
	if list[0].To > found+grain || list[0].Source != "probed" {
		t.Errorf("the client has searched unasked: %+v", list)
	}
	if c := s.client.Status().Sessions[0]; c.MTU != list[0].To || c.MTUSource != "probed" || c.Connections[0].MTU != c.MTU {
		t.Errorf("the status says %+v", c)
	}
}
