package device

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/tuntest"
)

// open makes a device with addresses in a namespace.
func open(t testing.TB, ns *tuntest.Namespace, cfg Config) *Device {
	t.Helper()
	cfg.Namespace = ns.Path()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	up(ns, d.Name())
	ns.AwaitAddress("fd77::1")
	return d
}

func up(ns *tuntest.Namespace, name string) {
	ns.IP("addr", "add", "10.77.0.1/24", "dev", name)
	ns.IP("addr", "add", "fd77::1/64", "dev", name, "nodad")
	ns.IP("link", "set", name, "up", "mtu", "1400", "txqueuelen", "5000")
}

// A mirror is the other end of a device: it exchanges the addresses 10.77.0.1 and 10.77.0.2, and what this machine
// sends to 10.77.0.2 comes back as from there. A super-packet comes back whole, cut, or cut and joined.
type mirror struct {
	d     *Device
	mode  string
	most  int // segments in one packet that was read
	kinds map[packet.Kind]int
}

func (m *mirror) run() error {
	q := m.d.Queues()[0]
	buf := make([]byte, Headroom+Room)
	var cut packet.Segmenter
	var join packet.Coalescer
	var pieces [][]byte
	for {
		p, err := q.Read(buf, Headroom)
		if err != nil {
			return err
		}
		swap(p.Data)
		m.most = max(m.most, p.GSO.Segments(p.Data, &p.Header))
		m.kinds[p.GSO.Kind]++
		if m.mode == "whole" {
			if err := q.Write(buf[:Headroom+len(p.Data)], Headroom, &p.Header, p.GSO); err != nil && !errors.Is(err, ErrDown) {
				return err
			}
			continue
		}
		partial := m.mode == "joined, partial"
		pieces = pieces[:0]
		cut.Reset(p.Data, p.Header, p.GSO, partial)
		for s, isPartial := cut.Next(); s != nil; s, isPartial = cut.Next() {
			s = bytes.Clone(s)
			h, err := packet.Parse(s)
			if err != nil {
				return err
			}
			if m.mode == "cut" {
				err = q.Write(append(make([]byte, Headroom), s...), Headroom, &h, packet.GSO{Partial: isPartial})
				if err != nil && !errors.Is(err, ErrDown) {
					return err
				}
				continue
			}
			join.Add(s, h, isPartial)
		}
		if err := join.Flush(q.WriteSuper); err != nil && !errors.Is(err, ErrDown) {
			return err
		}
	}
}

// swap exchanges source and destination, which no checksum notices.
func swap(p []byte) {
	at, n := 12, 4
	if p[0]>>4 == 6 {
		at, n = 8, 16
	}
	src := bytes.Clone(p[at : at+n])
	copy(p[at:], p[at+n:at+2*n])
	copy(p[at+n:], src)
}

// The kernel takes back what it has handed over: a TCP connection of this machine with itself through the device
// carries everything, whichever way super-packets come back.
func TestTCPThroughTheKernel(t *testing.T) {
	for _, mode := range []string{"whole", "cut", "joined", "joined, partial"} {
		for _, addr := range []string{"10.77.0.2", "fd77::2"} {
			t.Run(mode+"/"+addr, func(t *testing.T) {
				ns := tuntest.New(t)
				d := open(t, ns, Config{})
				m := &mirror{d: d, mode: mode, kinds: map[packet.Kind]int{}}
				ended := make(chan error, 1)
				go func() { ended <- m.run() }()
				got := reflect(t, ns, addr, 8<<20)
				d.Close()
				if err := <-ended; !errors.Is(err, os.ErrClosed) {
					t.Errorf("the mirror ended with %v", err)
				}
				if got != 8<<20 {
					t.Errorf("%d bytes arrived", got)
				}
				s := d.Stats()
				if s.ReadErrors+s.WriteErrors+s.CutAfterRefusal != 0 || m.most < 10 {
					t.Errorf("at most %d segments in a packet, %+v", m.most, s)
				}
			})
		}
	}
}

