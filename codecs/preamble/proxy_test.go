package preamble_test

import (
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

// sendProxy returns what a client says.
func sendProxy(t *testing.T, p preamble.Proxy) (string, error) {
	t.Helper()
	s := newScript(strings.NewReader(""))
	err := p.Exchange(context.Background(), s, frame.Client)
	return s.heard.String(), err
}

// receiveProxy returns what a server understands.
func receiveProxy(t *testing.T, said string) (got preamble.ProxyHeader, err error) {
	t.Helper()
	p := preamble.Proxy{Accept: func(_ context.Context, h preamble.ProxyHeader) error { got = h; return nil }}
	_, rest, err := play(t, p, frame.Server, said)
	if rest != "" {
		t.Errorf("left: %q", rest)
	}
	return got, err
}

// What a client tells, a server understands, as far as the version has words for it.
func TestProxyHeaders(t *testing.T) {
	tlvs := []preamble.TLV{{Type: 0x02, Value: []byte("www.example")}, {Type: 0xe0, Value: []byte{}}}
	header := func(src, dst net.Addr, tlvs ...preamble.TLV) preamble.ProxyHeader {
		return preamble.ProxyHeader{Src: src, Dst: dst, TLVs: tlvs}
	}
	v4 := func(s string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(s).To4(), Port: port} }
	udp := func(s string, port int) net.Addr { return &net.UDPAddr{IP: net.ParseIP(s), Port: port} }
	unix := func(network, name string) net.Addr { return &net.UnixAddr{Net: network, Name: name} }
	long := strings.Repeat("x", 108)
	for _, c := range []struct {
		version  int
		in, want preamble.ProxyHeader
	}{
		{1, header(v4("192.0.2.1", 1), v4("192.0.2.2", 2)), header(v4("192.0.2.1", 1), v4("192.0.2.2", 2))},
		{1, header(tcpAddr("::1", 1), tcpAddr("2001:db8::1", 65535)), header(tcpAddr("::1", 1), tcpAddr("2001:db8::1",
			65535))},
		{1, header(tcpAddr("192.0.2.1", 1), tcpAddr("::1", 2)), header(tcpAddr("::ffff:192.0.2.1", 1), tcpAddr("::1",
			2))},
		{1, header(udp("192.0.2.1", 1), udp("192.0.2.2", 2)), header(nil, nil)},
		{1, header(nil, nil), header(nil, nil)},
		{2, header(v4("192.0.2.1", 1), tcpAddr("::ffff:192.0.2.2", 2)), header(v4("192.0.2.1", 1), v4("192.0.2.2", 2))},
		{2, header(tcpAddr("::1", 1), v4("192.0.2.1", 2)), header(tcpAddr("::1", 1), tcpAddr("::ffff:192.0.2.1", 2))},
		{2, header(udp("::1", 1), udp("::2", 2)), header(udp("::1", 1), udp("::2", 2))},
		{2, header(unix("unix", "/run/a"), unix("unix", "")), header(unix("unix", "/run/a"), unix("unix", ""))},
		{2, header(unix("unixgram", "\x00abstract"), unix("unixgram", long)),
			header(unix("unixgram", "\x00abstract"), unix("unixgram", long))},
		{2, header(v4("192.0.2.1", 1), v4("192.0.2.2", 2), tlvs...), header(v4("192.0.2.1", 1), v4("192.0.2.2", 2),
			tlvs...)},
		{2, header(nil, nil, tlvs...), header(nil, nil, tlvs...)},
	} {
		for _, checksum := range []bool{false, true} {
			if checksum && c.version == 1 {
				continue
			}
			said, err := sendProxy(t, preamble.Proxy{Version: c.version, Header: c.in, Checksum: checksum})
			if err != nil {
				t.Errorf("%v: %v", c.in, err)
				continue
			}
			got, err := receiveProxy(t, said)
			if checksum && len(got.TLVs) > 0 {
				got.TLVs = got.TLVs[:len(got.TLVs)-1]
			}
			if len(got.TLVs) == 0 {
				got.TLVs = nil
			}
			if !sameHeader(got, c.want) || err != nil {
				t.Errorf("version %d, %v: arrives as %v (%v)", c.version, c.in, got, err)
			}
		}
	}
}

// sameHeader compares with IPv4 addresses in either form of net.IP.
func sameHeader(a, b preamble.ProxyHeader) bool {
	text := func(x net.Addr) string {
		if x == nil {
			return ""
		}
		return x.Network() + " " + x.String()
	}
	return text(a.Src) == text(b.Src) && text(a.Dst) == text(b.Dst) && reflect.DeepEqual(a.TLVs, b.TLVs)
}

// A checksum finds every changed bit behind the signature, or the header is refused for what it says now.
func TestProxyChecksum(t *testing.T) {
	said, err := sendProxy(t, preamble.Proxy{Checksum: true, Header: preamble.ProxyHeader{
		Src: tcpAddr("192.0.2.1", 1), Dst: tcpAddr("192.0.2.2", 2), TLVs: []preamble.TLV{{Type: 2,
			Value: []byte("a")}}}})
	if err != nil {
		t.Fatal(err)
	}
	for bit := 12 * 8; bit < 8*len(said); bit++ {
		p := []byte(said)
		p[bit/8] ^= 1 << (bit % 8)
		got, err := receiveProxy(t, string(p))
		if typeChanged := p[len(p)-7] != 0x03; err == nil && !typeChanged { // then there is no checksum any more
			t.Errorf("bit %d of byte %d changed: accepted as %v", bit%8, bit/8, got)
		}
	}
}

func TestProxyClientRefuses(t *testing.T) {
	tcp, udp := tcpAddr("192.0.2.1", 1), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	big := []preamble.TLV{{Type: 0xe0, Value: make([]byte, 5000)}}
	for _, c := range []struct {
		p    preamble.Proxy
		want string
	}{
		{preamble.Proxy{Header: preamble.ProxyHeader{Src: tcp}}, "one address without the other"},
		{preamble.Proxy{Header: preamble.ProxyHeader{Src: tcp, Dst: udp}}, "give TCP, UDP or Unix addresses"},
		{preamble.Proxy{Header: preamble.ProxyHeader{Src: &net.TCPAddr{}, Dst: tcp}}, "no IP address"},
		{preamble.Proxy{Header: preamble.ProxyHeader{TLVs: big}}, "too long"},
		{preamble.Proxy{Header: preamble.ProxyHeader{TLVs: []preamble.TLV{{Type: 3}}}}, "set Checksum instead"},
		{preamble.Proxy{Header: preamble.ProxyHeader{Src: &net.UnixAddr{Name: strings.Repeat("x", 109)},
			Dst: &net.UnixAddr{}}}, "longer than 108 bytes"},
		{preamble.Proxy{Version: 1, Header: preamble.ProxyHeader{TLVs: big}},
			"version 1 has no checksum and no TLVs"},
	} {
		said, err := sendProxy(t, c.p)
		if err == nil || errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.want) || said != "" {
			t.Errorf("%v: %v, want %q; it sends %q", c.p, err, c.want, said)
		}
	}
}
