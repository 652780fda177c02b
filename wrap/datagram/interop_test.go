package datagram

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap/needtest"
)

// These tests need the program openssl (Debian: openssl). Without it they are skipped, except where the environment
// variable CI says that everything must be there.

// bulk is how much is moved each way, in bytes.
var bulk = map[bool]int{false: 10 << 20, true: 2 << 20}[raceEnabled]

// A program is one at the other end of a UDP socket, that writes what it receives to its standard output, and sends what
// it reads from its standard input.
type program struct {
	t     *testing.T
	stdin io.WriteCloser

	mu     sync.Mutex
	said   bytes.Buffer // on standard error
	sum    hash.Hash    // of the standard output
	got    int          // bytes of it
	change chan struct{}
	exited chan struct{} // closed when the program has ended
}

func startOpenSSL(t *testing.T, args ...string) *program {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		needtest.Skip(t, "%v", err)
	}
	p := &program{t: t, sum: sha256.New(), change: make(chan struct{}, 1), exited: make(chan struct{})}
	cmd := exec.Command("openssl", args...)
	cmd.Stdout, cmd.Stderr = p, &lockedWriter{p}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stdin.Close()
		cmd.Process.Kill()
		<-p.exited
	})
	return p
}

// Write takes what the program writes to its standard output.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum.Write(b)
	p.got += len(b)
	select {
	case p.change <- struct{}{}:
	default:
	}
	return len(b), nil
}

// lockedWriter takes what it writes to its standard error.
type lockedWriter struct{ *program }

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(b)
}

// wait waits until the program has received so many bytes.
func (p *program) wait(want int, stats func() Stats) {
	p.t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		got := p.got
		p.mu.Unlock()
		if got >= want {
			return
		}
		select {
		case <-p.change:
		case <-timeout.C:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("the program has got %d bytes, not %d; it says:\n%s\nthe Conn: %+v", p.got, want, &p.said, stats())
		}
	}
}

// ahead is how many bytes may be on the way: less than the buffers of sockets hold, so that none gets lost.
const ahead = 64 << 10

