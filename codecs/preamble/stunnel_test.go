package preamble_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/porttest"
)

// stunnel starts one with some services, each a section of its configuration.
func stunnel(t *testing.T, sections ...string) {
	t.Helper()
	path := t.TempDir() + "/stunnel.conf"
	text := "foreground = yes\ndebug = 5\npid =\n" + strings.Join(sections, "")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, command(t, program(t, "stunnel4"), path))
}

// A stunnel server relays the greeting of what is behind it, and speaks for it until TLS begins.
func TestClientsAgainstStunnel(t *testing.T) {
	program(t, "stunnel4")
	dir := issued(t).files(t)
	type service struct {
		protocol, greeting, addr string
		ours                     frame.Preamble
	}
	services := []*service{
		{protocol: "smtp", greeting: "220 test ESMTP\r\n", ours: preamble.SMTP{Name: hostname}},
		{protocol: "pop3", greeting: "+OK test\r\n", ours: preamble.POP3{}},
		{protocol: "imap", greeting: "* OK test\r\n", ours: preamble.IMAP{}},
		{protocol: "pgsql", ours: preamble.Postgres{}},
	}
	var sections []string
	for _, s := range services {
		backend := listen(t, func(c net.Conn) {
			c.Write([]byte(s.greeting))
			if line, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				c.Write([]byte(line))
			}
		})
		s.addr = porttest.Free(t)
		sections = append(sections, fmt.Sprintf("[%s]\naccept = %s\nconnect = %s\n"+
			"cert = %s/server.crt\nkey = %s/server.key\n"+
			"protocol = %s\n", s.protocol, s.addr, backend, dir, dir, s.protocol))
	}
	stunnel(t, sections...)
	for _, s := range services {
		t.Run(s.protocol, func(t *testing.T) {
			await(t, s.addr)
			conn, err := dial(t, s.addr, s.ours)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, s.protocol, conn)
		})
	}
}

// A stunnel client makes TLS of what comes in clear. As SMTP, POP3 and NNTP it also greets the program that uses it.
func TestServersAgainstStunnel(t *testing.T) {
	program(t, "stunnel4")
	dir := issued(t).files(t)
	type service struct {
		protocol, more, addr string
		ours                 frame.Preamble
	}
	services := []*service{
		{protocol: "smtp", ours: preamble.SMTP{}},
		{protocol: "pop3", ours: preamble.POP3{}},
		{protocol: "imap", ours: preamble.IMAP{}},
		{protocol: "nntp", ours: preamble.NNTP{}},
		{protocol: "ldap", ours: preamble.LDAP{}},
		{protocol: "pgsql", ours: preamble.Postgres{}},
		{protocol: "connect", more: "protocolHost = " + hostname + ":443\nprotocolUsername = user\n" +
			"protocolPassword = pass\n",
			ours: preamble.Connect{Target: hostname + ":443", Secret: secretOf(t, "user:pass")}},
	}
	var sections []string
	for _, s := range services {
		s.addr = porttest.Free(t)
		sections = append(sections, fmt.Sprintf("[%s]\nclient = yes\naccept = %s\nconnect = %s\nCAfile = %s/ca.crt\n"+
			"verifyChain = yes\nprotocol = %s\n%s", s.protocol, s.addr, echo(t, nil, s.ours), dir, s.protocol, s.more))
	}
	stunnel(t, sections...)
	for _, s := range services {
		t.Run(s.protocol, func(t *testing.T) {
			await(t, s.addr)
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			if _, err := conn.Write([]byte("hello\n")); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			for n := 0; ; n++ {
				line, err := in.ReadString('\n')
				if line == "hello\n" {
					break
				}
				if err != nil || n > 3 {
					t.Fatalf("%q, %v", line, err)
				}
			}
		})
	}
}

// A stunnel server tells what is behind it, with the PROXY protocol, where a connection comes from.
func TestProxyServerAgainstStunnel(t *testing.T) {
	program(t, "stunnel4")
	dir := issued(t).files(t)
	headers := newHeaders()
	backend := listen(t, func(c net.Conn) {
		conn, err := preamble.Over(t.Context(), c, frame.Server, preamble.Proxy{Version: 1, Accept: headers.add})
		if err != nil {
			t.Error(err)
			return
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
			conn.Write([]byte(line))
		}
	})
	addr := porttest.Free(t)
	stunnel(t, fmt.Sprintf("[proxy]\naccept = %s\nconnect = %s\n"+
		"cert = %s/server.crt\nkey = %s/server.key\nprotocol = proxy\n",
		addr, backend, dir, dir))
	await(t, addr)
	conn, err := dial(t, addr)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, "proxy", conn)
	if h := headers.from(t, conn.LocalAddr()); h.Dst.String() != addr {
		t.Errorf("the header says that the connection goes to %v", h.Dst)
	}
}
