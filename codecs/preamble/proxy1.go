package preamble

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Version 1 is a line of text, of which the specification says that it has 107 bytes at most.

const (
	proxy1Start = "PROXY "
	proxy1Max   = 107
)

// tcpAddrs returns the addresses of a TCP connection, of one family.
func tcpAddrs(a, b net.Addr) (src, dst netip.AddrPort, ok bool) {
	s, ok := a.(*net.TCPAddr)
	d, okToo := b.(*net.TCPAddr)
	if !ok || !okToo {
		return src, dst, false
	}
	return sameFamily(s.AddrPort(), d.AddrPort())
}

// sameFamily returns both addresses as IPv4 if both are, else both as IPv6, without zones.
func sameFamily(a, b netip.AddrPort) (src, dst netip.AddrPort, ok bool) {
	x, y := a.Addr().WithZone("").Unmap(), b.Addr().WithZone("").Unmap()
	if x.Is4() != y.Is4() && x.IsValid() && y.IsValid() {
		x, y = netip.AddrFrom16(x.As16()), netip.AddrFrom16(y.As16())
	}
	return netip.AddrPortFrom(x, a.Port()), netip.AddrPortFrom(y, b.Port()), x.IsValid() && y.IsValid()
}

// appendProxy1 appends the line for a connection. It can tell of TCP only.
func appendProxy1(b []byte, src, dst net.Addr) []byte {
	s, d, ok := tcpAddrs(src, dst)
	if !ok {
		return append(b, proxy1Start+"UNKNOWN\r\n"...)
	}
	family := "TCP6"
	if s.Addr().Is4() {
		family = "TCP4"
	}
	return fmt.Appendf(b, "%s%s %v %v %d %d\r\n", proxy1Start, family, s.Addr(), d.Addr(), s.Port(), d.Port())
}

// readProxy1 reads a line behind its first byte.
func readProxy1(t *talk, want string) (ProxyHeader, error) {
	if err := t.expect(proxy1Start[1:], want); err != nil {
		return ProxyHeader{}, err
	}
	line := []byte(proxy1Start)
	for !strings.HasSuffix(string(line), "\r\n") {
		if len(line) == proxy1Max {
			return ProxyHeader{}, t.wrong(want, line, fmt.Sprintf("no end of the line within %d bytes", proxy1Max))
		}
		c, err := t.takeByte(want)
		if err != nil {
			return ProxyHeader{}, err
		}
		line = append(line, c)
	}
	h, ok := parseProxy1(string(line[len(proxy1Start) : len(line)-2]))
	if !ok {
		return h, t.wrong(want, line, "that is not TCP4 or TCP6 with two addresses and two ports, nor UNKNOWN")
	}
	return h, nil
}

// parseProxy1 parses what is between PROXY and the end of the line. Behind UNKNOWN there may be anything.
func parseProxy1(s string) (h ProxyHeader, ok bool) {
	f := strings.Split(s, " ")
	if f[0] == "UNKNOWN" {
		return h, true
	}
	if len(f) != 5 || f[0] != "TCP4" && f[0] != "TCP6" {
		return h, false
	}
	src, ok1 := parseAddr(f[1], f[3], f[0] == "TCP4")
	dst, ok2 := parseAddr(f[2], f[4], f[0] == "TCP4")
	if !ok1 || !ok2 {
		return h, false
	}
	h.Src, h.Dst = net.TCPAddrFromAddrPort(src), net.TCPAddrFromAddrPort(dst)
	return h, true
}

// parseAddr parses an address of one family without a zone, and a port without leading zeros or signs.
func parseAddr(addr, port string, is4 bool) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(addr)
	n, bad := strconv.ParseUint(port, 10, 16)
	ok := err == nil && bad == nil && a.Is4() == is4 && a.Zone() == "" && strconv.FormatUint(n, 10) == port
	return netip.AddrPortFrom(a, uint16(n)), ok
}
