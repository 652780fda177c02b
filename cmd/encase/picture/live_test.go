package picture_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/cmd/encase/picture"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

// drawn returns the picture of a connection that carries "hello" to the server, which echoes it, as the client sees it.
func drawn(t *testing.T, spec string, set func(client, server *tls.Config)) string {
	t.Helper()
	codec, err := codecs.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	cert, pool := identity(t)
	var out bytes.Buffer
	painter := picture.New(&out, terminal.Terminal{Width: 80}, frame.Client, codec)
	cfg := &tls.Config{RootCAs: pool, ServerName: "demo.example", NextProtos: []string{"echo", "x\x1b]0;evil\a"}}
	serverCfg := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"echo"}}
	set(cfg, serverCfg)
	a, b := loopback(t)
	c := wrap.Client(wrap.Stream(a), &wrap.Config{TLS: cfg, Codec: codec, Trace: painter.Frame})
	s := wrap.Server(wrap.Stream(b), &wrap.Config{TLS: serverCfg, Codec: codec})
	go func() {
		defer s.Close()
		io.Copy(s, s)
	}()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	c.Close()
	return out.String()
}

func loopback(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func identity(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	ca, err := ephemeral.New("picture test")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("demo.example")
	if err != nil {
		t.Fatal(err)
	}
	return cert, ca.Pool()
}

// inOrder fails unless each of want occurs in got, behind the one before. Where lines were wrapped does not matter.
func inOrder(t *testing.T, got string, want ...string) {
	t.Helper()
	rest := strings.Join(strings.Fields(got), " ")
	for _, w := range want {
		_, behind, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("no %q behind what comes before it in\n%s", w, got)
		}
		rest = behind
	}
}

func printable(t *testing.T, got string, width int) {
	t.Helper()
	for line := range strings.SplitSeq(got, "\n") {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("unprintable: %q", line)
		}
		if len(line) > width {
			t.Errorf("%d columns of %d: %s", len(line), width, line)
		}
	}
}

func TestTLS13(t *testing.T) {
	got := drawn(t, "length:16be", func(_, _ *tls.Config) {})
	inOrder(t, got,
		"--> frame 1, client to server", "2 bytes from the codec ----", "type 16 handshake",
		"version 03 01 TLS 1.0 in name", "ClientHello", "server name demo.example", "offers TLS 1.3, TLS 1.2",
		`ALPN echo, x\x1b]0;evil\a`, "key shares X25519",
		"<-- frame 2, server to client", "ServerHello", "chooses TLS 1.3, TLS_", "key share X25519",
		"change cipher spec", "no meaning in TLS 1.3", "type 17 application data", "encrypted; holds up to",
		"--> frame 3", "length 00 16 22 bytes", "encrypted; holds up to 5 bytes")
	printable(t, got, 80)
}

func TestTLS12(t *testing.T) {
	got := drawn(t, "length:16be", func(c, _ *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	inOrder(t, got, "offers TLS 1.2",
		"chooses TLS 1.2, TLS_ECDHE_ECDSA_", "Certificate, ", "ServerKeyExchange", "ServerHelloDone, 0 bytes",
		"--> frame 3", "ClientKeyExchange", "from here on encrypted", "type 16 handshake", "body", "encrypted",
		"type 17 application data", "type 15 alert", "encrypted")
}

// After a HelloRetryRequest the client's second hello is as plain as its first, though change_cipher_spec precedes it.
func TestHelloRetryRequest(t *testing.T) {
	got := drawn(t, "raw", func(client, server *tls.Config) {
		client.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP521}
		server.CurvePreferences = []tls.CurveID{tls.CurveP521}
	})
	inOrder(t, got, "key shares X25519", "a HelloRetryRequest", "key share P-521", "change cipher spec",
		"ClientHello", "server name demo.example", "key shares P-521", "ServerHello")
}

// A frame of 255 bytes holds a part of a ClientHello; what it says is told when the last part is there.
func TestRecordInManyFrames(t *testing.T) {
	got := drawn(t, "length:8,incl", func(_, _ *tls.Config) {})
	inOrder(t, got, "--> frame 1,", "1 byte from the codec", "ClientHello begins: 249 of",
		"--> frame 2,", "goes on: 254 bytes,",
		"ends: the last", "ClientHello, ", "server name demo.example", "ServerHello begins: 249 of", "chooses TLS 1.3")
	printable(t, got, 80)
}

// A Trace does not tell which bytes of WebSocket are TLS, and the client masks them.
func TestMachine(t *testing.T) {
	got := drawn(t, "websocket", func(_, _ *tls.Config) {})
	inOrder(t, got, "--> frame 1,", "masks or escapes", "ClientHello", "server name demo.example",
		"<-- frame 2,", "4 bytes from the codec", "ServerHello", "--> frame 3,", "change cipher spec")
	printable(t, got, 80)
}
