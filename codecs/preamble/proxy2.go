package preamble

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
)

// Version 2 is binary: a signature (12 bytes), version and command (1), family and transport (1), the length of the
// rest (2); the addresses and ports; TLVs.

const (
	proxy2Start = "\r\n\r\n\x00\r\nQUIT\n"
	proxy2Head  = len(proxy2Start) + 4
	proxy2Max   = 4 << 10 // bytes behind the head: a client certificate's name may be among the TLVs

	proxyLocal  = 0x20 // version and command
	proxyProxy  = 0x21
	proxyUnspec = 0x00 // family and transport
	proxyTCP4   = 0x11
	proxyUDP4   = 0x12
	proxyTCP6   = 0x21
	proxyUDP6   = 0x22
	proxyUnix   = 0x31
	proxyUnixgm = 0x32

	unixPathLen = 108

	tlvCRC32C = 0x03
	crcLen    = 4
)

// addressesLen is the length of both addresses and ports by family and transport.
var addressesLen = map[byte]int{
	proxyUnspec: 0, proxyTCP4: 12, proxyUDP4: 12, proxyTCP6: 36, proxyUDP6: 36, proxyUnix: 216, proxyUnixgm: 216,
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendProxy2 appends a header.
func appendProxy2(b []byte, h ProxyHeader, checksum bool) ([]byte, error) {
	family, addresses, err := proxyAddresses(h.Src, h.Dst)
	if err != nil {
		return b, err
	}
	command := byte(proxyProxy)
	if h.Src == nil {
		command = proxyLocal
	}
	rest := addresses
	for _, v := range h.TLVs {
		if v.Type == tlvCRC32C {
			return b, fmt.Errorf("proxy: a TLV of type %#02x: set Checksum instead", tlvCRC32C)
		}
		rest = append(rest, v.Type, byte(len(v.Value)>>8), byte(len(v.Value)))
		rest = append(rest, v.Value...)
	}
	if checksum {
		rest = append(rest, tlvCRC32C, 0, crcLen, 0, 0, 0, 0)
	}
	if len(rest) > proxy2Max {
		return b, fmt.Errorf("proxy: addresses and TLVs of %d bytes are too long: at most %d", len(rest), proxy2Max)
	}
	start := len(b)
	b = append(b, proxy2Start...)
	b = append(b, command, family, byte(len(rest)>>8), byte(len(rest)))
	b = append(b, rest...)
	if checksum {
		binary.BigEndian.PutUint32(b[len(b)-crcLen:], crc32.Checksum(b[start:], castagnoli))
	}
	return b, nil
}

// proxyAddresses returns addresses and ports as they travel.
func proxyAddresses(src, dst net.Addr) (family byte, b []byte, err error) {
	switch s := src.(type) {
	case nil:
		return proxyUnspec, nil, nil
	case *net.TCPAddr:
		if d, ok := dst.(*net.TCPAddr); ok {
			return ipAddresses(proxyTCP4, s.AddrPort(), d.AddrPort())
		}
	case *net.UDPAddr:
		if d, ok := dst.(*net.UDPAddr); ok {
			return ipAddresses(proxyUDP4, s.AddrPort(), d.AddrPort())
		}
	case *net.UnixAddr:
		if d, ok := dst.(*net.UnixAddr); ok {
			return unixAddresses(s, d)
		}
	}
	return 0, nil, fmt.Errorf("proxy: addresses of the types %T and %T cannot be told: give TCP, UDP or Unix addresses",
		src, dst)
}

// ipAddresses returns the form of two IP addresses. That of IPv6 has a family higher by one.
func ipAddresses(family4 byte, a, b netip.AddrPort) (family byte, p []byte, err error) {
	src, dst, ok := sameFamily(a, b)
	if !ok {
		return 0, nil, fmt.Errorf("proxy: no IP address in %v or %v", a, b)
	}
	family = family4
	if !src.Addr().Is4() {
		family += proxyTCP6 - proxyTCP4
	}
	p = append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)
	p = binary.BigEndian.AppendUint16(p, src.Port())
	return family, binary.BigEndian.AppendUint16(p, dst.Port()), nil
}

func unixAddresses(src, dst *net.UnixAddr) (family byte, p []byte, err error) {
	p = make([]byte, 2*unixPathLen)
	if copy(p[:unixPathLen], src.Name) < len(src.Name) || copy(p[unixPathLen:], dst.Name) < len(dst.Name) {
		return 0, nil, fmt.Errorf("proxy: the name of a Unix socket is longer than %d bytes", unixPathLen)
	}
	if src.Net == "unixgram" {
		return proxyUnixgm, p, nil
	}
	return proxyUnix, p, nil
}

