package udp_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/wrap/needtest"
	"github.com/encase-tls/encase/wrap/udp"
)

// A network is three namespaces in a row,
//
//	a --1500-- r --1280-- b
//
// and what is longer than 1280 bytes is refused by r, with ICMP, or lost without a word.
type network struct {
	t    *testing.T
	name string // of each namespace, with its letter behind
}

const narrow, wide = 1280, 1500

func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		needtest.Skip(t, "network namespaces need root")
	}
	n := &network{t, fmt.Sprintf("encase-udp-%d-", os.Getpid())}
	for _, letter := range []string{"a", "r", "b"} {
		if out, err := exec.Command("ip", "netns", "add", n.name+letter).CombinedOutput(); err != nil {
			needtest.Skip(t, "ip netns add: %v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("ip", "netns", "del", n.name+letter).Run() })
		n.ip(letter, "link set lo up")
	}
	n.link("a", "r", 1)
	n.link("r", "b", 2)
	n.inside("r", func() {
		for _, switches := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+switches, []byte("1"), 0); err != nil {
				t.Error(err)
			}
		}
	})
	n.ip("a", "route add default via 10.87.1.2")
	n.ip("a", "-6 route add default via fd87:1::2")
	n.ip("b", "route add default via 10.87.2.1")
	n.ip("b", "-6 route add default via fd87:2::1")
	return n
}

// link joins two namespaces by a cable, on which one is number 1 and the other number 2.
func (n *network) link(left, right string, subnet int) {
	n.ip(left, "link add to-%s type veth peer name to-%s netns %s", right, left, n.name+right)
	for i, ends := range [][2]string{{left, right}, {right, left}} {
		n.ip(ends[0], "addr add 10.87.%d.%d/24 dev to-%s", subnet, i+1, ends[1])
		n.ip(ends[0], "addr add fd87:%d::%d/64 dev to-%s nodad", subnet, i+1, ends[1])
		n.ip(ends[0], "link set to-%s up", ends[1])
	}
}

func (n *network) ip(letter, format string, args ...any) {
	n.t.Helper()
	all := append([]string{"-n", n.name + letter}, strings.Fields(fmt.Sprintf(format, args...))...)
	if out, err := exec.Command("ip", all...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(all, " "), err, out)
	}
}

// inside runs f in a namespace, on a thread that ends with it.
func (n *network) inside(letter string, f func()) {
	n.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread is of no use to others
		ns, err := os.Open("/run/netns/" + n.name + letter)
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) socket(letter string, open func() (*udp.Socket, error)) (s *udp.Socket) {
	n.t.Helper()
	var err error
	n.inside(letter, func() { s, err = open() })
	return must(n.t, s, err)
}

// TestPath sends over a network whose second link is narrower.
func TestPath(t *testing.T) {
	n := newNetwork(t)
	for _, ip := range []string{"10.87.2.2", "fd87:2::2"} {
		b := n.socket("b", func() (*udp.Socket, error) {
			return udp.Open("udp", netip.AddrPortFrom(netip.MustParseAddr(ip), 0).String(), udp.Options{})
		})
		to := addrOf(b)
		opened := func(o udp.Options) *udp.Socket {
			return n.socket("a", func() (*udp.Socket, error) { return udp.Open("udp", "[::]:0", o) })
		}
		dialled := func(o udp.Options) *udp.Socket {
			return n.socket("a", func() (*udp.Socket, error) { return udp.Dial("udp", to.String(), o) })
		}
		// A namespace remembers a path MTU that it has learnt for ten minutes: the order of the tests counts.
		t.Run(ip+" in a hole", func(t *testing.T) { n.hole(t, opened(udp.Options{}), b) })
		n.ip("r", "link set to-b mtu %d", narrow)
		t.Run(ip+" unconnected", func(t *testing.T) { n.learn(t, opened(udp.Options{}), b) })
		n.forget()
		t.Run(ip+" told by ICMP", func(t *testing.T) { n.told(t, dialled(udp.Options{}), b) })
		t.Run(ip+" connected", func(t *testing.T) { n.learn(t, dialled(udp.Options{}), b) })
		t.Run(ip+" probing", func(t *testing.T) { n.probe(t, dialled(udp.Options{Discover: udp.DiscoverProbe}), b) })
		t.Run(ip+" in fragments", func(t *testing.T) { n.fragment(t, opened(udp.Options{Discover: udp.DiscoverNone}), b) })
		n.ip("r", "link set to-b mtu %d", wide)
	}
}

