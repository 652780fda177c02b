// Package dtlstest sends the DTLS 1.2 of OpenSSL, both ends of it, through codecs for datagrams. It is for tests.
//
//	s_client ── Link: machine of the client ── a lossy network ── machine of the server ── s_server
//
// Where OpenSSL is not installed, a test skips, and says so; where the environment variable CI is set, it fails.
package dtlstest

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/needtest"
	"github.com/encase-tls/encase/wrap/porttest"
)

const (
	// patience is how long anything may take. OpenSSL repeats a lost flight after one second, then two, four.
	patience = time.Minute

	// again is how soon a line is said again. DTLS does not repeat it.
	again = 200 * time.Millisecond
)

// Exchange starts s_server, gives its address to link, and starts s_client, which sends to the address that link
// returned. It fails unless the certificate is verified and a line arrives each way.
func Exchange(t testing.TB, link func(server *net.UDPAddr) (client *net.UDPAddr)) {
	t.Helper()
	openssl := needtest.Program(t, "openssl", "openssl")
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	out, err := exec.Command(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-keyout", key, "-out", cert, "-subj", "/CN=server.test", "-days", "2").CombinedOutput()
	if err != nil {
		t.Fatalf("openssl req: %v\n%s", err, out)
	}
	addr := FreePort(t)
	server := start(t, openssl, "s_server", "-dtls1_2", "-accept", addr.String(), "-cert", cert, "-key", key,
		"-mtu", "1200")
	server.await("ACCEPT", nil)
	client := start(t, openssl, "s_client", "-dtls1_2", "-connect", link(addr).String(), "-CAfile", cert,
		"-verify_return_error", "-mtu", "1200")
	client.await("Verify return code: 0 (ok)", nil)
	server.await("from the client", client)
	client.await("from the server", server)
}

// FreePort returns an address on loopback whose port nobody uses.
func FreePort(t testing.TB) *net.UDPAddr {
	t.Helper()
	return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(porttest.Free(t)))
}

// Listen returns a socket on loopback that is closed with the test.
func Listen(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A program is one that runs until the test ends.
type program struct {
	t     testing.TB
	name  string
	stdin io.Writer
	lines chan string // closed at the end of its output
}

func start(t testing.TB, name string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(name, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	p := &program{t: t, name: args[0], stdin: stdin, lines: make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		r.Close()
	})
	return p
}

// await waits for a line that contains what, which the peer says, if there is one, until it arrives.
func (p *program) await(what string, peer *program) {
	p.t.Helper()
	timeout := time.After(patience)
	saying := time.NewTicker(again)
	defer saying.Stop()
	var seen []string
	for {
		select {
		case line, ok := <-p.lines:
			if strings.Contains(line, what) {
				return
			}
			seen = append(seen, line)
			if !ok {
				p.t.Fatalf("%s ends without %q:\n%s", p.name, what, strings.Join(seen, "\n"))
			}
		case <-saying.C:
			if peer != nil {
				io.WriteString(peer.stdin, what+"\n")
			}
		case <-timeout:
			p.t.Fatalf("%s does not say %q:\n%s", p.name, what, strings.Join(seen, "\n"))
		}
	}
}
