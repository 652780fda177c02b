package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/check"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/needtest"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// TestOpenSSL carries OpenSSL's client and server, together and each with an end of our own, through frames. A tap
// between the relays checks that frames are all that passes there.
func TestOpenSSL(t *testing.T) {
	openssl := needtest.Program(t, "openssl", "openssl")
	dir := certificates(t)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		t.Run("s_client to s_server"+version, func(t *testing.T) {
			tap := newTap(t, start(t, "unwrap", "127.0.0.1:0", sServer(t, openssl, dir, version, "-rev")))
			entry := start(t, "wrap", "127.0.0.1:0", tap.address)
			if heard := sClient(t, openssl, dir, version, entry, "hello"); heard != "olleh" {
				t.Errorf("heard %q, want %q", heard, "olleh")
			}
			tap.check(t)
		})
		t.Run("s_client to encase"+version, func(t *testing.T) {
			cert, key := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
			tap := newTap(t, start(t, "server", "127.0.0.1:0", cert, key))
			entry := start(t, "wrap", "127.0.0.1:0", tap.address)
			if heard := sClient(t, openssl, dir, version, entry, "hello"); heard != "hello" {
				t.Errorf("heard %q, want %q", heard, "hello")
			}
			tap.check(t)
		})
		t.Run("encase to s_server"+version, func(t *testing.T) {
			tap := newTap(t, start(t, "unwrap", "127.0.0.1:0", sServer(t, openssl, dir, version, "-rev")))
			var heard bytes.Buffer
			args := []string{"client", tap.address, filepath.Join(dir, "ca.crt")}
			if err := run(t.Context(), args, strings.NewReader("hello\n"), &heard); err != nil {
				t.Error(err)
			}
			if heard.String() != "olleh\n" {
				t.Errorf("heard %q, want %q", &heard, "olleh\n")
			}
			tap.check(t)
		})
	}
}

// TestCurl fetches a file that fills many frames from OpenSSL's web server.
func TestCurl(t *testing.T) {
	openssl, curl := needtest.Program(t, "openssl", "openssl"), needtest.Program(t, "curl", "curl")
	dir := certificates(t)
	page := make([]byte, 1<<20+1)
	rand.Read(page)
	if err := os.WriteFile(filepath.Join(dir, "page"), page, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.2", "1.3"} {
		server := sServer(t, openssl, dir, "-tls"+strings.Replace(version, ".", "_", 1), "-WWW")
		tap := newTap(t, start(t, "unwrap", "127.0.0.1:0", server))
		entry := start(t, "wrap", "127.0.0.1:0", tap.address)
		got, err := command(t, curl, "--silent", "--show-error", "--max-time", "10", "--noproxy", "*",
			"--cacert", filepath.Join(dir, "ca.crt"), "--tlsv"+version,
			"--connect-to", "server.example:443:"+entry, "https://server.example/page").Output()
		if err != nil || !bytes.Equal(got, page) {
			t.Errorf("TLS %s: %d bytes of %d arrived: %v", version, len(got), len(page), err)
		}
		tap.check(t)
	}
}