// reflect connects to addr, which the mirror makes this machine, sends n bytes there and returns how many arrive and
// are right.
func reflect(t *testing.T, ns *tuntest.Namespace, addr string, n int) (arrived int) {
	t.Helper()
	var l net.Listener
	var c net.Conn
	ns.Do(func() (err error) {
		if l, err = net.Listen("tcp", net.JoinHostPort("", "7777")); err != nil {
			return err
		}
		c, err = net.DialTimeout("tcp", net.JoinHostPort(addr, "7777"), tuntest.Patience)
		return err
	})
	defer l.Close()
	defer c.Close()
	c.SetDeadline(time.Now().Add(tuntest.Patience))
	go func() {
		block := make([]byte, 1<<16)
		for i := range block {
			block[i] = byte(i * 7 >> 3)
		}
		for sent := 0; sent < n; sent += len(block) {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
		c.(*net.TCPConn).CloseWrite()
	}()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(tuntest.Patience))
	data, err := io.ReadAll(s)
	if err != nil {
		t.Error(err)
	}
	for i, b := range data {
		if at := i % (1 << 16); b != byte(at*7>>3) {
			t.Errorf("byte %d is wrong", i)
			return i
		}
	}
	return len(data)
}

// Datagrams that a program sends at once come back as they were, through cutting and joining.
func TestUDPThroughTheKernel(t *testing.T) {
	for _, mode := range []string{"whole", "joined", "joined, partial"} {
		for _, addr := range []string{"10.77.0.2", "fd77::2"} {
			t.Run(mode+"/"+addr, func(t *testing.T) {
				ns := tuntest.New(t)
				d := open(t, ns, Config{})
				if !d.Offloads().UDP {
					t.Skip("this kernel does not cut UDP for a device (Linux 6.2)")
				}
				m := &mirror{d: d, mode: mode, kinds: map[packet.Kind]int{}}
				ended := make(chan error, 1)
				go func() { ended <- m.run() }()
				reflectUDP(t, ns, addr)
				d.Close()
				<-ended
				if s := d.Stats(); s.ReadErrors+s.WriteErrors+s.CutAfterRefusal != 0 || m.most != 20 {
					t.Errorf("at most %d datagrams in a packet, %+v", m.most, s)
				}
			})
		}
	}
}

func reflectUDP(t *testing.T, ns *tuntest.Namespace, addr string) {
	t.Helper()
	var in, out *net.UDPConn
	ns.Do(func() (err error) {
		if in, err = net.ListenUDP("udp", &net.UDPAddr{Port: 7777}); err != nil {
			return err
		}
		c, err := net.Dial("udp", net.JoinHostPort(addr, "7777"))
		if err == nil {
			out = c.(*net.UDPConn)
		}
		return err
	})
	defer in.Close()
	defer out.Close()
	const size, count = 1000, 20
	data := make([]byte, size*count-300)
	for i := range data {
		data[i] = byte(i / 13)
	}
	oob := binary.NativeEndian.AppendUint16(cmsg(2), size)
	oob = append(oob, make([]byte, unix.CmsgSpace(2)-len(oob))...)
	if _, _, err := out.WriteMsgUDP(data, oob, nil); err != nil {
		t.Fatal(err)
	}
	in.SetReadDeadline(time.Now().Add(tuntest.Patience))
	buf := make([]byte, 2000)
	for rest := data; len(rest) > 0; {
		n, err := in.Read(buf)
		if want := rest[:min(size, len(rest))]; err != nil || !bytes.Equal(buf[:n], want) {
			t.Fatalf("%d bytes, %v; want %d", n, err, len(want))
		}
		rest = rest[n:]
	}
}

// cmsg returns the header of a control message UDP_SEGMENT with n bytes of data.
func cmsg(n int) []byte {
	b := binary.NativeEndian.AppendUint64(nil, uint64(unix.CmsgLen(n)))
	b = binary.NativeEndian.AppendUint32(b, unix.SOL_UDP)
	return binary.NativeEndian.AppendUint32(b, unix.UDP_SEGMENT)
}

