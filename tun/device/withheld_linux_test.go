package device

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/tuntest"
)

func whyOf(d *Device) map[string]string {
	all := map[string]string{}
	for _, w := range d.Withheld() {
		all[w.Offload] = w.Why
	}
	return all
}

// A kernel without faults passes the probe, whether the interface is up or down, and nobody hears of it.
func TestProbe(t *testing.T) {
	ns := tuntest.New(t)
	d := open(t, ns, Config{Name: "probed"})
	if !d.Offloads().UDP {
		t.Skip("this kernel does not cut UDP for a device (Linux 6.2)")
	}
	if len(d.Withheld()) != 0 && !runningRelease().losesUDP() {
		t.Errorf("%+v", d.Withheld())
	}
	drain(d.Queues()[0])
	before := ns.Run("nstat", "-as", "IpInDelivers", "IpForwDatagrams", "IcmpOutMsgs", "Ip6InDelivers")
	d.probe(nil)
	if after := ns.Run("nstat", "-as", "IpInDelivers", "IpForwDatagrams", "IcmpOutMsgs", "Ip6InDelivers"); after != before {
		t.Errorf("the probe is heard: %s\nbefore: %s", after, before)
	}
	if s := d.Stats(); s.Written+s.WriteErrors+s.Down != 0 {
		t.Errorf("the probe is counted: %+v", s)
	}
}

func drain(q *Queue) {
	buf := make([]byte, Headroom+Room)
	for {
		if _, err := q.TryRead(buf, Headroom); err != nil {
			return
		}
	}
}

// A kernel that refuses joined packets is found out by the probe, or later by a packet that it refuses, which then is
// written in pieces; and the device says what it does not use, and why.
func TestKernelRefusesJoinedPackets(t *testing.T) {
	for _, when := range []string{"at the start", "later"} {
		t.Run(when, func(t *testing.T) {
			d := open(t, tuntest.New(t), Config{})
			q := d.Queues()[0]
			refuseJoined(q)
			if when == "at the start" {
				d.probe(nil)
				if why := whyOf(d); len(why) != 3 || d.Offloads() != (Offloads{}) {
					t.Errorf("%v, offloads %v", why, d.Offloads())
				}
			}
			for _, kind := range []packet.Kind{packet.TCP4, packet.UDP6} {
				writeJoined(t, q, kind)
			}
			why := whyOf(d)
			if s := d.Stats(); s.Written != 4 || s.WriteErrors != 0 || d.Offloads() != (Offloads{}) {
				t.Errorf("%+v, offloads %v", s, d.Offloads())
			}
			for _, name := range []string{"tcp", "ecn", "udp"} {
				if !strings.Contains(why[name], "refuse") {
					t.Errorf("%s: %q", name, why[name])
				}
			}
		})
	}
}

// refuseJoined makes the kernel refuse what some of its versions do.
func refuseJoined(q *Queue) {
	do := q.out.do
	q.out.do = func(fd uintptr) bool {
		header := q.out.buf
		if len(q.out.iov) > 0 {
			header = unsafe.Slice(q.out.iov[0].Base, Headroom)
		}
		if header[atKind] != kindNone {
			q.out.n, q.out.errno = -1, syscall.EINVAL
			return true
		}
		return do(fd)
	}
}

func writeJoined(t *testing.T, q *Queue, kind packet.Kind) {
	t.Helper()
	var join packet.Coalescer
	for i := range 2 {
		p := probePacket(kind, i)
		h, err := packet.Parse(p)
		if err != nil {
			t.Fatal(err)
		}
		join.Add(p, h, true)
	}
	if err := join.Flush(q.WriteSuper); err != nil {
		t.Error(err)
	}
}

// What this kernel itself refuses is taken in the same way.
func TestThisKernelRefuses(t *testing.T) {
	d := open(t, tuntest.New(t), Config{})
	if err := writeRefused(t, d); err != nil {
		t.Error(err)
	}
	if s := d.Stats(); s.CutAfterRefusal != 1 || d.Offloads().TCP || whyOf(d)["tcp"] == "" || !d.Offloads().UDP {
		t.Errorf("%+v, offloads %v, %v", s, d.Offloads(), d.Withheld())
	}
}

