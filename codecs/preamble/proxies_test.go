package preamble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/wrap/porttest"
)

// configured writes a configuration file.
func configured(t *testing.T, text string) (path string) {
	t.Helper()
	path = t.TempDir() + "/conf"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// refusal fails unless err is the peer's refusal with some text in it.
func refusal(t *testing.T, err error, text string) {
	t.Helper()
	var e *preamble.Error
	if !errors.As(err, &e) || !e.Refused || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want a refusal with %q", err, text)
	}
}

// Through a web proxy to a mail server.
func TestConnectThroughTinyproxy(t *testing.T) {
	addr := porttest.Free(t)
	_, port, _ := net.SplitHostPort(addr)
	conf := configured(t, "Port "+port+"\nListen 127.0.0.1\nTimeout 60\nBasicAuth user password\nMaxClients 10\n")
	daemon(t, command(t, program(t, "tinyproxy"), "-d", "-c", conf))
	await(t, addr)
	target := echo(t, nil, preamble.SMTP{})
	conn, err := dial(t, addr, preamble.Connect{Target: target, Secret: secretOf(t, "user:password")}, preamble.SMTP{})
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, "connect", conn)
	_, err = dial(t, addr, preamble.Connect{Target: target, Secret: secretOf(t, "user:wrong")}, preamble.SMTP{})
	refusal(t, err, `401 Unauthorized`)
	_, err = dial(t, addr, preamble.Connect{Target: target}, preamble.SMTP{})
	refusal(t, err, `see the option secret`)
	_, err = dial(t, addr, preamble.Connect{Target: porttest.Free(t), Secret: secretOf(t, "user:password")})
	refusal(t, err, `500 Unable to connect`)
}

func TestSOCKS5ThroughMicrosocks(t *testing.T) {
	microsocks := program(t, "microsocks")
	target := echo(t, nil)
	start := func(args ...string) (addr string) {
		addr = porttest.Free(t)
		_, port, _ := net.SplitHostPort(addr)
		daemon(t, command(t, microsocks, append([]string{"-i", "127.0.0.1", "-p", port}, args...)...))
		await(t, addr)
		return addr
	}
	open, closed := start(), start("-u", "user", "-P", "password")
	_, port, _ := net.SplitHostPort(target)
	for _, c := range []struct {
		addr   string
		client preamble.SOCKS5
	}{
		{open, preamble.SOCKS5{Target: target}},
		{open, preamble.SOCKS5{Target: "localhost:" + port, Secret: secretOf(t, "user:password")}},
		{closed, preamble.SOCKS5{Target: target, Secret: secretOf(t, "user:password")}},
	} {
		conn, err := dial(t, c.addr, c.client)
		if err != nil {
			t.Errorf("%v: %v", c.client, err)
			continue
		}
		roundTrip(t, c.client.Target, conn)
	}
	_, err := dial(t, closed, preamble.SOCKS5{Target: target})
	refusal(t, err, "see the option secret")
	_, err = dial(t, closed, preamble.SOCKS5{Target: target, Secret: secretOf(t, "user:wrong")})
	refusal(t, err, "is the user:password in the file right?")
	_, err = dial(t, open, preamble.SOCKS5{Target: porttest.Free(t)})
	refusal(t, err, "connection refused")
}

// HAProxy sends headers of both versions, with what a header may have besides addresses.
func TestProxyServerAgainstHAProxy(t *testing.T) {
	haproxy := program(t, "haproxy")
	headers := newHeaders()
	addr1, addr2 := porttest.Free(t), porttest.Free(t)
	conf := "defaults\nmode tcp\ntimeout connect 5s\ntimeout client 20s\ntimeout server 20s\n"
	conf += fmt.Sprintf("listen one\nbind %s\nserver s %s send-proxy\n",
		addr1, echo(t, nil, preamble.Proxy{Version: 1, Accept: headers.add}))
	conf += fmt.Sprintf("listen two\nbind %s\nunique-id-format test-%%ci\nserver s %s send-proxy-v2 "+
		"proxy-v2-options crc32c,unique-id\n", addr2, echo(t, nil, preamble.Proxy{Version: 2, Accept: headers.add}))
	daemon(t, command(t, haproxy, "-db", "-f", configured(t, conf)))
	await(t, addr1)
	for _, addr := range []string{addr1, addr2} {
		conn, err := dial(t, addr)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, addr, conn)
		h := headers.from(t, conn.LocalAddr())
		if h.Dst.String() != addr {
			t.Errorf("%s: the header says that the connection goes to %v", addr, h.Dst)
		}
		if addr == addr2 && (len(h.TLVs) != 2 || !hasTLV(h, 0x05, "test-127.0.0.1")) {
			t.Errorf("the header has the TLVs %q", h.TLVs)
		}
	}
}