// A device says what is wrong, and leaves nothing behind.
func TestOpenRefuses(t *testing.T) {
	ns := tuntest.New(t)
	d := open(t, ns, Config{Name: "one"})
	tuntest.Command(t, "ip", "-n", ns.Name, "tuntap", "add", "tap0", "mode", "tap")
	tuntest.Command(t, "ip", "-n", ns.Name, "tuntap", "add", "many", "mode", "tun", "multi_queue")
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Name: "one"}, "one is there already"},
		{Config{Name: "one", Attach: true}, "another program has one"},
		{Config{Name: "none", Attach: true}, "there is no interface none to attach to"},
		{Config{Name: "tap0", Attach: true}, "tap0 is no TUN interface"},
		{Config{Name: "many", Attach: true}, "ip tuntap add many mode tun"},
		{Config{Name: "sixteen-bytes-ab"}, "an interface may have 15"},
		{Config{Name: "a/b"}, "use letters"},
		{Config{Name: "lo"}, "lo"},
		{Config{Queues: 257}, "257 queues"},
		{Config{Namespace: "/run/netns/no-such"}, "no such file"},
	} {
		if c.cfg.Namespace == "" {
			c.cfg.Namespace = ns.Path()
		}
		if x, err := Open(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.cfg, err)
			if err == nil {
				x.Close()
			}
		}
	}
	d.Close()
	again, err := Open(Config{Namespace: ns.Path(), Name: "one"})
	if err != nil {
		t.Fatalf("after it was closed: %v", err)
	}
	again.Close()
}

// A prepared device is attached to and outlives its user, and what an earlier user has agreed to does not matter.
func TestAttach(t *testing.T) {
	ns := tuntest.New(t)
	tuntest.Command(t, "ip", "-n", ns.Name, "tuntap", "add", "kept", "mode", "tun", "multi_queue")
	up(ns, "kept")
	for _, o := range []Offloads{{TCP: true, ECN: true, UDP: true}, {}, {TCP: true}} {
		d, err := Open(Config{Namespace: ns.Path(), Name: "kept", Attach: true, Queues: 2, Offloads: &o})
		if err != nil {
			t.Fatal(err)
		}
		features := tuntest.Command(t, "ip", "netns", "exec", ns.Name, "ethtool", "-k", "kept")
		for feature, want := range map[string]bool{"tx-tcp-segmentation": o.TCP, "tx-tcp6-segmentation": o.TCP,
			"tx-tcp-ecn-segmentation": o.ECN, "tx-udp-segmentation": o.UDP} {
			if strings.Contains(features, feature+": on") != want {
				t.Errorf("%v: %s is wrong", o, feature)
			}
		}
		if len(d.Queues()) != 2 || d.Offloads() != o || d.Index() == 0 {
			t.Errorf("%d queues, %v, index %d", len(d.Queues()), d.Offloads(), d.Index())
		}
		d.Close()
	}
}

// A read that waits ends when the device is closed, and a write to an interface that is down says so.
func TestCloseAndDown(t *testing.T) {
	ns := tuntest.New(t)
	d := open(t, ns, Config{})
	q := d.Queues()[0]
	buf := make([]byte, Headroom+Room)
	tuntest.Command(t, "ip", "-n", ns.Name, "link", "set", d.Name(), "down")
	p := icmp()
	h, _ := packet.Parse(p)
	err := q.Write(append(make([]byte, Headroom), p...), Headroom, &h, packet.GSO{})
	if !errors.Is(err, ErrDown) || d.Stats().Down != 1 {
		t.Errorf("written while down: %v, %+v", err, d.Stats())
	}
	for { // what the kernel had sent before
		if _, err := q.TryRead(buf, Headroom); err == ErrNone {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := q.Read(buf, Headroom)
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond)
	d.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(tuntest.Patience):
		t.Error("Read waits on")
	}
}

