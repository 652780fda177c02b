// Package device is a TUN device: a network interface whose packets a program sends and receives, with the offloads of
// the kernel, so that a packet may stand for many (see package packet).
//
// A Device has one or more queues. Each is used by one goroutine that reads and one that writes; the kernel keeps a flow
// on one queue: that to which the flow's packets in the other direction are written, if any are. Addresses, routes and
// MTU are not its business.
//
//	d, err := device.Open(device.Config{Name: "encase0"})
//	p, err := d.Queues()[0].Read(buf, device.Headroom)
//
// https://docs.kernel.org/networking/tuntap.html
package device

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/encase-tls/encase/tun/packet"
)

// Headroom is how many bytes in front of a packet Read and Write use for themselves: the header by which the kernel and
// a device talk about offloads lies there.
// https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html
const Headroom = 10

// Room is how much of a buffer Read needs behind the offset that it is given.
const Room = packet.MaxLen

// A Config says which device.
type Config struct {
	// Name of the interface, at most 15 bytes; "%d" in it, once, lets the kernel choose a number. Empty: "encase%d".
	Name string
	// Queues is how many queues the device has; 0 means 1. More of them help machines with many cores and many flows.
	Queues int
	// Attach takes a device that exists already, made with: ip tuntap add NAME mode tun [multi_queue] user USER. That
	// needs no privilege. Without it, Open makes the device and refuses one that is there.
	Attach bool
	// Offloads are what to ask for; nil: all that there are. See also Device.Offloads.
	Offloads *Offloads
	// Namespace is the file of the network namespace to make the device in, such as /run/netns/red; empty: this one.
	Namespace string
}

// Offloads are what the kernel does for a device, and a device for the kernel.
type Offloads struct {
	TCP bool // TCP is cut and joined, both IPv4 and IPv6
	ECN bool // also if it has ECN
	UDP bool // datagrams are cut and joined, both (Linux 6.2)
}

// String lists what is on.
func (o Offloads) String() string {
	text := ""
	for _, f := range []struct {
		on   bool
		name string
	}{{o.TCP, "tcp"}, {o.ECN, "ecn"}, {o.UDP, "udp"}} {
		if f.on {
			text += " " + f.name
		}
	}
	if text == "" {
		return "off"
	}
	return text[1:]
}

// A Withheld is an offload that is not used, and why: it was not asked for, the kernel does not know it, or has refused
// what it had agreed to.
type Withheld struct {
	Offload string `json:"offload"` // tcp, ecn or udp
	Why     string `json:"why"`
}

// A Packet is what a Queue reads: one IP packet, or a super-packet.
type Packet struct {
	Data   []byte        // from the first byte of the IP header; a part of the buffer that was read into
	Header packet.Header // as packet.Parse finds it
	GSO    packet.GSO    // what is left to do; packet.GSO.CheckCut accepts it
}

// Stats counts what a device, or one of its queues, has done. Packets that stand for many count once.
type Stats struct {
	Read            uint64 `json:"read"`
	ReadBytes       uint64 `json:"read_bytes"`
	Written         uint64 `json:"written"`
	WrittenBytes    uint64 `json:"written_bytes"`
	ReadErrors      uint64 `json:"read_errors"`       // packets from the kernel that make no sense; dropped
	WriteErrors     uint64 `json:"write_errors"`      // packets that the kernel refused; dropped
	Down            uint64 `json:"down"`              // packets written while the interface was down; dropped
	CutAfterRefusal uint64 `json:"cut_after_refusal"` // super-packets that the kernel refused whole and took in pieces
}

func (s *Stats) add(o Stats) {
	s.Read, s.ReadBytes = s.Read+o.Read, s.ReadBytes+o.ReadBytes
	s.Written, s.WrittenBytes = s.Written+o.Written, s.WrittenBytes+o.WrittenBytes
	s.ReadErrors += o.ReadErrors
	s.WriteErrors += o.WriteErrors
	s.Down += o.Down
	s.CutAfterRefusal += o.CutAfterRefusal
}

// counters are those of a queue: what several processors count together, they wait for.
type counters struct {
	read, readBytes, written, writtenBytes, readErrors, writeErrors, down, cut atomic.Uint64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Read: c.read.Load(), ReadBytes: c.readBytes.Load(), Written: c.written.Load(), WrittenBytes: c.writtenBytes.Load(),
		ReadErrors: c.readErrors.Load(), WriteErrors: c.writeErrors.Load(), Down: c.down.Load(),
		CutAfterRefusal: c.cut.Load(),
	}
}

// ErrNone is what TryRead returns when there is no packet.
var ErrNone = errors.New("device: no packet waits")

// ErrDown is wrapped by the error of a Write while the interface is down: ip link set NAME up.
var ErrDown = errors.New("the interface is down")

// CheckName says what is wrong with the name of an interface.
func CheckName(name string) error {
	const longest = 15
	if len(name) > longest {
		return fmt.Errorf("device: the name %q has %d bytes, an interface may have %d", name, len(name), longest)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || c == '/' || c == ':' {
			return fmt.Errorf("device: the name %q has %q in it; use letters, digits, - and .", name, c)
		}
	}
	if name == "." || name == ".." {
		return fmt.Errorf("device: %q is no name for an interface", name)
	}
	return nil
}
