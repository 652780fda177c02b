package tun

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/tun/tuntest"
)

// A talk is two sockets of UDP, in the namespaces of a client and of the server.
type talk struct {
	t         *testing.T
	near, far *net.UDPConn
	buf       []byte
}

// newTalk connects the sockets to each other.
func newTalk(t *testing.T, c *traveller, near, far string) *talk {
	t.Helper()
	x := &talk{t: t, buf: make([]byte, 1<<16)}
	c.r.ns.Do(func() (err error) { x.far, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(far)}); return err })
	c.ns.Do(func() (err error) {
		x.near, err = net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(near)}, x.far.LocalAddr().(*net.UDPAddr))
		return err
	})
	t.Cleanup(func() { x.near.Close(); x.far.Close() })
	return x
}

// option sets an option of both sockets.
func (x *talk) option(level, name, value int) {
	x.t.Helper()
	for _, c := range []*net.UDPConn{x.near, x.far} {
		raw, err := c.SyscallConn()
		if err != nil {
			x.t.Fatal(err)
		}
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, value) })
		if err != nil {
			x.t.Fatal(err)
		}
	}
}

// exchange sends a datagram each way and checks that it arrives. UDP may lose one, and so it is tried a few times.
func (x *talk) exchange(what string, data []byte) {
	x.t.Helper()
	for range 5 {
		if x.once(data) {
			return
		}
	}
	x.t.Errorf("%s: %d bytes do not come and go", what, len(data))
}

func (x *talk) once(data []byte) bool {
	deadline := time.Now().Add(10 * time.Second)
	x.far.SetReadDeadline(deadline)
	x.near.SetReadDeadline(deadline)
	if _, err := x.near.Write(data); err != nil {
		x.t.Fatal(err)
	}
	n, from, err := x.far.ReadFromUDP(x.buf)
	if err != nil || !bytes.Equal(x.buf[:n], data) {
		return false
	}
	if _, err := x.far.WriteToUDP(data, from); err != nil {
		x.t.Fatal(err)
	}
	n, err = x.near.Read(x.buf)
	return err == nil && bytes.Equal(x.buf[:n], data)
}

// eachCarrier runs a test with a tunnel over each carrier, and with the addresses of each version of IP.
func eachCarrier(t *testing.T, test func(t *testing.T, c *traveller, near, far string)) {
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			c := newRig(t, nil).client("alice.test", nil, carrier)
			c.address()
			t.Run("IPv4", func(t *testing.T) { test(t, c, "10.66.0.2", "10.66.0.1") })
			t.Run("IPv6", func(t *testing.T) { test(t, c, "fd66::2", "fd66::1") })
		})
	}
}

func sample(n int) []byte {
	data, _ := io.ReadAll(tuntest.Noise(n, n))
	return data
}

