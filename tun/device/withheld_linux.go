package device

import (
	"encoding/binary"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/tun/packet"
)

// reasons say why offloads are not used.
type reasons struct {
	mu   sync.Mutex
	list []Withheld
}

// add keeps the first reason for an offload.
func (r *reasons) add(offload, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.list {
		if w.Offload == offload {
			return
		}
	}
	r.list = append(r.list, Withheld{offload, why})
}

// Withheld returns the offloads that are not used, and why. It may be called at any time.
func (d *Device) Withheld() []Withheld {
	d.why.mu.Lock()
	defer d.why.mu.Unlock()
	return append([]Withheld(nil), d.why.list...)
}

// names of offloads
const (
	nameTCP = "tcp"
	nameECN = "ecn"
	nameUDP = "udp"
)

// compare keeps a reason for each offload that has has and has not.
func (r *reasons) compare(has, hasNot Offloads, why string) {
	for _, o := range []struct {
		gone bool
		name string
	}{{has.TCP && !hasNot.TCP, nameTCP}, {has.ECN && !hasNot.ECN, nameECN}, {has.UDP && !hasNot.UDP, nameUDP}} {
		if o.gone {
			r.add(o.name, why)
		}
	}
}

// withhold turns an offload off for what is written: it gets pieces from now on.
func (d *Device) withhold(udp bool, why string) {
	if udp {
		d.refusedUDP.Store(true)
		d.why.add(nameUDP, why)
		return
	}
	d.refusedTCP.Store(true)
	d.why.add(nameTCP, why)
	d.why.add(nameECN, why)
}

// probe finds out, before the first packet of anybody, whether the kernel takes joined packets: some have refused them
// all, and some lose them.
func (d *Device) probe(asked *Offloads) {
	for _, kind := range []packet.Kind{packet.TCP4, packet.TCP6, packet.UDP4, packet.UDP6} {
		if d.queues[0].refuses(kind) {
			continue
		}
		if why := d.queues[0].probe(kind); why != 0 {
			d.withhold(kind == packet.UDP4 || kind == packet.UDP6, "the kernel refuses joined packets: "+why.Error())
		}
	}
	if asked == nil && d.offloads.UDP && runningRelease().losesUDP() {
		d.withhold(true, "Linux 6.2 to 6.8.4 loses joined datagrams that go on to VXLAN or GENEVE: use 6.8.5 or later")
	}
}

// probe writes two joined packets and returns why the kernel refuses them, 0 if it does not. No network sees them: an
// interface that is down refuses them with another error than a bad header has, and one that is up drops what comes
// from, and goes to, the address of loopback.
func (q *Queue) probe(kind packet.Kind) syscall.Errno {
	var join packet.Coalescer
	for i := range 2 {
		p := probePacket(kind, i)
		h, err := packet.Parse(p)
		if err != nil {
			return syscall.EINVAL // and no packet of this kind would do
		}
		join.Add(p, h, true)
	}
	var refused syscall.Errno
	join.Flush(func(s *packet.Super) error {
		put(q.vnet[:], &s.Header, s.GSO)
		q.gather(s)
		q.out.wait = false
		if q.raw.Write(q.out.do) == nil && q.out.errno == syscall.EINVAL {
			refused = q.out.errno
		}
		clear(q.out.iov)
		q.out.iov = q.out.iov[:0]
		return nil
	})
	return refused
}

// probePacket makes packet i of a flow, from loopback to loopback, with no hop to go.
func probePacket(kind packet.Kind, i int) []byte {
	const size = 8
	transport, protocol := make([]byte, 20+size), byte(packet.TCP)
	if kind == packet.UDP4 || kind == packet.UDP6 {
		transport, protocol = transport[:8+size], packet.UDP
		binary.BigEndian.PutUint16(transport[4:], 8+size)
	} else {
		binary.BigEndian.PutUint32(transport[4:], uint32(i*size))
		transport[12], transport[13] = 5<<4, 0x10
	}
	var ip []byte
	if kind == packet.TCP4 || kind == packet.UDP4 {
		ip = []byte{0x45, 0, 0, byte(20 + len(transport)), 0, byte(i), 0, 0, 0, protocol, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1}
	} else {
		ip = make([]byte, 40)
		ip[0], ip[5], ip[6] = 0x60, byte(len(transport)), protocol
		ip[23], ip[39] = 1, 1
	}
	return append(ip, transport...)
}

// A release is the version of a kernel, such as 6.8.5.
type release [3]int

var runningRelease = sync.OnceValue(func() release {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return release{}
	}
	return parseRelease(unix.ByteSliceToString(u.Release[:]))
})

// parseRelease reads the numbers that a text begins with; those that are missing are 0.
func parseRelease(s string) (r release) {
	at := 0
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9':
			r[at] = min(r[at]*10+int(c-'0'), 1<<20)
		case c == '.' && at < len(r)-1:
			at++
		default:
			return r
		}
	}
	return r
}

func (r release) before(o release) bool {
	for i := range r {
		if r[i] != o[i] {
			return r[i] < o[i]
		}
	}
	return false
}

// losesUDP reports whether the kernel takes joined datagrams and drops them if they go on into a tunnel of its own.
func (r release) losesUDP() bool { return !r.before(release{6, 2, 0}) && r.before(release{6, 8, 5}) }
