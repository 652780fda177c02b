package tun

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/tuntest"
)

// A tap puts IP packets on a device as they are, and hears what comes from it.
type tap struct {
	t     testing.TB
	fd    int
	index int
}

// newTap taps a device in a namespace.
func newTap(t testing.TB, ns *tuntest.Namespace, index int) *tap {
	t.Helper()
	x := &tap{t: t, index: index}
	ns.Do(func() (err error) {
		x.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(bigEndian(unix.ETH_P_ALL)))
		return err
	})
	t.Cleanup(func() { unix.Close(x.fd) })
	err := unix.Bind(x.fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: index})
	if err == nil {
		err = unix.SetsockoptTimeval(x.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func bigEndian(n uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, n))
}

func (x *tap) send(p []byte) {
	x.t.Helper()
	to := &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_IP), Ifindex: x.index}
	if p[0]>>4 == 6 {
		to.Protocol = bigEndian(unix.ETH_P_IPV6)
	}
	if err := unix.Sendto(x.fd, p, 0, to); err != nil {
		x.t.Errorf("putting a packet on the device: %v", err)
	}
}

// hears waits for a packet that is the same in every byte. If it does not come, others says what came.
func (x *tap) hears(want []byte, patience time.Duration) (ok bool, others string) {
	buf := make([]byte, packet.MaxLen)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		n, from, err := unix.Recvfrom(x.fd, buf, 0)
		if err != nil {
			continue
		}
		if l, _ := from.(*unix.SockaddrLinklayer); l == nil || l.Pkttype == unix.PACKET_OUTGOING {
			continue // the kernel's own
		}
		if bytes.Equal(buf[:n], want) {
			return true, ""
		}
		others += hex.EncodeToString(buf[:n]) + "\n"
	}
	return false, others
}