// forget has a forget what it has learnt.
func (n *network) forget() {
	n.ip("a", "route flush cache")
	n.ip("a", "-6 route flush cache")
}

// hole has b lose what is too long, and nobody say so: as many firewalls do.
func (n *network) hole(t *testing.T, a, b *udp.Socket) {
	n.ip("b", "link set to-r mtu %d", narrow)
	defer n.ip("b", "link set to-r mtu %d", wide)
	to := addrOf(b)
	fits := udp.MaxPayload(to.Addr(), narrow)
	for range 2 {
		long := make([]byte, udp.MaxPayload(to.Addr(), wide))
		send(t, a, udp.Packet{Addr: to, Data: long}, udp.Packet{Addr: to, Data: long[:fits], ECN: 2})
		if got := receive(t, b, 1, rooms(2, 2000)); len(got[0].Data) != fits {
			t.Errorf("%d bytes have come through the hole", len(got[0].Data))
		}
	}
	nothing(t, b)
	n.inside("a", func() { checkMTU(t, a, to, wide) })
}

func checkMTU(t *testing.T, s *udp.Socket, to netip.AddrPort, want int) {
	t.Helper()
	if got, err := s.PathMTU(to); got != want || err != nil {
		t.Errorf("PathMTU of %v: %d, %v; it is %d", to, got, err, want)
	}
}

// told lets ICMP reach a connected socket, which the kernel reports as an error of whatever call comes next: it must
// neither end a ReadBatch nor be taken for the fate of a datagram that fits.
func (n *network) told(t *testing.T, a, b *udp.Socket) {
	long := udp.Packet{Data: make([]byte, udp.MaxPayload(addrOf(b).Addr(), wide))}
	hear := func() {
		send(t, a, long)
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if mtu, err := a.PathMTU(addrOf(b)); mtu == narrow || err != nil || time.Now().After(end) {
				return
			}
		}
	}
	hear()
	a.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := a.ReadBatch(rooms(1, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("who reads is told of what was written: %v", err)
	}
	n.forget()
	hear()
	send(t, a, udp.Packet{Data: []byte("small")})
	receive(t, b, 1, rooms(1, 100))
	n.forget()
}

// learn sends what is too long until the kernel has learnt it, and then all that fits.
func (n *network) learn(t *testing.T, a, b *udp.Socket) {
	to := addrOf(b)
	fits := udp.MaxPayload(to.Addr(), narrow)
	n.inside("a", func() { checkMTU(t, a, to, wide) })
	long := udp.Packet{Addr: to, Data: make([]byte, 3*(fits+1)), Segment: fits + 1}
	// With another ECN, the last is not in one message with the long ones, and not lost with them on the way.
	ps := []udp.Packet{{Addr: to, Data: []byte("first")}, long, {Addr: to, ECN: 2, Data: []byte("last")}}
	big := n.refused(t, a, b, ps)
	if big.Addr != to || big.MTU != narrow || big.Size != fits+1 || big.MaxPayload() != fits || big != ps[1].Err {
		t.Errorf("%+v: %v", big, big)
	}
	n.inside("a", func() { checkMTU(t, a, to, narrow) })
	send(t, a, udp.Packet{Addr: to, Data: noise[:3*fits], Segment: fits})
	for i, d := range receive(t, b, 3, rooms(4, 2000)) {
		if !bytes.Equal(d.Data, noise[i*fits:][:fits]) {
			t.Errorf("%d bytes that fit have become %d others", fits, len(d.Data))
		}
	}
	if gso, _ := a.Offloads(); !gso {
		t.Error("GSO is off, since a path is narrow")
	}
}

