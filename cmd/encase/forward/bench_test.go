package forward

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/porttest"
)

// moved is what one iteration moves: so much that what lies in the buffers of the systems on the way does not count.
const moved = 64 << 20

// BenchmarkForward moves data in one direction through two programs on loopback with TLS 1.3 and AES-128-GCM between
// them: two encase with TLS in frames, two stunnel, two socat with large buffers. Client and server are the same.
//
//	go test -run '^$' -bench Forward -count 5 ./cmd/encase/forward | benchstat -col .fullname -row .name -
func BenchmarkForward(b *testing.B) {
	for _, impl := range []struct {
		name    string
		program string
		start   func(b *testing.B, f testFiles, target string) (entrance string)
	}{
		{"encase", "", startEncase},
		{"stunnel4", "stunnel4", startStunnel},
		{"socat", "socat", startSocat},
	} {
		b.Run(impl.name, func(b *testing.B) {
			if impl.program != "" {
				needs(b, impl.program)
			}
			f := certificates(b)
			arrived, target := sink(b, moved)
			bulk(b, impl.start(b, f, target), arrived)
		})
	}
}

// sink is a server that counts what it gets from each, and tells with every size bytes.
func sink(t testing.TB, size int) (arrived <-chan struct{}, address string) {
	all := make(chan struct{}, 1)
	return all, serveTCP(t, func(c net.Conn) {
		defer c.Close()
		c.SetDeadline(time.Time{})
		buf := make([]byte, 256<<10)
		for n := 0; ; {
			m, err := c.Read(buf)
			for n += m; n >= size; n -= size {
				all <- struct{}{}
			}
			if err != nil {
				return
			}
		}
	})
}

func bulk(b *testing.B, entrance string, arrived <-chan struct{}) {
	c := dial(b, entrance)
	defer c.Close()
	c.SetDeadline(time.Time{})
	piece := random(256 << 10)
	move := func() {
		for range moved / len(piece) {
			if _, err := c.Write(piece); err != nil {
				b.Fatal(err)
			}
		}
		select {
		case <-arrived:
		case <-time.After(patience):
			b.Fatal("the data does not arrive")
		}
	}
	move() // handshakes, windows
	b.SetBytes(moved)
	for b.Loop() {
		move()
	}
}

func startEncase(b *testing.B, f testFiles, target string) string {
	out := execute(b, "--name", "out", "--accept", anyPort, "--accept-codec", "length:16be", "--connect", target,
		"--cert", f.path("server.crt"), "--key", f.path("server.key"))
	in := execute(b, "--name", "in", "--accept", anyPort, "--connect", out.address("out"),
		"--connect-codec", "length:16be", "--ca", f.path("ca.crt"), "--server-name", "server.test")
	return in.address("in")
}

func startStunnel(b *testing.B, f testFiles, target string) string {
	middle, entrance := porttest.Free(b), porttest.Free(b)
	const head = "foreground = yes\ndebug = 3\npid =\nsslVersionMin = TLSv1.3\n[x]\n" +
		"ciphersuites = TLS_AES_128_GCM_SHA256\naccept = %s\nconnect = %s\n"
	write(b, f.path("out.conf"), fmt.Sprintf(head+"cert = %s\nkey = %s\n",
		middle, target, f.path("server.crt"), f.path("server.key")))
	write(b, f.path("in.conf"), fmt.Sprintf(
		head+"client = yes\nCAfile = %s\nverifyChain = yes\ncheckHost = server.test\n", entrance, middle, f.path("ca.crt")))
	startProgram(b, "stunnel4", f.path("out.conf"))
	startProgram(b, "stunnel4", f.path("in.conf"))
	awaitListening(b, middle, entrance)
	return entrance
}

func startSocat(b *testing.B, f testFiles, target string) string {
	middle, entrance := porttest.Free(b), porttest.Free(b)
	write(b, f.path("openssl.cnf"), "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"+
		"MinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\n") // socat has no option for this
	b.Setenv("OPENSSL_CONF", f.path("openssl.cnf"))
	startProgram(b, "socat", "-b", "65536", fmt.Sprintf(
		"OPENSSL-LISTEN:%s,bind=127.0.0.1,reuseaddr,fork,cert=%s,key=%s,verify=0",
		portOf(middle), f.path("server.crt"), f.path("server.key")), "TCP:"+target)
	startProgram(b, "socat", "-b", "65536", fmt.Sprintf("TCP-LISTEN:%s,bind=127.0.0.1,reuseaddr,fork", portOf(entrance)),
		fmt.Sprintf("OPENSSL:%s,cafile=%s,commonname=server.test", middle, f.path("ca.crt")))
	awaitListening(b, middle, entrance)
	return entrance
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitListening waits until programs listen. It connects to them, which they survive.
func awaitListening(t testing.TB, addresses ...string) {
	t.Helper()
	for _, a := range addresses {
		eventually(t, "somebody listens on "+a, func() bool {
			c, err := net.Dial("tcp", a)
			if err == nil {
				c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				io.Copy(io.Discard, c) // let it get as far as it can
				c.Close()
			}
			return err == nil
		})
	}
}
