package carrier

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
	"github.com/encase-tls/encase/wrap/udp"
)

// A router that knows nothing of frames forwards them, of both versions of IP, as packets of protocol 253.
func TestRouted(t *testing.T) {
	for _, peer := range []netip.Addr{b4, b6} {
		t.Run(peer.String(), func(t *testing.T) {
			r := newRig(t)
			a, b := r.both()
			passed := r.count(r.router, "meta l4proto 253")
			client, server := r.dial(a, peer), r.listen(b, peer)
			if client.MTU() != 1500-headerLen(peer) || client.RemoteAddr() != (Addr{peer}) || server.RemoteAddr() != nil {
				t.Errorf("MTU %d, from %v to %v", client.MTU(), client.LocalAddr(), client.RemoteAddr())
			}
			buf := make([]byte, 2000)
			for _, size := range []int{0, 1, 7, client.MTU()} {
				frame := bytes.Repeat([]byte{0x5a}, size)
				if _, err := client.Write(frame); err != nil {
					t.Fatal(err)
				}
				n, from, err := server.ReadFrom(buf)
				if err != nil || !bytes.Equal(buf[:n], frame) || from.String() != client.LocalAddr().String() {
					t.Fatalf("%d bytes of %d from %v, %v", n, size, from, err)
				}
				if _, err := server.WriteTo(frame, from); err != nil {
					t.Fatal(err)
				}
				if n, err := client.Read(buf); err != nil || !bytes.Equal(buf[:n], frame) {
					t.Fatalf("back: %d bytes of %d, %v", n, size, err)
				}
			}
			if n := passed(); n != 8 {
				t.Errorf("the router has forwarded %d packets of protocol 253, want 8", n)
			}
			if s := a.Stats(); s.Sent != 4 || s.Received != 4 || s.Malformed+s.BadSource+s.Unexpected+s.Full+s.Unsent != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Two Conns to one peer have an address each, as long as there are some; those that share one both hear what comes.
func TestAddresses(t *testing.T) {
	r := newRig(t)
	a, b := r.both()
	server := r.listen(b, b4)
	var clients []*Conn
	for range 3 {
		clients = append(clients, r.dial(a, b4))
	}
	for i, want := range []netip.Addr{a4, a4too, a4} {
		if got := clients[i].LocalAddr(); got != (Addr{want}) {
			t.Errorf("Conn %d is at %v, want %v", i, got, want)
		}
	}
	server.WriteTo([]byte("both"), Addr{a4})
	server.WriteTo([]byte("one"), &net.IPAddr{IP: net.IP(a4too.AsSlice())})
	buf := make([]byte, 100)
	for i, want := range []string{"both", "one", "both"} {
		if n, err := clients[i].Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("%d: %q, %v", i, buf[:n], err)
		}
	}
	clients[0].Close()
	if c := r.dial(a, b4); c.LocalAddr() != (Addr{a4}) && c.LocalAddr() != (Addr{a4too}) {
		t.Error(c.LocalAddr())
	}
	if _, err := a.Listen(a4); err != nil { // frames of the peer that is dialed do not come here
		t.Error(err)
	}
	server.WriteTo([]byte("again"), Addr{a4})
	if n, err := clients[2].Read(buf); err != nil || string(buf[:n]) != "again" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

// What is wrong with a configuration, or impossible, is said.
func TestRefusals(t *testing.T) {
	r := newRig(t)
	a := r.open(r.a, Config{Name: "carrier0", Addresses: []netip.Addr{a4}})
	r.listen(a, a4)
	for want, try := range map[string]func() error{
		"Addresses is empty":      func() error { _, err := Open(Config{}); return err },
		"127.0.0.1 is no address": func() error { _, err := Open(Config{Addresses: addrs("127.0.0.1")}); return err },
		"fe80::1 is no address":   func() error { _, err := Open(Config{Addresses: addrs("fe80::1")}); return err },
		"twice":                   func() error { _, err := Open(Config{Addresses: []netip.Addr{a4, a4}}); return err },
		"want 1280 to": func() error {
			_, err := Open(Config{Addresses: []netip.Addr{a6}, MTU: 1279})
			return err
		},
		"is an address of this machine": func() error { _, err := Open(Config{Addresses: addrs("10.1.0.2")}); return err },
		"there is a route to":           func() error { _, err := Open(Config{Addresses: []netip.Addr{a4}}); return err },
		"carrier0 is there already": func() error {
			_, err := Open(Config{Name: "carrier0", Addresses: []netip.Addr{a4too}})
			return err
		},
		"is not among the addresses": func() error { _, err := a.Listen(b4); return err },
		"is listened on already":     func() error { _, err := a.Listen(a4); return err },
		"an address of that family":  func() error { _, err := a.Dial(b6); return err },
		"is an address of this end":  func() error { _, err := a.Dial(a4); return err },
		"no address that packets":    func() error { _, err := a.Dial(netip.MustParseAddr("224.0.0.1")); return err },
	} {
		if err := r.a.Try(try); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	if list := r.ours(); len(list) != 3+1 {
		t.Errorf("what was refused has left something behind:\n%s", strings.Join(list, "\n"))
	}
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// A machine that does not forward is told of, and what is taken away at the end is all that there was.
func TestHost(t *testing.T) {
	r := newRig(t)
	r.a.Run("sysctl", "-qw", "net.ipv4.ip_forward=0")
	var warned error
	a := r.open(r.a, Config{Addresses: []netip.Addr{a4, a6}, Warn: func(err error) { warned = err }})
	if warned == nil || !strings.Contains(warned.Error(), "net.ipv4.ip_forward=1") {
		t.Errorf("a machine that does not forward: %v", warned)
	}
	if a.Name() != "carrier0" {
		t.Error(a.Name())
	}
	r.dial(a, b4)
	r.dial(a, b6)
	const rules, ways = 2 * 3, 2 * 2 // of each family: to the device, and pins
	if list := r.ours(); len(list) != rules+ways {
		t.Errorf("rules and routes:\n%s", strings.Join(list, "\n"))
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if list := r.ours(); len(list) != 0 {
		t.Errorf("left behind:\n%s", strings.Join(list, "\n"))
	}
	if a.Close() == nil || a.Err() != net.ErrClosed {
		t.Error(a.Err())
	}
	if _, err := a.Dial(b4); err == nil {
		t.Error("a device that is closed dials")
	}
}

// ours returns the rules and routes of the host a that are this package's.
func (r *rig) ours() (list []string) {
	for _, family := range []string{"-4", "-6"} {
		for line := range strings.Lines(r.a.IP(family, "-d", "rule") + r.a.IP(family, "-d", "route", "show", "table", "all")) {
			line = strings.TrimSpace(line)
			if strings.Contains(line+" ", " proto 110 ") || strings.Contains(line, "[detached]") {
				list = append(list, line)
			}
		}
	}
	return list
}

// Whoever deletes the interface ends the Conns, and they say why.
func TestGone(t *testing.T) {
	r := newRig(t)
	a := r.open(r.a, Config{Name: "carrier0", Addresses: []netip.Addr{a4}})
	c := r.dial(a, b4)
	r.a.IP("link", "del", "carrier0")
	if _, err := c.Read(make([]byte, 10)); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
	<-a.Ended()
	if err := a.Err(); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	a.Close()
	if out := r.a.IP("rule"); strings.Contains(out, "carrier0") {
		t.Errorf("rules are left:\n%s", out)
	}
}

// A router whose next link is narrower says so: frames that are too long are refused then, with the length that fits.
func TestNarrowPath(t *testing.T) {
	for peer, head := range map[netip.Addr]int{b4: header4, b6: header6} {
		t.Run(peer.String(), func(t *testing.T) {
			r := newRig(t)
			r.router.IP("link", "set", "in2", "mtu", "1300")
			r.b.IP("link", "set", "eth0", "mtu", "1300")
			a, b := r.both()
			client, server := r.dial(a, peer), r.listen(b, peer)
			if _, err := client.Write(make([]byte, 1400)); err != nil {
				t.Fatal(err)
			}
			r.until("the router says so", func() bool { return a.Stats().Narrowed == 1 })
			_, err := client.Write(make([]byte, 1301-head))
			var big *TooBigError
			if !errors.As(err, &big) || big.MTU != 1300 || big.MaxFrame() != 1300-head {
				t.Errorf("%v", err)
			}
			var socket *udp.TooBigError
			if !errors.As(err, &socket) || socket.MaxPayload() != 1300-head {
				t.Errorf("as an error of a socket: %v", socket)
			}
			if _, err := client.Write(make([]byte, 1300-head)); err != nil {
				t.Error(err)
			}
			if n, _, err := server.ReadFrom(make([]byte, 2000)); err != nil || n != 1300-head {
				t.Errorf("%d bytes arrive, %v", n, err)
			}
		})
	}
}

// Deadlines and Close end what waits.
func TestWaiting(t *testing.T) {
	r := newRig(t)
	a := r.open(r.a, Config{Addresses: []netip.Addr{a4}})
	c := r.dial(a, b4)
	read := func() error { _, err := c.Read(make([]byte, 10)); return err }
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if err := read(); !isTimeout(err) {
		t.Error(err)
	}
	c.SetReadDeadline(time.Time{})
	ended := make(chan error, 1)
	go func() { ended <- read() }()
	time.Sleep(10 * time.Millisecond)
	c.SetReadDeadline(time.Unix(1, 0))
	select {
	case err := <-ended:
		if !isTimeout(err) {
			t.Error(err)
		}
	case <-time.After(tuntest.Patience):
		t.Fatal("a deadline that has passed does not end Read")
	}
	c.SetDeadline(time.Now().Add(-time.Second))
	if _, err := c.Write([]byte("x")); !isTimeout(err) {
		t.Error(err)
	}
	c.SetDeadline(time.Time{})
	go func() { ended <- read() }()
	time.Sleep(10 * time.Millisecond)
	c.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(tuntest.Patience):
		t.Fatal("Close does not end Read")
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