// TestEnds checks what a relay makes of the ends of the frames: a clean one is passed on, and so is the lack of one.
func TestEnds(t *testing.T) {
	const whole = "ACM\x17\x00\x05hello"
	for name, tt := range map[string]struct {
		sent   string
		arrive string
		reset  bool
	}{
		"between frames": {whole + whole, "hellohello", false},
		"inside a frame": {whole + whole[:8], "hello", true},
		"not a frame":    {whole + "GET / HTTP/1.0\r\n\r\n", "hello", true},
	} {
		t.Run(name, func(t *testing.T) {
			target := listener(t)
			conn, err := net.Dial("tcp", start(t, "unwrap", "127.0.0.1:0", target.Addr().String()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			plain, err := target.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			plain.SetDeadline(time.Now().Add(5 * time.Second))
			io.WriteString(conn, whole)
			first := make([]byte, len("hello"))
			if _, err := io.ReadFull(plain, first); err != nil { // before a reset can discard it
				t.Fatal(err)
			}
			io.WriteString(conn, tt.sent[len(whole):])
			conn.(*net.TCPConn).CloseWrite()
			rest, err := io.ReadAll(plain)
			if got := string(first) + string(rest); got != tt.arrive || (err != nil) != tt.reset {
				t.Errorf("%q and then %v, want %q, and an error: %v", got, err, tt.arrive, tt.reset)
			}
		})
	}
}

func TestHeaderKeepsTheContract(t *testing.T) {
	if err := check.Codec(framing); err != nil {
		t.Error(err)
	}
}

// A tap passes frames on to an address, and looks at each.
type tap struct {
	address     string
	there, back atomic.Int64 // frames
	wrong       chan error
}

func newTap(t *testing.T, target string) *tap {
	l := listener(t)
	tap := &tap{address: l.Addr().String(), wrong: make(chan error, 4)}
	go func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		far, err := net.Dial("tcp", target)
		if err != nil {
			tap.wrong <- err
			return
		}
		defer far.Close()
		both := make(chan struct{})
		go func() {
			tap.pass(far, near, &tap.there)
			close(both)
		}()
		tap.pass(near, far, &tap.back)
		<-both
	}()
	return tap
}

func (tap *tap) pass(dst, src net.Conn, count *atomic.Int64) {
	in := frame.NewReader(src, header{}, 0)
	for {
		b, err := in.Next()
		if err != nil {
			if errors.Is(err, frame.ErrMalformed) || errors.Is(err, io.ErrUnexpectedEOF) {
				tap.wrong <- err
			}
			dst.(*net.TCPConn).CloseWrite()
			return
		}
		const handshake = 22
		if p := b.Bytes(); count.Add(1) == 1 && (len(p) <= headerLen || p[headerLen] != handshake) {
			tap.wrong <- errors.New("the first frame holds no TLS handshake")
		}
		if _, err := dst.Write(b.Bytes()); err != nil {
			return
		}
	}
}

func (tap *tap) check(t *testing.T) {
	t.Helper()
	if tap.there.Load() == 0 || tap.back.Load() == 0 {
		t.Errorf("%d and %d frames have passed", tap.there.Load(), tap.back.Load())
	}
	select {
	case err := <-tap.wrong:
		t.Errorf("between the relays: %v", err)
	default:
	}
}

func listener(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// start runs a role of the program until the test ends, and returns the address that it listens at.
func start(t *testing.T, args ...string) string {
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, nil, w)
		w.CloseWithError(err)
		ended <- err
	}()
	lines := bufio.NewReader(r)
	line, err := lines.ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		stop()
		t.Fatalf("%v: %q, %v", args, line, err)
	}
	go io.Copy(io.Discard, lines)
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%v: %v", args, err)
		}
	})
	return address
}

// sServer runs openssl s_server until the test ends, and returns its address.
func sServer(t *testing.T, openssl, dir string, args ...string) string {
	cmd := command(t, openssl, append([]string{"s_server", "-accept", "127.0.0.1:0",
		"-cert", "server.crt", "-key", "server.key"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if address, ok := strings.CutPrefix(lines.Text(), "ACCEPT "); ok {
			go io.Copy(io.Discard, out)
			return address
		}
	}
	t.Fatal("openssl s_server does not accept")
	return ""
}

// sClient has openssl s_client say one line, and returns the line that comes back.
func sClient(t *testing.T, openssl, dir, version, address, say string) string {
	cmd := command(t, openssl, "s_client", version, "-connect", address, "-quiet", "-no_ign_eof",
		"-CAfile", filepath.Join(dir, "ca.crt"), "-verify_return_error", "-verify_hostname", "server.example")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(stdin, say+"\n")
	heard, err := bufio.NewReader(stdout).ReadString('\n')
	stdin.Close()
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Errorf("openssl s_client: %v\n%v", err, cmd.Stderr)
	}
	return strings.TrimSuffix(heard, "\n")
}

func command(t *testing.T, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = new(bytes.Buffer)
	return cmd
}

// certificates returns a folder with ca.crt, server.crt and server.key.
func certificates(t *testing.T) string {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := ca.WriteFiles(dir, map[string]tls.Certificate{"server": cert}); err != nil {
		t.Fatal(err)
	}
	return dir
}