// sum is the checksum of the Internet over all that it is given, each of an even length but the last.
func sum(parts ...[]byte) uint16 {
	var s uint32
	for _, p := range parts {
		for i, b := range p {
			s += uint32(b) << (8 * (1 - i%2))
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// An oddity is an IP packet that is not quite like others.
type oddity struct {
	version  int
	tos      byte
	options  []byte // of IPv4, or extension headers of IPv6
	fragment uint16 // flags and offset of IPv4
	protocol byte
	next     byte // of IPv6, what the first extension header is; 0: what protocol says
	from, to net.IP
	body     []byte
	sumAt    int // where in body its checksum goes; 0: nowhere
}

func (o oddity) bytes() []byte {
	body := bytes.Clone(o.body)
	if o.sumAt > 0 {
		pseudo := []byte{0, o.protocol, byte(len(body) >> 8), byte(len(body))}
		binary.BigEndian.PutUint16(body[o.sumAt:], sum(o.from, o.to, pseudo, body))
	}
	if o.version == 6 {
		next := o.protocol
		if len(o.options) > 0 {
			next = o.next
		}
		p := []byte{0x60 | o.tos>>4, o.tos<<4 | 5, 0x12, 0x34, 0, 0, next, 7}
		binary.BigEndian.PutUint16(p[4:], uint16(len(o.options)+len(body)))
		return join(p, o.from, o.to, o.options, body)
	}
	head := []byte{0x45 + byte(len(o.options)/4), o.tos, 0, 0, 0xab, 0xcd, 0, 0, 9, o.protocol, 0, 0}
	p := join(head, o.from, o.to, o.options)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)+len(body)))
	binary.BigEndian.PutUint16(p[6:], o.fragment)
	binary.BigEndian.PutUint16(p[10:], sum(p))
	return append(p, body...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// udp makes a datagram whose checksum is left out.
func udp(n int) []byte {
	p := append([]byte{0x30, 0x39, 0, 9, byte((8 + n) >> 8), byte(8 + n), 0, 0}, bytes.Repeat([]byte("x"), n)...)
	return p
}

// tcp makes a segment with flags and n bytes.
func tcp(flags byte, options []byte, n int) []byte {
	head := []byte{0x30, 0x39, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, byte(5+len(options)/4) << 4, flags, 0x20, 0, 0, 0, 0, 3}
	return join(head, options, bytes.Repeat([]byte("y"), n))
}

// oddities are packets that arrive as they were sent, whatever their kind.
func oddities(from, to net.IP) map[string]oddity {
	const udpSum, tcpSum, dontFragment, more = 6, 16, 0x4000, 0x2000
	list := map[string]oddity{
		"nothing in it":              {protocol: 253},
		"an unknown protocol":        {protocol: 253, body: []byte("hello")},
		"SCTP":                       {protocol: 132, body: bytes.Repeat([]byte{3}, 60)},
		"GRE":                        {protocol: 47, body: join([]byte{0, 0, 8, 0}, make([]byte, 40))},
		"UDP":                        {protocol: 17, body: udp(5), sumAt: udpSum},
		"UDP of no bytes":            {protocol: 17, body: udp(0), sumAt: udpSum},
		"UDP with no checksum":       {protocol: 17, body: udp(6)},
		"UDP with a wrong checksum":  {protocol: 17, body: udp(5)},
		"as long as the MTU":         {protocol: 17, body: udp(1400 - 8 - 20), sumAt: udpSum},
		"TCP of one byte":            {protocol: 6, body: tcp(0x18, nil, 1), sumAt: tcpSum},
		"TCP with options":           {protocol: 6, body: tcp(0x10, []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, 9), sumAt: tcpSum},
		"TCP with all flags":         {protocol: 6, body: tcp(0xff, nil, 3), sumAt: tcpSum},
		"TCP with none":              {protocol: 6, body: tcp(0, nil, 0), sumAt: tcpSum},
		"an MSS that fits":           {protocol: 6, body: tcp(2, []byte{2, 4, 0x02, 0x18}, 0), sumAt: tcpSum},
		"an MSS of no length at all": {protocol: 6, body: tcp(2, []byte{2, 4, 0, 0}, 0), sumAt: tcpSum},
	}
	wrong := list["UDP with a wrong checksum"]
	wrong.body[6], wrong.body[7] = 0xba, 0xd0
	for ecn := range byte(4) {
		list[fmt.Sprintf("UDP with ECN %d", ecn)] = oddity{tos: 0xb8 | ecn, protocol: 17, body: udp(5), sumAt: udpSum}
		list[fmt.Sprintf("TCP with ECN %d", ecn)] = oddity{tos: ecn, protocol: 6, body: tcp(0x10, nil, 9), sumAt: tcpSum}
	}
	list4 := map[string]oddity{
		"options":               {options: []byte{1, 1, 1, 0}, protocol: 17, body: udp(5), sumAt: udpSum},
		"options before TCP":    {options: []byte{0x94, 4, 0, 0}, protocol: 6, body: tcp(0x10, nil, 9), sumAt: tcpSum},
		"all options that fit":  {options: bytes.Repeat([]byte{1}, 40), protocol: 17, body: udp(5), sumAt: udpSum},
		"do not fragment":       {fragment: dontFragment, protocol: 17, body: udp(5), sumAt: udpSum},
		"the first fragment":    {fragment: more, protocol: 17, body: udp(1000)[:808]},
		"a fragment":            {fragment: more | 101, protocol: 17, body: bytes.Repeat([]byte{6}, 800)},
		"the last fragment":     {fragment: 201, protocol: 17, body: []byte{7}},
		"a fragment of options": {options: []byte{1, 1, 1, 0}, fragment: 201, protocol: 6, body: []byte{7}},
	}
	list6 := map[string]oddity{
		"hop by hop": {options: []byte{17, 0, 1, 4, 0, 0, 0, 0}, next: 0,
			protocol: 17, body: udp(5), sumAt: udpSum},
		"destination": {options: []byte{6, 0, 1, 4, 0, 0, 0, 0}, next: 60,
			protocol: 6, body: tcp(0x10, nil, 5), sumAt: tcpSum},
		"a long one": {options: join([]byte{17, 31, 1, 0xfc}, make([]byte, 252)), next: 60,
			protocol: 17, body: udp(5), sumAt: udpSum},
		"two": {options: []byte{60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}, next: 0,
			protocol: 17, body: udp(5), sumAt: udpSum},
		"routing": {options: []byte{17, 0, 253, 0, 0, 0, 0, 0}, next: 43,
			protocol: 17, body: udp(5), sumAt: udpSum},
		"authentication": {options: join([]byte{17, 4}, make([]byte, 22)), next: 51,
			protocol: 17, body: udp(5), sumAt: udpSum},
		"the first fragment": {options: []byte{17, 0, 0, 1, 0, 0, 0, 9}, next: 44, protocol: 17, body: udp(1000)[:808]},
		"the last fragment":  {options: []byte{17, 0, 3, 40, 0, 0, 0, 9}, next: 44, protocol: 17, body: []byte{7}},
		"an atomic fragment": {options: []byte{17, 0, 0, 0, 0, 0, 0, 9}, next: 44,
			protocol: 17, body: udp(5), sumAt: udpSum},
		"encrypted":         {protocol: 50, body: bytes.Repeat([]byte{8}, 64)},
		"nothing that next": {protocol: 59},
	}
	special := list4
	if len(from) == 16 {
		special = list6
		delete(list, "as long as the MTU")
	}
	for name, o := range special {
		list[name] = o
	}
	for name, o := range list {
		o.version, o.from, o.to = 4, from, to
		if len(from) == 16 {
			o.version = 6
		}
		list[name] = o
	}
	return list
}

// Every IP packet that may travel arrives in every byte as it was, over each carrier, in both directions, with the
// kernels' offloads on.
func TestOddPackets(t *testing.T) {
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			r := newRig(t, nil)
			c := r.client("alice.test", nil, carrier)
			c.address()
			near := newTap(t, c.ns, c.client.dev.device.Index())
			far := newTap(t, r.ns, r.server.dev.device.Index())
			for _, ip := range [][2]net.IP{
				{net.IPv4(10, 66, 0, 2).To4(), net.IPv4(10, 66, 0, 1).To4()}, {net.ParseIP("fd66::2"), net.ParseIP("fd66::1")},
			} {
				for name, o := range oddities(ip[0], ip[1]) {
					passes(t, fmt.Sprintf("IPv%d up, %s", o.version, name), near, far, o.bytes())
					o.from, o.to = o.to, o.from
					passes(t, fmt.Sprintf("IPv%d down, %s", o.version, name), far, near, o.bytes())
				}
			}
			if s := c.client.Status(); s.Device.ReadErrors+s.Device.WriteErrors+s.Device.CutAfterRefusal != 0 {
				t.Errorf("%+v", s.Device)
			}
		})
	}
}

