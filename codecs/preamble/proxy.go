package preamble

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/encase-tls/encase/frame"
)

// Proxy is the PROXY protocol: a header by which a proxy or a load balancer, as client, tells the server behind it who
// is at the other end of the connection that it hands on. There is no answer. Whoever can connect to the server can
// tell it anything: it must let in none but the proxy.
//
// Every connection of a client needs a Proxy of its own, with its addresses, and so a clone of its wrap.Config:
//
//	preamble.Proxy{Header: preamble.ProxyHeader{Src: incoming.RemoteAddr(), Dst: incoming.LocalAddr()}}
//
// A server that wants to know the addresses of each connection holds the dialogue itself, see [Over].
//
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
type Proxy struct {
	// Version is 1 or 2: what a client sends, and all that a server accepts. 0: a client sends 2, a server accepts
	// both.
	Version int
	// Header is what a client sends. With both addresses nil the connection is the proxy's own.
	Header ProxyHeader
	// Checksum says that a client adds a CRC32C to version 2. A server checks whichever comes.
	Checksum bool
	// Accept, if not nil, is given what a server has received. An error ends the connection.
	Accept func(ctx context.Context, h ProxyHeader) error
}

// A ProxyHeader is what a header says.
type ProxyHeader struct {
	// Src and Dst are the ends of the connection that the proxy has: *net.TCPAddr, *net.UDPAddr, *net.UnixAddr, both of
	// one type. Both are nil if the connection is the proxy's own, or for a server also if the proxy does not know.
	Src, Dst net.Addr
	// TLVs are what else version 2 says, in order. A server gets all, also those that are there for the header's sake.
	TLVs []TLV
}

// A TLV is a value of a type that the PROXY protocol or its users define.
type TLV struct {
	Type  byte
	Value []byte // of the receiver of a ProxyHeader
}

func init() {
	Register("proxy", Info{
		Summary: "PROXY protocol, versions 1 and 2",
		Syntax: "[OPTION[,OPTION]...]\n" +
			"OPTION  v1 or v2           the only version (default: a client sends v2, a server accepts both)\n" +
			"        crc                a client adds a checksum to v2\n" +
			"        src=IP:PORT        where the client's connection comes from (default: it is the proxy's own)\n" +
			"        dst=IP:PORT        and where it goes",
		Example: "proxy:v2,crc",
		Tested:  "HAProxy 2.6 in both roles, curl 7.88 and stunnel 5.68 as senders of v1",
	}, parseProxy)
}

func parseProxy(arg string) (frame.Preamble, error) {
	var p Proxy
	version := func(n int) func(string) error {
		return func(string) error {
			if p.Version != 0 {
				return errors.New("two versions (leave both out for either)")
			}
			p.Version = n
			return nil
		}
	}
	err := parseOptions("proxy", arg, option{"v1", "", version(1)}, option{"v2", "", version(2)},
		option{"crc", "", func(string) error { p.Checksum = true; return nil }},
		option{"src", "IP:PORT", addrInto(&p.Header.Src)}, option{"dst", "IP:PORT", addrInto(&p.Header.Dst)})
	if err != nil {
		return nil, err
	}
	return p, p.check()
}

func addrInto(a *net.Addr) func(string) error {
	return func(value string) error {
		ap, err := netip.ParseAddrPort(value)
		if err != nil {
			return fmt.Errorf("bad address %q (allowed: IP:PORT)", value)
		}
		*a = net.TCPAddrFromAddrPort(ap)
		return nil
	}
}

func (p Proxy) check() error {
	switch {
	case p.Version < 0 || p.Version > 2:
		return fmt.Errorf("proxy: there is no version %d", p.Version)
	case (p.Header.Src == nil) != (p.Header.Dst == nil):
		return errors.New("proxy: one address without the other: give src and dst, or neither")
	case p.Version == 1 && (p.Checksum || len(p.Header.TLVs) > 0):
		return errors.New("proxy: version 1 has no checksum and no TLVs")
	}
	return nil
}

// Exchange implements [frame.Preamble].
func (p Proxy) Exchange(ctx context.Context, peer frame.Peeker, role frame.Role) error {
	if err := p.check(); err != nil {
		return err
	}
	return hold("proxy", peer, role, p.client, func(t *talk) error { return p.server(ctx, t) })
}

func (p Proxy) client(t *talk) error {
	header, err := p.header()
	if err != nil {
		return err
	}
	return t.send("the header", header)
}

func (p Proxy) header() ([]byte, error) {
	if p.Version == 1 {
		return appendProxy1(nil, p.Header.Src, p.Header.Dst), nil
	}
	return appendProxy2(nil, p.Header, p.Checksum)
}

func (p Proxy) server(ctx context.Context, t *talk) error {
	h, err := p.receive(t)
	if err != nil || p.Accept == nil {
		return err
	}
	if err := p.Accept(ctx, h); err != nil {
		return fmt.Errorf("proxy: the connection is refused: %w", err)
	}
	return nil
}

// receive reads a header, whose first byte tells the version.
func (p Proxy) receive(t *talk) (ProxyHeader, error) {
	want := "a PROXY header"
	if p.Version != 0 {
		want = fmt.Sprintf("a PROXY header of version %d", p.Version)
	}
	first, err := t.takeByte(want)
	switch {
	case err != nil:
		return ProxyHeader{}, err
	case first == proxy1Start[0] && p.Version != 2:
		return readProxy1(t, want)
	case first == proxy2Start[0] && p.Version != 1:
		return readProxy2(t, want)
	case first == proxy1Start[0], first == proxy2Start[0]:
		return ProxyHeader{}, t.wrong(want, []byte{first}, "that begins the other version; choose one for both sides")
	case first == tlsHandshake:
		return ProxyHeader{}, t.wrong(want, []byte{first},
			"it starts TLS at once; switch the PROXY protocol on at the proxy, or let nobody else in")
	}
	return ProxyHeader{}, t.wrong(want, []byte{first}, "")
}