func icmp() []byte {
	p := []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 77, 0, 2, 10, 77, 0, 1, 8, 0, 0xf7, 0xff, 0, 0, 0, 0}
	var s uint32
	for i := 0; i < 20; i += 2 {
		s += uint32(p[i])<<8 | uint32(p[i+1])
	}
	s = s>>16 + s&0xffff
	p[10], p[11] = ^byte(s>>8), ^byte(s)
	return p
}

// Reading into a buffer leaves what lies in front of the packet as it was.
func TestReadKeepsWhatIsInFront(t *testing.T) {
	ns := tuntest.New(t)
	d := open(t, ns, Config{})
	buf := bytes.Repeat([]byte{0xa5}, 100+Room)
	ns.Do(func() error {
		c, err := net.Dial("udp", "10.77.0.9:9")
		if err == nil {
			_, err = c.Write([]byte("hello"))
			c.Close()
		}
		return err
	})
	for {
		p, err := d.Queues()[0].Read(buf, 100)
		if err != nil {
			t.Fatal(err)
		}
		if packet.Destination(p.Data) != netip.MustParseAddr("10.77.0.9") {
			continue // the kernel's own
		}
		if !bytes.Equal(buf[:100], bytes.Repeat([]byte{0xa5}, 100)) || &p.Data[0] != &buf[100] || len(p.Data) != 33 {
			t.Errorf("%d bytes; what is in front has changed", len(p.Data))
		}
		return
	}
}

func TestNothingIsAllocated(t *testing.T) {
	ns := tuntest.New(t)
	d := open(t, ns, Config{})
	q := d.Queues()[0]
	p := icmp()
	h, _ := packet.Parse(p)
	buf := append(make([]byte, Headroom), p...)
	in := make([]byte, Headroom+Room)
	got := testing.AllocsPerRun(200, func() {
		if err := q.Write(buf, Headroom, &h, packet.GSO{}); err != nil { // and the kernel answers the echo
			t.Fatal(err)
		}
		if _, err := q.Read(in, Headroom); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations for a packet out and one in", got)
	}
	runtime.KeepAlive(d)
}

// What the kernel, or whoever has its end of a prepared device, hands over is looked at before it is used.
func FuzzHeader(f *testing.F) {
	var header [Headroom]byte
	p := icmp()
	h, _ := packet.Parse(p)
	put(header[:], &h, packet.GSO{})
	f.Add(header[:], p)
	f.Add([]byte{1, 1, 40, 0, 100, 0, 20, 0, 16, 0}, append([]byte{0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6}, make([]byte, 34)...))
	f.Add([]byte{1, 0, 0, 8, 0, 0, 0, 0, 0, 0}, p) // a checksum in the place of the IP version
	tcp := append([]byte("E0\x00,00\x00000\x060000000000"), "00000000000X0000000000000"...)
	f.Add([]byte("1\x000000\x14\x00\f\x00"), tcp[:44]) // a checksum in the place of TCP's length of its header
	f.Fuzz(func(t *testing.T, header, data []byte) {
		if len(header) != Headroom {
			return
		}
		p, err := parse(header, data)
		if err != nil {
			return
		}
		var again [Headroom]byte
		put(again[:], &p.Header, p.GSO)
		if q, err := parse(again[:], data); err != nil || q.GSO != p.GSO {
			t.Fatalf("%+v becomes %+v, %v", p.GSO, q.GSO, err)
		}
	})
}

// A descriptor in blocking mode would hold up more than who reads from it: it is refused, and closed.
func TestFromFileInBlockingMode(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	f := os.NewFile(uintptr(fds[0]), "blocking")
	if d, err := FromFile(f, "blocking", Offloads{}); err == nil || !strings.Contains(err.Error(), "O_NONBLOCK") {
		t.Errorf("%v, %v", d, err)
	}
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("it is left open: closing it again says %v", err)
	}
}