// writeRefused writes what no kernel takes.
func writeRefused(t *testing.T, d *Device) error {
	t.Helper()
	p := append(make([]byte, Headroom), probePacket(packet.TCP4, 0)...)
	h, err := packet.Parse(p[Headroom:])
	if err != nil {
		t.Fatal(err)
	}
	const byFragments = 0xffff // which no packet from outside may say, see packet.GSO.Check
	return d.Queues()[0].Write(p, Headroom, &h, packet.GSO{Kind: packet.TCP4, Partial: true, Size: byFragments})
}

func TestWithheldAsConfigured(t *testing.T) {
	d := open(t, tuntest.New(t), Config{Offloads: &Offloads{TCP: true}})
	if why := whyOf(d); len(why) != 2 || why["ecn"] != "as configured" || why["udp"] != "as configured" {
		t.Errorf("%v", why)
	}
}

// The kernel takes all that GSO.Check lets through: a peer cannot have the offloads of a device turned off. An interface
// that is down looks at headers, and drops what it has found to be right.
func TestWhatIsCheckedIsNotRefused(t *testing.T) {
	ns := tuntest.New(t)
	d, err := Open(Config{Namespace: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	random := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for range 100_000 {
		p, g := randomPacket(random)
		h, err := packet.Parse(p[Headroom:])
		if err != nil || g.Check(p[Headroom:], &h) != nil {
			continue
		}
		tried++
		sample := bytes.Clone(p)
		d.Queues()[0].Write(p, Headroom, &h, g)
		if s := d.Stats(); s.CutAfterRefusal+s.WriteErrors != 0 {
			t.Fatalf("refused: %+v, %x", g, sample[Headroom:min(len(sample), 200)])
		}
	}
	if tried < 5_000 {
		t.Errorf("%d packets only", tried)
	}
	if writeRefused(t, d); d.Stats().CutAfterRefusal != 1 {
		t.Error("an interface that is down takes all there is: what does this test?")
	}
}

// randomPacket makes a packet that is often right, and says something of it that is often true.
func randomPacket(r *rand.Rand) ([]byte, packet.GSO) {
	kind := packet.Kind(r.IntN(5))
	p := probePacket(max(kind, packet.TCP4), 0)
	at := len(p)
	switch n := r.IntN(10); {
	case n < 6:
		p = append(p, make([]byte, r.IntN(3000))...)
	case n < 8:
		p = append(p, make([]byte, r.IntN(65535-len(p)))...)
	default:
		p = p[:at-r.IntN(9)]
	}
	if p[0]>>4 == 4 {
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		if p[9] == packet.UDP {
			binary.BigEndian.PutUint16(p[24:], uint16(len(p)-20))
		}
	} else {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		if p[6] == packet.UDP {
			binary.BigEndian.PutUint16(p[44:], uint16(len(p)-40))
		}
	}
	for range r.IntN(3) {
		p[r.IntN(min(len(p), 60))] = byte(r.Uint32())
	}
	g := packet.GSO{Kind: kind, Partial: r.IntN(8) > 0, ECN: r.IntN(4) == 0}
	if kind != packet.Single {
		g.Size = [...]uint16{1, 2, 8, 100, 536, 1400, 9000, 65534, uint16(r.Uint32())}[r.IntN(9)]
	}
	return append(make([]byte, Headroom), p...), g
}

func TestRelease(t *testing.T) {
	for text, want := range map[string]release{"6.8.5": {6, 8, 5}, "6.18.44-fc-v657": {6, 18, 44}, "5.10": {5, 10},
		"6.8.0-45-generic": {6, 8, 0}, "": {}, "7.x": {7}, "6.1.2.3": {6, 1, 2}} {
		if got := parseRelease(text); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]bool{"6.1.99": false, "6.2.0": true, "6.8.4-generic": true, "6.8.5": false, "7.0": false} {
		if got := parseRelease(text).losesUDP(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
