package udp

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// mtu returns the path MTU of packet i, whose datagrams of size bytes are too big, or 0 if it is not known. Most often
// its neighbour has had the same question.
func (s *sender) mtu(ps []Packet, i, size int) int {
	if i > 0 {
		before, ok := ps[i-1].Err.(*TooBigError)
		if ok && before.Addr == s.target(&ps[i]) {
			return before.MTU
		}
	}
	mtu, _ := s.pathMTU(ps[i].Addr)
	if MaxPayload(s.target(&ps[i]).Addr(), mtu) >= size {
		return 0 // that of another network namespace, see routeMTU, or of another moment
	}
	return mtu
}

func (k *kernel) pathMTU(to netip.AddrPort) (mtu int, err error) {
	to = unmapped(to)
	if err := k.peer.check(to); err != nil {
		return 0, err
	}
	if !k.peer.connected {
		return routeMTU(to, k.local, &k.zones)
	}
	if cerr := k.raw.Control(func(fd uintptr) { mtu, err = askMTU(int(fd), k.peer.addr.Addr()) }); cerr != nil {
		return 0, cerr
	}
	return mtu, err
}

// routeMTU asks with a socket that is connected for the purpose: the kernel does not tell of others. Its packets would
// take the way that ours take unless the socket has a mark, policies look at ports, or the socket is of another network
// namespace than the thread that calls.
func routeMTU(to netip.AddrPort, from netip.Addr, z *zones) (int, error) {
	six, domain := to.Addr().Is6(), unix.AF_INET
	if six {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if from.IsValid() && from.Is6() == six {
		if err := unix.Bind(fd, address(netip.AddrPortFrom(from, 0), z)); err != nil {
			return 0, err
		}
	}
	if err := unix.Connect(fd, address(to, z)); err != nil {
		return 0, err
	}
	return askMTU(fd, to.Addr())
}

func address(a netip.AddrPort, z *zones) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: z.index(a.Addr().Zone())}
}

func askMTU(fd int, to netip.Addr) (int, error) {
	if to.Is4() { // on an IPv6 socket too
		return unix.GetsockoptInt(fd, unix.SOL_IP, unix.IP_MTU)
	}
	return unix.GetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MTU)
}
