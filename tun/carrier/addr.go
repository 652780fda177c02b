package carrier

import (
	"net"
	"net/netip"
)

// An Addr is an address of one end, a net.Addr: an IP address without a port.
type Addr struct{ netip.Addr }

// Network returns "ip:253".
func (Addr) Network() string { return "ip:253" }

// String returns the IP address.
func (a Addr) String() string { return a.Addr.String() }

// AddrPort returns the address with port 0, for those who compare addresses with ports.
func (a Addr) AddrPort() netip.AddrPort { return netip.AddrPortFrom(a.Addr, 0) }

// addrOf returns the IP address in a, the zero Addr if there is none. A port is of no importance.
func addrOf(a net.Addr) netip.Addr {
	var ip net.IP
	switch a := a.(type) {
	case Addr:
		return a.Addr
	case *net.UDPAddr:
		ip = a.IP
	case *net.IPAddr:
		ip = a.IP
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}