// refused sends ps until the second packet is refused. The others are to arrive each time.
func (n *network) refused(t *testing.T, a, b *udp.Socket, ps []udp.Packet) (big *udp.TooBigError) {
	t.Helper()
	for end := time.Now().Add(patience); big == nil; {
		var err error
		n.inside("a", func() { _, err = a.WriteBatch(ps) })
		if err != nil && !errors.As(err, &big) || time.Now().After(end) {
			t.Fatalf("sending what is too long: %v", err)
		}
		for _, d := range receive(t, b, 2, rooms(4, 2000)) {
			if s := string(d.Data); s != "first" && s != "last" {
				t.Fatalf("%d bytes have come through", len(s))
			}
		}
	}
	return big
}

// probe checks that only the first link limits a prober, though the kernel knows better.
func (n *network) probe(t *testing.T, a, b *udp.Socket) {
	to := addrOf(b)
	first := udp.MaxPayload(to.Addr(), wide)
	for range 3 {
		send(t, a, udp.Packet{Data: make([]byte, first)}, udp.Packet{Data: []byte("small"), ECN: 2})
		if got := receive(t, b, 1, rooms(2, 2000)); string(got[0].Data) != "small" {
			t.Errorf("%d bytes have come through", len(got[0].Data))
		}
	}
	ps := []udp.Packet{{Data: make([]byte, first+1)}}
	var big *udp.TooBigError
	if _, err := a.WriteBatch(ps); !errors.As(err, &big) {
		t.Errorf("more than the first link takes: %v", err)
	}
}

// fragment checks that datagrams arrive in pieces if that is wanted, also those that GSO cannot cut.
func (n *network) fragment(t *testing.T, a, b *udp.Socket) {
	ps := []udp.Packet{{Addr: addrOf(b), Data: noise[:9000], Segment: 3000}, {Addr: addrOf(b), Data: []byte("small")}}
	send(t, a, ps...)
	sizes := map[int]int{}
	for _, d := range receive(t, b, 4, rooms(4, 4000)) {
		sizes[len(d.Data)]++
	}
	if sizes[3000] != 3 || sizes[5] != 1 {
		t.Errorf("of what sizes how many have come: %v", sizes)
	}
}

// TestLinkLocal checks that addresses that need an interface have it, in both directions.
func TestLinkLocal(t *testing.T) {
	n := newNetwork(t)
	n.ip("a", "addr add fe80::a/64 dev to-r nodad")
	n.ip("r", "addr add fe80::b/64 dev to-a nodad")
	server := n.socket("r", func() (*udp.Socket, error) { return udp.Open("udp", "[::]:0", udp.Options{}) })
	client := n.socket("a", func() (*udp.Socket, error) { return udp.Open("udp", "[fe80::a%to-r]:0", udp.Options{}) })
	ps := []udp.Packet{{Addr: netip.AddrPortFrom(netip.MustParseAddr("fe80::b%to-r"), addrOf(server).Port())}}
	n.inside("a", func() { send(t, client, ps...) })
	n.inside("r", func() {
		q := receive(t, server, 1, rooms(1, 100))[0]
		if q.Addr.Addr().String() != "fe80::a%to-a" || q.Local.String() != "fe80::b%to-a" {
			t.Errorf("from %v, asked on %v", q.Addr, q.Local)
		}
		send(t, server, udp.Packet{Addr: q.Addr, Local: q.Local})
	})
	n.inside("a", func() {
		if got := receive(t, client, 1, rooms(1, 100))[0]; got.Addr != ps[0].Addr || got.Local != addrOf(client).Addr() {
			t.Errorf("the answer comes from %v, to %v", got.Addr, got.Local)
		}
	})
}
