package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/openvpn"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// TestDemo runs both ends of this program.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(config, ",", "\n") + "\n"; out.String() != want {
		t.Errorf("it prints %q, want %q", &out, want)
	}
}

// cases are all that OpenVPN does to packets, over both carriers, and each with both versions of TLS.
func cases() (all [][3]string) {
	for i, guard := range []string{"", "tls-auth", "tls-crypt", "tls-crypt-v2"} {
		versions := []string{"1.2", "1.3", "1.2"}[i%2:]
		all = append(all, [3]string{"udp", guard, versions[1]}, [3]string{"tcp", guard, versions[0]})
	}
	return all
}

// TestClientOfOpenVPN connects to a real server and gets its configuration.
func TestClientOfOpenVPN(t *testing.T) {
	k := newKeys(t)
	for _, c := range cases() {
		t.Run(strings.Join(c[:], " "), func(t *testing.T) {
			t.Parallel()
			server, address := k.server(t, c)
			var out bytes.Buffer
			err := run(t.Context(), k.args("client", c, address), &out)
			if err != nil {
				t.Fatalf("%v\n%s", err, server)
			}
			for _, want := range []string{"echo hello\n", "ifconfig 10.78.0.2 255.255.255.0\n", "cipher AES-256-GCM\n"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not pushed:\n%s", want, &out)
				}
			}
			server.await(t, "Peer Connection Initiated")
			server.await(t, "TLSv"+c[2])
		})
	}
}

// TestBadNetwork has a relay between the ends that loses one datagram of ten, repeats and reorders others.
func TestBadNetwork(t *testing.T) {
	k := newKeys(t)
	c := [3]string{"udp", "tls-crypt", "1.3"}
	relayTo := func(t *testing.T, address string) string {
		relay, err := lossy.New(netip.MustParseAddrPort(address),
			lossy.Conditions{Loss: 0.1, Duplicate: 0.1, Reorder: 0.2}, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { relay.Close() })
		return relay.Addr().String()
	}
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		_, address := k.server(t, c)
		if err := run(t.Context(), k.args("client", c, relayTo(t, address)), io.Discard); err != nil {
			t.Error(err)
		}
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		address := "127.0.0.1:" + freePort(t)
		k.serve(t, c, address, &output{})
		k.client(t, c, relayTo(t, address)).await(t, "Initialization Sequence Completed")
	})
}

// TestRenegotiation: a real server wants a new TLS session after a few seconds, and that ends the connection by name.
func TestRenegotiation(t *testing.T) {
	t.Parallel()
	c := [3]string{"udp", "tls-crypt", "1.3"}
	k := newKeys(t)
	_, address := k.server(t, c, "--reneg-sec", "3")
	e := &end{}
	if err := e.parse(k.args("client", c, address)); err != nil {
		t.Fatal(err)
	}
	raw, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn := wrap.Client(wrap.Datagram(raw.(net.PacketConn), nil, 0), e.config)
	defer conn.Close()
	if _, err := negotiate(t.Context(), conn, "udp"); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Read(make([]byte, 100)); !errors.Is(err, openvpn.ErrSoftReset) {
		t.Errorf("Read: %v", err)
	}
}

// TestStranger: a real server does not know who has signed our certificate, or its packets have another key.
func TestStranger(t *testing.T) {
	t.Parallel()
	c := [3]string{"tcp", "tls-crypt", "1.3"}
	k, other := newKeys(t), newKeys(t)
	server, address := k.server(t, c)
	if err := run(t.Context(), other.args("client", c, address), io.Discard); err == nil {
		t.Error("another key of tls-crypt does")
	}
	server.await(t, "tls-crypt unwrapping failed")
	args := k.args("client", c, address)
	for i, arg := range args {
		args[i] = strings.Replace(arg, k.dir+"/end.", other.dir+"/end.", 1)
	}
	if err := run(t.Context(), args, io.Discard); err == nil {
		t.Error("a certificate that somebody else has signed does")
	}
	server.await(t, "VERIFY ERROR")
}

// TestServerForOpenVPN has a real client connect and configure itself, and send something through its data channel.
func TestServerForOpenVPN(t *testing.T) {
	k := newKeys(t)
	for _, c := range cases() {
		t.Run(strings.Join(c[:], " "), func(t *testing.T) {
			t.Parallel()
			address, ours := "127.0.0.1:"+freePort(t), &output{}
			k.serve(t, c, address, ours)
			client := k.client(t, c, address)
			client.await(t, "ifconfig 10.78.0.2 255.255.255.0")
			client.await(t, "Initialization Sequence Completed")
			ours.await(t, "IV_VER=")
			ours.await(t, "a packet of the data channel")
			client.await(t, "TLSv"+c[2])
		})
	}
}

