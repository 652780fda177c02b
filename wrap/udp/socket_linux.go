package udp

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// spreads says whether several sockets on one address share its peers.
const spreads = true

// kernel moves batches with recvmmsg and sendmmsg. It makes these calls itself: golang.org/x/net's ReadBatch allocates
// an address for each datagram.
type kernel struct {
	raw   syscall.RawConn
	stats *counters
	peer  peer
	local netip.Addr // what the socket is bound to; zero: all addresses
	six   bool       // an IPv6 socket, which takes IPv4 addresses in mapped form
	warn  func(error)
	zones zones

	gso atomic.Bool // the kernel cuts
	gro atomic.Bool // the kernel joins
	// Why not, of each; nil while it does, or while nobody has tried.
	noGSO, noGRO atomic.Pointer[OffloadError]

	receiver receiver
	sender   sender
}

func newMover(conn *net.UDPConn, stats *counters, o Options) mover {
	raw, err := conn.SyscallConn()
	if err != nil { // a closed conn: its own methods say so best
		return newPortable(conn, stats)
	}
	k := &kernel{raw: raw, stats: stats, peer: peerOf(conn), warn: o.warn}
	if a := addrPort(conn.LocalAddr()).Addr(); !a.IsUnspecified() {
		k.local = a
	}
	k.sender.init(k)
	raw.Control(func(fd uintptr) {
		k.set(int(fd), &o)
		k.receiver.init(k, int(fd), o.Offload)
	})
	return k
}

// set asks the kernel for what comes with each datagram. What it does not know stays unknown.
func (k *kernel) set(fd int, o *Options) {
	domain, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	k.six = domain == unix.AF_INET6
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVTOS, 1) // of an IPv6 socket too: for its IPv4 peers
	if k.six {
		unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVTCLASS, 1)
	}
	if !k.local.IsValid() {
		if k.six {
			unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_PKTINFO, 1)
		}
	}
	if why := cannotCut(fd, o); why != nil {
		k.withhold(&OffloadError{"GSO", why}, o.Offload == OffloadAuto && why == errMangles)
	} else {
		k.gso.Store(true)
	}
	k.checkBuffers(fd, o)
}

// withhold takes in that an offload is not used, and why.
func (k *kernel) withhold(why *OffloadError, warn bool) {
	on, reason := &k.gso, &k.noGSO
	if why.Offload == "GRO" {
		on, reason = &k.gro, &k.noGRO
	}
	on.Store(false)
	reason.Store(why)
	if warn {
		k.warn(why)
	}
}

func (k *kernel) withheld() (list []*OffloadError) {
	for _, p := range []*atomic.Pointer[OffloadError]{&k.noGSO, &k.noGRO} {
		if why := p.Load(); why != nil {
			list = append(list, why)
		}
	}
	return list
}

const (
	errAsked   plainError = "as configured"
	errUnknown plainError = "this kernel does not know it"
	errFaulty  plainError = "Linux before 5.12 is said to have faults in it"
	errNoRoom  plainError = "the program has no room for joined datagrams"
)

// cannotCut returns why GSO is not to be tried, nil if it is. A kernel that does not know it would ignore the request,
// and send all as one datagram.
func cannotCut(fd int, o *Options) error {
	if o.Offload == OffloadOff {
		return errAsked
	}
	if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT); err != nil {
		return errUnknown
	}
	if r := runningRelease(); o.Offload == OffloadAuto && r.mangles() {
		return errMangles
	}
	return nil
}

func (k *kernel) offloads() (gso, gro bool) { return k.gso.Load(), k.gro.Load() }

func (k *kernel) read(ps []Packet, l Lender) (int, error) { return k.receiver.read(ps, l) }
func (k *kernel) write(ps []Packet) (int, error)          { return k.sender.write(ps) }

// setOptions sets what must be set before the socket is bound, or had better be.
func setOptions(fd uintptr, o *Options, shared bool) error {
	s := int(fd)
	if shared {
		if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	if o.Mark != 0 {
		if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_MARK, int(o.Mark)); err != nil {
			return fmt.Errorf("the mark %#x: %w; it needs CAP_NET_ADMIN", o.Mark, err)
		}
	}
	discovery := unix.IP_PMTUDISC_DO
	switch o.Discover {
	case DiscoverProbe:
		discovery = unix.IP_PMTUDISC_PROBE
	case DiscoverNone:
		discovery = unix.IP_PMTUDISC_DONT
	}
	unix.SetsockoptInt(s, unix.SOL_IP, unix.IP_MTU_DISCOVER, discovery)
	unix.SetsockoptInt(s, unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, discovery) // an IPv4 socket refuses
	setBuffer(s, o.ReadBuffer, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	setBuffer(s, o.WriteBuffer, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	return nil
}

// setBuffer asks for size bytes, above the limit of the system if this process may.
func setBuffer(fd, size, force, option int) {
	if size > 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size)
	}
}

func (k *kernel) checkBuffers(fd int, o *Options) {
	for _, b := range []struct {
		name, limit   string
		asked, option int
	}{
		{"ReadBuffer", "net.core.rmem_max", o.ReadBuffer, unix.SO_RCVBUF},
		{"WriteBuffer", "net.core.wmem_max", o.WriteBuffer, unix.SO_SNDBUF},
	} {
		// The kernel doubles what is asked for, for its own overhead, and tells that.
		got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, b.option)
		if err == nil && got/2 < b.asked {
			o.warn(&BufferError{b.name, b.limit, b.asked, got / 2})
		}
	}
}