// exchange moves bulk both ways, one after the other.
func (p *program) exchange(c *Conn) {
	p.t.Helper()
	data := noise(bulk, 3)
	for sent := 0; sent < bulk; {
		n := min(c.MTU(), bulk-sent)
		if _, err := c.Write(data[sent : sent+n]); err != nil {
			p.t.Fatal(err)
		}
		sent += n
		p.wait(sent-ahead, c.Stats)
	}
	p.wait(bulk, c.Stats)
	if want := sha256.Sum256(data); !bytes.Equal(p.sum.Sum(nil), want[:]) {
		p.t.Error("the program has got other bytes than were sent")
	}
	got, fed, buf := make([]byte, 0, bulk), 0, make([]byte, 1<<15)
	for len(got) < bulk {
		if n := min(ahead/2, bulk-fed); n > 0 && fed-len(got) <= ahead/2 {
			if _, err := p.stdin.Write(data[fed : fed+n]); err != nil {
				p.t.Fatal(err)
			}
			fed += n
			continue
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(buf)
		if err != nil {
			p.t.Fatalf("%d of %d bytes arrive, then %v: %+v", len(got), bulk, err, c.Stats())
		}
		got = append(got, buf[:n]...)
	}
	if !bytes.Equal(got, data) {
		p.t.Errorf("%d bytes arrive, not those that were sent", len(got))
	}
	if e := c.Engine().(*dtls.Engine).Stats(); e.Forged+e.Malformed+e.Replayed > 0 {
		p.t.Errorf("the engine counts %+v", e)
	}
}

// A method is a way to authenticate, on both sides.
type method struct {
	name           string
	client, server []string // arguments of openssl
	configs        func(t *testing.T) (client, server *Config)
}

var methods = []method{
	{"certificates",
		[]string{"-CAfile", "ca.crt", "-servername", "server.test", "-verify_return_error"},
		[]string{"-cert", "server.crt", "-key", "server.key"},
		func(t *testing.T) (client, server *Config) { return configs(t, "") }},
	{"client certificates",
		[]string{"-CAfile", "ca.crt", "-servername", "server.test", "-verify_return_error", "-cert", "client.crt",
			"-key", "client.key"},
		[]string{"-cert", "server.crt", "-key", "server.key", "-CAfile", "ca.crt", "-Verify", "2",
			"-verify_return_error"},
		mutualConfigs},
	{"psk", append(opensslPSK, "-psk_identity", "client"), append(opensslPSK, "-nocert"),
		func(t *testing.T) (client, server *Config) {
			stack := pskStack(dtls.Options{})
			return &Config{Stack: stack}, &Config{Stack: stack}
		}},
	{"psk-ccm8", append(opensslCCM, "-psk_identity", "client"), append(opensslCCM, "-nocert"),
		func(t *testing.T) (client, server *Config) {
			stack := pskStack(dtls.Options{CipherSuites: []uint16{dtls.TLS_PSK_WITH_AES_128_CCM_8}})
			return &Config{Stack: stack}, &Config{Stack: stack}
		}},
}

var (
	opensslPSK = []string{"-psk", hex.EncodeToString([]byte("sixteen bytes...")), "-cipher", "PSK-AES128-GCM-SHA256"}
	opensslCCM = []string{"-psk", hex.EncodeToString([]byte("sixteen bytes...")), "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"}
)

func mutualConfigs(t *testing.T) (client, server *Config) {
	client, server = configs(t, "")
	shared, _ := sharedCredential()
	client.TLS.Certificates = []tls.Certificate{shared.client}
	server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, shared.ca.Pool()
	return client, server
}

// writeFiles writes what openssl reads, into a folder of the test's own.
func writeFiles(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	shared, err := sharedCredential()
	if err != nil {
		t.Fatal(err)
	}
	certs := map[string]tls.Certificate{"client": shared.client, "server": shared.server}
	if err := shared.ca.WriteFiles(".", certs); err != nil {
		t.Fatal(err)
	}
}

// TestOpenSSLServer connects to openssl s_server.
func TestOpenSSLServer(t *testing.T) {
	for _, m := range methods {
		t.Run(m.name, func(t *testing.T) {
			writeFiles(t)
			client, _ := m.configs(t)
			client.Queue, client.Socket.ReadBuffer = 2*bulk, 2*bulk
			l, err := net.ListenPacket("udp", "127.0.0.1:0") // a port that nobody has
			if err != nil {
				t.Fatal(err)
			}
			addr := l.LocalAddr().String()
			l.Close()
			p := startOpenSSL(t, append([]string{"s_server", "-quiet", "-dtls1_2", "-accept", addr, "-mtu", "1400"},
				m.server...)...)
			c := dialPatiently(t, addr, client)
			p.exchange(c)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// dialPatiently connects to a server that may not be there yet: what ICMP says about that ends nothing.
func dialPatiently(t *testing.T, addr string, cfg *Config) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := Dial(ctx, "udp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestOpenSSLClient lets openssl s_client connect.
func TestOpenSSLClient(t *testing.T) {
	for _, m := range methods {
		t.Run(m.name, func(t *testing.T) {
			writeFiles(t)
			_, server := m.configs(t)
			server.Queue = 2 * bulk
			h := newHost(t, server)
			p := startOpenSSL(t, append([]string{"s_client", "-quiet", "-dtls1_2", "-connect", h.addr().String(),
				"-mtu", "1400"}, m.client...)...)
			c := h.accept()
			p.exchange(c)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			select { // it has heard the close_notify
			case <-p.exited:
			case <-time.After(10 * time.Second):
				t.Error("the program goes on after Close")
			}
		})
	}
}

// TestOpenSSLRefuses has certificates that do not please the other end: the error says whose.
func TestOpenSSLRefuses(t *testing.T) {
	writeFiles(t)
	client, _ := configs(t, "")
	client.TLS.ServerName = "another.test"
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.LocalAddr().String()
	l.Close()
	startOpenSSL(t, "s_server", "-quiet", "-dtls1_2", "-accept", addr, "-cert", "server.crt", "-key", "server.key")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = Dial(ctx, "udp", addr, client)
	var alert *bio.AlertError
	if !errors.As(err, &alert) || !alert.Sent {
		t.Errorf("a certificate with another name: %v", err)
	}
}