// keys are files for all ends.
type keys struct{ dir, program string }

func newKeys(t *testing.T) *keys {
	t.Helper()
	program, err := exec.LookPath("openvpn")
	if err == nil {
		var tun *os.File
		if tun, err = os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err == nil {
			tun.Close()
		}
	}
	if err == nil && os.Geteuid() != 0 {
		err = fmt.Errorf("openvpn's tun needs root")
	}
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip(err)
	}
	k := &keys{t.TempDir(), program}
	k.certificates(t)
	server := filepath.Join(k.dir, "tls-crypt-v2-server.key")
	k.genkey(t, "secret", "static.key")
	k.genkey(t, "tls-crypt-v2-server", "tls-crypt-v2-server.key")
	k.genkey(t, "tls-crypt-v2-client", "tls-crypt-v2-client.key", "--tls-crypt-v2", server)
	return k
}

func (k *keys) certificates(t *testing.T) {
	t.Helper()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.WriteFiles(k.dir, map[string]tls.Certificate{"end": cert}); err != nil {
		t.Fatal(err)
	}
}

func (k *keys) genkey(t *testing.T, kind, name string, more ...string) {
	t.Helper()
	cmd := exec.Command(k.program, append(more, "--genkey", kind, filepath.Join(k.dir, name))...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openvpn --genkey %s: %v\n%s", kind, err, out)
	}
}

// file returns the key that an end has for what guards packets.
func (k *keys) file(role, guard string) string {
	if guard == "tls-crypt-v2" {
		return filepath.Join(k.dir, guard+"-"+role+".key")
	}
	return filepath.Join(k.dir, "static.key")
}

// args returns arguments for this program.
func (k *keys) args(role string, c [3]string, addr string) []string {
	args := []string{role, "-proto", c[0], "-addr", addr, "-tls", c[2], "-ca", k.dir + "/ca.crt",
		"-cert", k.dir + "/end.crt", "-key", k.dir + "/end.key"}
	if c[1] != "" {
		args = append(args, "-options", c[1]+"="+k.file(role, c[1]))
	}
	return args
}

// openvpn starts a real end. It is ended with the test.
func (k *keys) openvpn(t *testing.T, role, guard, version string, args ...string) *output {
	t.Helper()
	args = append(args, "--ca", k.dir+"/ca.crt", "--cert", k.dir+"/end.crt", "--key", k.dir+"/end.key", "--verb", "4",
		"--tls-version-min", version, "--tls-version-max", version)
	if guard != "" {
		args = append(args, "--"+guard, k.file(role, guard))
	}
	if guard == "tls-auth" {
		args = append(args, "--key-direction", map[string]string{"server": "0", "client": "1"}[role])
	}
	out := &output{}
	cmd := exec.Command(k.program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return out
}

// server starts a real server and returns its address.
func (k *keys) server(t *testing.T, c [3]string, more ...string) (*output, string) {
	t.Helper()
	port := freePort(t)
	args := append([]string{"--mode", "server", "--tls-server", "--dev", "tun", "--topology", "subnet",
		"--server", "10.78.0.0", "255.255.255.0", "--ifconfig-noexec", "--route-noexec", "--dh", "none",
		"--push", "echo hello", "--local", "127.0.0.1", "--port", port}, more...)
	if c[0] == "tcp" {
		args = append(args, "--proto", "tcp-server")
	}
	out := k.openvpn(t, "server", c[1], c[2], args...)
	out.await(t, "Initialization Sequence Completed")
	return out, "127.0.0.1:" + port
}

// client starts a real client.
func (k *keys) client(t *testing.T, c [3]string, address string) *output {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--client", "--dev", "tun", "--ifconfig-noexec", "--route-noexec", "--nobind",
		"--remote", host, port, "--remote-cert-tls", "server", "--connect-retry", "1"}
	if c[0] == "tcp" {
		args = append(args, "--proto", "tcp-client")
	}
	return k.openvpn(t, "client", c[1], c[2], args...)
}

// serve runs this program as a server until the test ends.
func (k *keys) serve(t *testing.T, c [3]string, address string, out *output) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, k.args("server", c, address), out) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// output is what a program says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the program has said so.
func (o *output) await(t *testing.T, what string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(o.String(), what); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q does not appear in\n%s", what, o)
		}
	}
}