func passes(t *testing.T, name string, from, to *tap, p []byte) {
	t.Helper()
	from.send(p)
	if ok, others := to.hears(p, tuntest.Patience); !ok {
		t.Fatalf("%s: %x does not arrive, but\n%s", name, p, others)
	}
}

// What is no IP packet goes nowhere, is counted, and harms nothing.
func TestMalformedPackets(t *testing.T) {
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			r := newRig(t, nil)
			c := r.client("alice.test", nil, carrier)
			c.address()
			near := newTap(t, c.ns, c.client.dev.device.Index())
			far := newTap(t, r.ns, r.server.dev.device.Index())
			good := oddities(net.IPv4(10, 66, 0, 2).To4(), net.IPv4(10, 66, 0, 1).To4())["UDP"].bytes()
			before := c.client.Status().Device.ReadErrors
			cases := [][]byte{
				good[:19],                               // cut off in the header
				good[:len(good)-1],                      // shorter than it says
				append(bytes.Clone(good), 0),            // longer
				change(good, 0, 0x44),                   // a header of 16 bytes
				change(good, 0, 0x4f),                   // a header of 60, which is longer than all
				change(good, 0, 0x55),                   // of IP version 5
				change(good, 25, 200),                   // UDP that is longer than its packet
				change(good, 9, packet.TCP)[:len(good)], // TCP in 13 bytes
			}
			for _, p := range cases {
				near.send(p)
			}
			passes(t, "a good one behind them", near, far, good)
			if n := c.client.Status().Device.ReadErrors - before; n != uint64(len(cases)) {
				t.Errorf("%d of %d are counted", n, len(cases))
			}
		})
	}
}

func change(p []byte, at int, to byte) []byte {
	p = bytes.Clone(p)
	p[at] = to
	return p
}