// headers are PROXY headers that servers have received.
type headers chan preamble.ProxyHeader

func newHeaders() headers { return make(headers, 100) }

func (h headers) add(_ context.Context, got preamble.ProxyHeader) error {
	h <- got
	return nil
}

// from returns the header that names a source. Others may have come before: of those who looked whether a proxy is up.
func (h headers) from(t *testing.T, src net.Addr) preamble.ProxyHeader {
	t.Helper()
	for {
		select {
		case got := <-h:
			if got.Src != nil && got.Src.String() == src.String() {
				return got
			}
		case <-time.After(time.Minute):
			t.Fatalf("no header says that a connection comes from %v", src)
		}
	}
}

func hasTLV(h preamble.ProxyHeader, kind byte, value string) bool {
	for _, v := range h.TLVs {
		if v.Type == kind && string(v.Value) == value {
			return true
		}
	}
	return false
}

// HAProxy takes our headers, and says who it believes to be connected.
func TestProxyClientAgainstHAProxy(t *testing.T) {
	haproxy := program(t, "haproxy")
	dir := issued(t).files(t)
	both := readFile(t, dir+"/server.crt") + readFile(t, dir+"/server.key")
	if err := os.WriteFile(dir+"/both.pem", []byte(both), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := porttest.Free(t)
	daemon(t, command(t, haproxy, "-db", "-f", configured(t,
		"defaults\nmode http\ntimeout connect 5s\ntimeout client 20s\n"+
			"timeout server 20s\nfrontend f\nbind "+addr+" accept-proxy ssl crt "+dir+"/both.pem\n"+
			"http-request return content-type text/plain lf-string "+
			"\"%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority]\"\n")))
	await(t, addr)
	v4 := preamble.ProxyHeader{Src: tcpAddr("192.0.2.1", 1), Dst: tcpAddr("192.0.2.2", 65535)}
	v6 := preamble.ProxyHeader{Src: tcpAddr("2001:db8::1", 1), Dst: tcpAddr("2001:db8::2", 2)}
	named := v4
	named.TLVs = []preamble.TLV{{Type: 2, Value: []byte("www.example")}}
	for _, c := range []struct {
		client preamble.Proxy
		want   string
	}{
		{preamble.Proxy{Version: 1, Header: v4}, "192.0.2.1 1 192.0.2.2 65535 "},
		{preamble.Proxy{Version: 1, Header: v6}, "2001:db8::1 1 2001:db8::2 2 "},
		{preamble.Proxy{Version: 1}, "127.0.0.1 "},
		{preamble.Proxy{Header: v4}, "192.0.2.1 1 192.0.2.2 65535 "},
		{preamble.Proxy{Header: v6, Checksum: true}, "2001:db8::1 1 2001:db8::2 2 "},
		{preamble.Proxy{Header: named, Checksum: true}, "192.0.2.1 1 192.0.2.2 65535 www.example"},
		{preamble.Proxy{Checksum: true}, "127.0.0.1 "},
	} {
		conn, err := dial(t, addr, c.client)
		if err != nil {
			t.Errorf("%+v: %v", c.client, err)
			continue
		}
		io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		answer, err := io.ReadAll(conn)
		if _, body, _ := bytes.Cut(answer, []byte("\r\n\r\n")); !strings.HasPrefix(string(body), c.want) {
			t.Errorf("%+v: HAProxy sees %q, want %q (%v)", c.client, answer, c.want, err)
		}
	}
}

func tcpAddr(ip string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: port} }

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