// readProxy2 reads a header behind its first byte.
func readProxy2(t *talk, want string) (h ProxyHeader, err error) {
	if err := t.expect(proxy2Start[1:], want); err != nil {
		return h, err
	}
	head, err := t.take(proxy2Head-len(proxy2Start), want)
	if err != nil {
		return h, err
	}
	command, family, n := head[0], head[1], int(binary.BigEndian.Uint16(head[2:]))
	addresses, known := addressesLen[family]
	switch {
	case command != proxyProxy && command != proxyLocal || !known:
		return h, t.wrong(want, head, "an unknown version, command, family or transport")
	case n > proxy2Max:
		return h, t.wrong(want, head, fmt.Sprintf("a header with more than %d bytes", proxy2Max))
	case n < addresses:
		return h, t.wrong(want, head, "a header too short for its addresses")
	}
	rest, err := t.take(n, want)
	if err != nil {
		return h, err
	}
	raw := append(append([]byte(proxy2Start), head...), rest...)
	var ok bool
	if h.TLVs, ok = parseTLVs(rest[addresses:]); !ok {
		return h, t.wrong(want, rest[addresses:], "the TLVs do not end where the header does")
	}
	if !checksumRight(raw, proxy2Head+addresses) {
		return h, t.wrong(want, raw[len(proxy2Start):], "its checksum is wrong: it was changed on the way")
	}
	if command == proxyProxy {
		h.Src, h.Dst = parseAddresses(family, rest[:addresses])
	}
	return h, nil
}

// parseTLVs cuts p into TLVs.
func parseTLVs(p []byte) (list []TLV, ok bool) {
	const head = 3
	for len(p) > 0 {
		if len(p) < head {
			return nil, false
		}
		n := head + int(binary.BigEndian.Uint16(p[1:]))
		if len(p) < n {
			return nil, false
		}
		list = append(list, TLV{p[0], p[head:n:n]})
		p = p[n:]
	}
	return list, true
}

// checksumRight checks the checksums of a header whose TLVs begin at an offset, if there are any. One is right if it is
// that of the header with zeros in its place. It changes raw.
func checksumRight(raw []byte, tlvs int) bool {
	const head = 3
	for p := raw[tlvs:]; len(p) > 0; {
		n := head + int(binary.BigEndian.Uint16(p[1:]))
		if value := p[head:n]; p[0] == tlvCRC32C {
			if len(value) != crcLen {
				return false
			}
			sum := binary.BigEndian.Uint32(value)
			clear(value)
			if sum != crc32.Checksum(raw, castagnoli) {
				return false
			}
			binary.BigEndian.PutUint32(value, sum)
		}
		p = p[n:]
	}
	return true
}

// parseAddresses reads addresses and ports, which have the length of their family.
func parseAddresses(family byte, p []byte) (src, dst net.Addr) {
	switch family {
	case proxyTCP4, proxyTCP6:
		s, d := parseIPs(p)
		return net.TCPAddrFromAddrPort(s), net.TCPAddrFromAddrPort(d)
	case proxyUDP4, proxyUDP6:
		s, d := parseIPs(p)
		return net.UDPAddrFromAddrPort(s), net.UDPAddrFromAddrPort(d)
	case proxyUnix:
		return parseUnix("unix", p[:unixPathLen]), parseUnix("unix", p[unixPathLen:])
	case proxyUnixgm:
		return parseUnix("unixgram", p[:unixPathLen]), parseUnix("unixgram", p[unixPathLen:])
	}
	return nil, nil // the proxy does not know
}

func parseIPs(p []byte) (src, dst netip.AddrPort) {
	ports := len(p) - 4
	s, _ := netip.AddrFromSlice(p[:ports/2])
	d, _ := netip.AddrFromSlice(p[ports/2 : ports])
	return netip.AddrPortFrom(s, binary.BigEndian.Uint16(p[ports:])),
		netip.AddrPortFrom(d, binary.BigEndian.Uint16(p[ports+2:]))
}

// parseUnix returns the address of a path that a NUL ends, unless one begins it: then it is abstract.
func parseUnix(network string, p []byte) net.Addr {
	name := bytes.TrimRight(p, "\x00")
	if i := bytes.IndexByte(name, 0); i > 0 {
		name = name[:i]
	}
	return &net.UnixAddr{Name: string(name), Net: network}
}