// Datagrams of every size come and go, also those that the kernels cut into fragments, are empty, or have no checksum.
func TestDatagramsOfAllSizes(t *testing.T) {
	eachCarrier(t, func(t *testing.T, c *traveller, near, far string) {
		x := newTalk(t, c, near, far)
		x.option(unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		for _, n := range []int{0, 1, 1351, 1352, 1353, 1371, 1372, 1373, 1380, 1400, 4000, 9000, 65000} {
			x.exchange("with a checksum", sample(n))
		}
		if strings.Contains(near, ":") {
			x.option(unix.SOL_UDP, unix.UDP_NO_CHECK6_TX, 1)
			x.option(unix.SOL_UDP, unix.UDP_NO_CHECK6_RX, 1)
		} else {
			x.option(unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		}
		for _, n := range []int{0, 1, 700, 1352, 9000} {
			x.exchange("without a checksum", sample(n))
		}
	})
}

// What a program sends as one and has the kernel cut (UDP_SEGMENT) arrives as the datagrams that it stands for, in
// order, whatever their size.
func TestDatagramsThatTheKernelCuts(t *testing.T) {
	eachCarrier(t, func(t *testing.T, c *traveller, near, far string) {
		x := newTalk(t, c, near, far)
		x.far.SetReadBuffer(4 << 20)
		for _, shape := range []struct{ size, count, last int }{
			{1, 64, 1}, {2, 3, 1}, {100, 64, 100}, {1000, 20, 7}, {1300, 2, 1300}, {1352, 47, 1}, {1352, 48, 1352},
		} {
			if !x.burst(shape.size, sample(shape.size*(shape.count-1)+shape.last)) {
				t.Errorf("%+v does not arrive as it was sent", shape)
			}
		}
		if s := c.client.Status(); s.Device.Read == 0 || s.Device.ReadErrors != 0 {
			t.Errorf("%+v", s.Device)
		}
	})
}

// burst has data cut into datagrams of a size, and reports whether they arrive. What is lost is sent again.
func (x *talk) burst(size int, data []byte) bool {
	oob := binary.NativeEndian.AppendUint64(nil, uint64(unix.CmsgLen(2))) // struct cmsghdr
	oob = binary.NativeEndian.AppendUint32(oob, unix.SOL_UDP)
	oob = binary.NativeEndian.AppendUint32(oob, unix.UDP_SEGMENT)
	oob = binary.NativeEndian.AppendUint16(oob, uint16(size))
	oob = append(oob, make([]byte, unix.CmsgSpace(2)-len(oob))...)
	for range 5 {
		if _, _, err := x.near.WriteMsgUDP(data, oob, nil); err != nil {
			x.t.Fatal(err)
		}
		if x.collect(size, data) {
			return true
		}
	}
	return false
}

func (x *talk) collect(size int, data []byte) (ok bool) {
	x.far.SetReadDeadline(time.Now().Add(10 * time.Second))
	for ok = true; len(data) > 0; {
		n, err := x.far.Read(x.buf)
		if err != nil {
			return false
		}
		want := data[:min(size, len(data))]
		ok = ok && bytes.Equal(x.buf[:n], want)
		data = data[len(want):]
	}
	return ok
}

// TCP of the kernels takes part in congestion notification through the tunnel: marks reach the receiver, and its answer
// and the sender's answer to that reach the other, though both travel in super-packets.
func TestCongestionNotification(t *testing.T) {
	tuntest.Need(t, "nft")
	eachCarrier(t, func(t *testing.T, c *traveller, near, far string) {
		ip := "ip"
		if strings.Contains(near, ":") {
			ip = "ip6"
		}
		for _, ns := range []*tuntest.Namespace{c.ns, c.r.ns} {
			set(ns, "net/ipv4/tcp_ecn")
		}
		device := c.client.dev.device.Name()
		c.ns.Run("nft", "add table "+ip+" marks; add chain "+ip+" marks out { type filter hook postrouting priority 0; };"+
			"add rule "+ip+" marks out oifname "+device+" "+ip+" ecn ect0 numgen random mod 10 0 "+ip+" ecn set ce counter")
		c.r.ns.Run("nft", "add table "+ip+" answers; add chain "+ip+" answers in { type filter hook input priority 0; };"+
			"add rule "+ip+" answers in tcp flags & cwr == cwr counter")
		before := c.r.ceMarks()
		f := tuntest.NewFlow(t, c.ns, c.r.ns, far)
		f.Start(tuntest.Noise(1, megabytes(20)))
		if n := f.Wait(); n != int64(megabytes(20)) {
			t.Errorf("%d bytes have arrived", n)
		}
		if c.r.ceMarks() == before {
			t.Error("no mark has arrived")
		}
		answers := c.r.ns.Run("nft", "list", "table", ip, "answers")
		if n := numberAfter(t, answers, "counter packets"); n == 0 {
			t.Errorf("the sender has answered to no mark: %s", answers)
		}
	})
}

// set turns a setting of the kernel on.
func set(ns *tuntest.Namespace, name string) { ns.Run("sh", "-c", "echo 1 > /proc/sys/"+name) }

// ceMarks returns how many marks of congestion the server's kernel has received.
func (r *rig) ceMarks() (n int) {
	for _, name := range []string{"IpExtInCEPkts", "Ip6InCEPkts"} {
		if out := r.ns.Run("nstat", "-asz", name); strings.Contains(out, name) {
			n += numberAfter(r.t, out, name)
		}
	}
	return n
}

// numberAfter returns the number that follows a word in a text.
func numberAfter(t testing.TB, text, word string) int {
	t.Helper()
	found := regexp.MustCompile(regexp.QuoteMeta(word) + `\s+(\d+)`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no number follows %q in %s", word, text)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Segments as short as TCP may have, of which a super-packet holds hundreds, go through whole or in pieces.
func TestTinySegments(t *testing.T) {
	eachCarrier(t, func(t *testing.T, c *traveller, near, far string) {
		const least = 88 // of Linux
		tiny := func(_, _ string, raw syscall.RawConn) (err error) {
			raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, least) })
			return err
		}
		for _, f := range []*tuntest.Flow{tuntest.DialFlow(t, c.ns, c.r.ns, far, tiny), tuntest.DialFlow(t, c.r.ns, c.ns, near, tiny)} {
			f.Start(tuntest.Noise(least, megabytes(4)))
			if n := f.Wait(); n != int64(megabytes(4)) {
				t.Errorf("%d bytes have arrived", n)
			}
		}
		c.nothingRefused()
	})
}

// nothingRefused checks that neither end has dropped what the other has sent.
func (c *traveller) nothingRefused() {
	c.r.t.Helper()
	for _, s := range []Status{c.client.Status(), c.r.server.Status()} {
		if s.Device.ReadErrors+s.Device.WriteErrors+s.Device.CutAfterRefusal != 0 {
			c.r.t.Errorf("%s: %+v", s.Role, s.Device)
		}
		for _, o := range s.Sessions[0].Connections {
			if o.Stats.Spoofed+o.Stats.Unreachable+o.Stats.Refused+o.Stats.Undeliverable != 0 {
				c.r.t.Errorf("%s: %+v", s.Role, o.Stats)
			}
		}
	}
}

// A server forwards to a network behind it, through a link without offloads and with a smaller MTU: what the tunnel
// writes whole is cut by the kernel, and what comes from there is joined by nobody.
func TestGateway(t *testing.T) {
	tuntest.Need(t, "ethtool", "ping")
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			r := newRig(t, func(c *ServerConfig) {
				c.Push.Routes = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("fd02::/64")}
			})
			world := tuntest.New(t)
			tuntest.Connect(r.ns, world, "out0", "10.2.0.1/24", "eth0", "10.2.0.2/24")
			r.ns.IP("addr", "add", "fd02::1/64", "dev", "out0", "nodad")
			world.IP("addr", "add", "fd02::2/64", "dev", "eth0", "nodad")
			for ns, device := range map[*tuntest.Namespace]string{r.ns: "out0", world: "eth0"} {
				ns.IP("link", "set", device, "mtu", "1280")
				ns.Run("ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off", "tx", "off")
			}
			set(r.ns, "net/ipv4/ip_forward")
			set(r.ns, "net/ipv6/conf/all/forwarding")
			world.IP("route", "add", "10.66.0.0/24", "via", "10.2.0.1")
			world.IP("route", "add", "fd66::/64", "via", "fd02::1")
			c := r.client("alice.test", nil, carrier)
			c.address()
			for _, f := range []*tuntest.Flow{
				tuntest.NewFlow(t, c.ns, world, "10.2.0.2"), tuntest.NewFlow(t, world, c.ns, "10.66.0.2"),
				tuntest.NewFlow(t, c.ns, world, "fd02::2"), tuntest.NewFlow(t, world, c.ns, "fd66::2"),
			} {
				f.Start(tuntest.Noise(2, megabytes(10)))
				if n := f.Wait(); n != int64(megabytes(10)) {
					t.Errorf("%d bytes have arrived", n)
				}
			}
			for _, size := range []string{"1252", "1253", "4000"} {
				c.ns.Run("ping", "-q", "-c", "1", "-W", "5", "-M", "dont", "-s", size, "10.2.0.2")
			}
			c.nothingRefused()
		})
	}
}
