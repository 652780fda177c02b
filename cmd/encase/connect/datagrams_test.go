package connect_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/cmd/encase/connect"
	"github.com/encase-tls/encase/wrap/needtest"
	"github.com/encase-tls/encase/wrap/porttest"
)

// A peer is an "encase connect" that runs.
type peer struct {
	in    *io.PipeWriter
	out   *bufio.Reader
	notes *bufio.Reader
	done  chan error
}

func startPeer(t *testing.T, args ...string) *peer {
	t.Helper()
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	notes, stderr := io.Pipe()
	p := &peer{in: in, out: bufio.NewReader(out), notes: bufio.NewReader(notes), done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	c := connect.Command()
	c.SetArgs(args)
	c.SetIn(stdin)
	c.SetOut(stdout)
	c.SetErr(stderr)
	c.SilenceErrors, c.SilenceUsage = true, true
	go func() {
		err := c.ExecuteContext(ctx)
		stdout.Close()
		stderr.Close()
		p.done <- err
	}()
	t.Cleanup(func() {
		cancel()
		stdin.Close()
		out.Close()
		notes.Close()
	})
	return p
}

// listening returns where a server listens, as it says.
func (p *peer) listening(t *testing.T) string {
	t.Helper()
	line, err := p.notes.ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %v", err, <-p.done)
	}
	_, addr, _ := strings.Cut(strings.TrimSpace(line), "listening on ")
	return addr
}

// connected returns what it says about its connection.
func (p *peer) connected(t *testing.T) string {
	t.Helper()
	line, err := p.notes.ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %v", err, <-p.done)
	}
	go io.Copy(io.Discard, p.notes)
	return line
}

