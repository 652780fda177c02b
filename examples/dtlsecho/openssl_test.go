package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap/needtest"
)

// These tests need the program openssl. Without it they are skipped, except where the environment variable CI says that
// everything must be there.

// openssl starts it until the test ends.
func openssl(t *testing.T, args ...string) (stdin io.Writer, stdout io.Reader) {
	t.Helper()
	needtest.Program(t, "openssl", "openssl")
	cmd := exec.Command("openssl", args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		stop.Stop()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return in, out
}

// TestOpenSSLClient lets openssl s_client talk to the server.
func TestOpenSSLClient(t *testing.T) {
	dir := t.TempDir()
	address := start(t, "dtls-server", dir)
	in, out := openssl(t, "s_client", "-dtls1_2", "-quiet", "-connect", address, "-CAfile", dir+"/ca.crt",
		"-verify_return_error", "-verify_hostname", "server.example")
	lines := bufio.NewScanner(out)
	for _, line := range []string{"hello", "world"} {
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			t.Fatal(err)
		}
		if lines.Scan(); lines.Text() != line {
			t.Fatalf("%q comes back as %q", line, lines.Text())
		}
	}
}

// TestOpenSSLServer lets the client talk to openssl s_server, whose output is its input, so that it is an echo server.
func TestOpenSSLServer(t *testing.T) {
	dir := t.TempDir()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.WriteFiles(dir, map[string]tls.Certificate{"server": cert}); err != nil {
		t.Fatal(err)
	}
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().String()
	free.Close()
	in, out := openssl(t, "s_server", "-dtls1_2", "-quiet", "-accept", address,
		"-cert", dir+"/server.crt", "-key", dir+"/server.key")
	go io.Copy(in, out)
	got := client(t, "dtls-client", address, dir, "hello", "world", strings.Repeat("x", 1000))
	if want := "hello\nworld\n" + strings.Repeat("x", 1000) + "\n"; got != want {
		t.Errorf("the client prints %q", got)
	}
}