func (p *peer) expect(t *testing.T, want string) {
	t.Helper()
	got, err := p.out.ReadString('\n')
	if err != nil || got != want+"\n" {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// keys writes a file of pre-shared keys.
func keys(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var pskLines = "one:" + strings.Repeat("ab", 16) + "\ntwo:" + strings.Repeat("cd", 16) + "\n"

// Both ends over UDP, with certificates and with keys, in a codec: each gets the other's lines, and the client ends
// when nothing comes any more.
func TestDTLS(t *testing.T) {
	dir := t.TempDir()
	identity(t, dir, "127.0.0.1")
	file := filepath.Join(dir, "server")
	psk := keys(t, pskLines)
	for name, c := range map[string]struct {
		server, client []string
		says           string
	}{
		"certificates": {[]string{"--cert", file + ".crt", "--key", file + ".key"},
			[]string{"--ca", filepath.Join(dir, "ca.crt")}, "DTLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
		"codec": {[]string{"--cert", file + ".crt", "--key", file + ".key", "--codec", "capwap", "--mtu", "600"},
			[]string{"--ca", filepath.Join(dir, "ca.crt"), "--codec", "capwap", "--mtu", "600"}, "DTLS 1.2, "},
		"key": {[]string{"--psk-file", psk}, []string{"--psk-file", psk, "--psk-identity", "two", "--ciphers",
			"PSK-AES128-GCM-SHA256"}, "DTLS 1.2, TLS_PSK_WITH_AES_128_GCM_SHA256, two"},
	} {
		t.Run(name, func(t *testing.T) {
			base := []string{"--dtls", "--lines", "--wait", "300ms"}
			server := startPeer(t, append(append(base, c.server...), "--listen", "127.0.0.1:0")...)
			addr := server.listening(t)
			client := startPeer(t, append(append(base, c.client...), addr)...)
			client.connected(t)
			if said := server.connected(t); !strings.Contains(said, c.says) {
				t.Errorf("the server says %q, want %q", said, c.says)
			}
			fmt.Fprintln(client.in, "how are you?")
			server.expect(t, "how are you?")
			fmt.Fprintln(server.in, "well")
			client.expect(t, "well")
			client.in.Close()
			for _, p := range []*peer{client, server} {
				if err := result(t, p.done); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// DTLS over a Unix socket, with blocks of any length, and a picture of the frames.
func TestDTLSOverStream(t *testing.T) {
	dir := t.TempDir()
	psk := keys(t, pskLines)
	sock := "unix:" + filepath.Join(dir, "s")
	base := []string{"--dtls", "--psk-file", psk, "--codec", "length:16be"}
	server := startPeer(t, append(base, "--listen", "--wait", "300ms", sock)...)
	server.listening(t)
	client := startPeer(t, append(base, "-v", "--psk-identity", "one", "--wait", "300ms", sock)...)
	drawn := make(chan string)
	go func() {
		all, _ := io.ReadAll(client.notes)
		drawn <- string(all)
	}()
	server.connected(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 3000)
	go func() {
		client.in.Write(data)
		client.in.Close()
	}()
	got, err := io.ReadAll(server.out)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes come, %v", len(got), len(data), err)
	}
	for _, p := range []*peer{client, server} {
		if err := result(t, p.done); err != nil {
			t.Error(err)
		}
	}
	said := <-drawn
	for _, part := range []string{"--> frame 1, client to server", "ClientHello", "DTLS 1.2", "bytes at most"} {
		if !strings.Contains(said, part) {
			t.Errorf("%q is not in the picture: %.2000s", part, said)
		}
	}
}

// The wrong key ends in words that help.
func TestDTLSWrongKey(t *testing.T) {
	server := startPeer(t, "--dtls", "--psk-file", keys(t, pskLines), "--listen", "127.0.0.1:0")
	wrong := keys(t, "one:"+strings.Repeat("ee", 16)+"\n")
	client := startPeer(t, "--dtls", "-q", "--timeout", "2s", "--psk-file", wrong, server.listening(t))
	if err := result(t, client.done); err == nil || !strings.Contains(err.Error(), "same key for this identity") {
		t.Errorf("got %v", err)
	}
}

// A message that no datagram holds is not sent, and not cut.
func TestDTLSTooLong(t *testing.T) {
	psk := keys(t, pskLines)
	server := startPeer(t, "--dtls", "--psk-file", psk, "--listen", "127.0.0.1:0")
	addr := server.listening(t)
	go io.Copy(io.Discard, server.notes)
	client := startPeer(t, "--dtls", "-q", "--lines", "--psk-file", psk, "--psk-identity", "one", addr)
	fmt.Fprintln(client.in, strings.Repeat("x", 2000))
	if err := result(t, client.done); err == nil || !strings.Contains(err.Error(), "a message is too long: 2000 bytes") {
		t.Errorf("got %v", err)
	}
}

// OpenSSL's programs at the other end.
func TestDTLSOpenSSL(t *testing.T) {
	needtest.Program(t, "openssl", "openssl")
	digits := hex.EncodeToString([]byte("0123456789abcdef"))
	psk := keys(t, "me:"+digits+"\n")
	secret := []string{"-psk", digits, "-cipher", "PSK-AES128-GCM-SHA256"}
	t.Run("client", func(t *testing.T) {
		server := startPeer(t, "--dtls", "--psk-file", psk, "--listen", "127.0.0.1:0")
		cmd := exec.Command("openssl", append([]string{"s_client", "-dtls1_2", "-quiet", "-no_ign_eof", "-connect",
			server.listening(t), "-psk_identity", "me"}, secret...)...)
		stdin := program(t, cmd)
		fmt.Fprintln(stdin, "from openssl")
		server.connected(t)
		server.expect(t, "from openssl")
		stdin.Close()
		if err := result(t, server.done); err != nil {
			t.Error(err)
		}
	})
	t.Run("server", func(t *testing.T) {
		addr := porttest.Free(t)
		cmd := exec.Command("openssl", append([]string{"s_server", "-dtls1_2", "-quiet", "-nocert", "-accept", addr},
			secret...)...)
		stdin := program(t, cmd)
		client := startPeer(t, "--dtls", "--psk-file", psk, addr)
		client.connected(t)
		fmt.Fprintln(client.in, "to openssl")
		fmt.Fprintln(stdin, "from openssl")
		client.expect(t, "from openssl")
		client.in.Close()
		if err := result(t, client.done); err != nil {
			t.Error(err)
		}
	})
}

// program starts a program that ends with the test.
func program(t *testing.T, cmd *exec.Cmd) (stdin io.WriteCloser) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		stdin.Close()
		select {
		case <-ended:
		case <-time.After(time.Second):
			cmd.Process.Kill()
			<-ended
		}
	})
	return stdin
}
