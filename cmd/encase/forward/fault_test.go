package forward

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
)

// unwanted is a server that nobody should reach.
func unwanted(t testing.TB) (address string) {
	return serveTCP(t, func(c net.Conn) {
		t.Error("a client that was to be refused reached the server")
		c.Close()
	})
}

// Who is refused is told so, the server is not bothered, and the log says what happened and what to do.
func TestRefused(t *testing.T) {
	f, stranger := certificates(t), certificates(t)
	auth := f.server("raw") + fmt.Sprintf("ca = %q\nclient_auth = \"require\"\n", f.path("ca.crt"))
	withCert := func(f testFiles) string {
		return fmt.Sprintf("cert = %q\nkey = %q\n", f.path("client.crt"), f.path("client.key"))
	}
	for _, c := range []struct {
		name            string
		accept, connect string
		by              string // who refuses: its log has a remedy about its own configuration
		reason, remedy  string
		other           string // the remedy that the other one's log has
	}{
		{"unknown authority", f.server("raw"), strings.Replace(f.client("raw"), f.path("ca.crt"), stranger.path("ca.crt"), 1),
			"connect", "tls", "is not in forward.connect.ca (" + stranger.path("ca.crt"),
			"the certificate of this end, forward.accept.cert"},
		{"other name", f.server("raw"), strings.Replace(f.client("raw"), "server.test", "other.test", 1),
			"connect", "tls", "not for other.test; see forward.connect.server_name", "the certificate of this end"},
		{"no client certificate", auth, f.client("raw"),
			"accept", "tls", "see forward.accept.client_auth",
			"the peer wants a certificate of this end; set forward.connect.cert"},
		{"client of another authority", auth, f.client("raw") + withCert(stranger),
			"accept", "tls", "is not in forward.accept.ca", "the certificate of this end, forward.connect.cert"},
		{"client of another name", auth + `client_names = ["backup.test"]`, f.client("raw") + withCert(f),
			"accept", "tls", "add it to pins or client_names", "the certificate of this end"},
		{"client of another key", auth + `pins = "` + strings.Repeat("00", 32) + `"`, f.client("raw") + withCert(f),
			"accept", "tls", "add it to pins or client_names", "the certificate of this end"},
		{"versions", f.server("raw") + `max_version = "1.2"`, f.client("raw") + `min_version = "1.3"`,
			"accept", "tls", "", "see forward.connect.min_version"},
		{"application protocols", f.server("raw") + `alpn = "h2"`, f.client("raw") + `alpn = "imap"`,
			"accept", "tls", "forward.accept.alpn", "see forward.connect.alpn"},
		{"framing", f.server("length:16be"), f.client("slip"), "accept", "", "forward.accept.codec (length:16be)", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := run(t, forwardTOML("accept", anyPort, c.accept, unwanted(t), ""))
			limits := ""
			if c.name == "framing" { // each waits for the other
				limits = "[forward.limits]\nhandshake_timeout = \"500ms\"\n"
			}
			in := run(t, forwardTOML("connect", anyPort, "", out.address("accept"), c.connect)+limits)
			in.dialInVain("connect")
			logs := map[string]*daemon{"accept": out, "connect": in}
			first := logs[c.by]
			delete(logs, c.by)
			for _, second := range logs {
				second.findFailure(t, "", c.other)
			}
			first.findFailure(t, c.reason, c.remedy)
		})
	}
}

// findFailure finds a connection that failed. With TLS 1.3 a client may have sent data before it learns that it was
// refused: its connection is cut then.
func (d *daemon) findFailure(t testing.TB, reason, remedy string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		for _, msg := range []string{"connection failed", "connection cut"} {
			d.mu.Lock()
			found := d.matching(msg, []string{"reason", reason, "remedy", remedy})
			d.mu.Unlock()
			if len(found) > 0 {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("the log has no failure because of %q with remedy %q:\n%s", reason, remedy, d)
		}
	}
}

// The right ones are let in by name and by key.
func TestClientRules(t *testing.T) {
	f := certificates(t)
	block, _ := os.ReadFile(f.path("client.crt"))
	der, _ := pem.Decode(block)
	cert, err := x509.ParseCertificate(der.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := pinOf(cert)
	accept := f.server("length:16be") + fmt.Sprintf(
		"ca = %q\nclient_auth = \"require\"\npins = [%q]\nclient_names = [\"a.test\", \"client.test\"]\n",
		f.path("ca.crt"), hex.EncodeToString(key[:]))
	out := run(t, forwardTOML("out", anyPort, accept, serveTCP(t, echo), ""))
	in := run(t, forwardTOML("in", anyPort, "", out.address("out"), f.client("length:16be")+
		fmt.Sprintf("cert = %q\nkey = %q\n", f.path("client.crt"), f.path("client.key"))))
	for _, resumed := range []string{"false", "true"} {
		c := in.dial("in")
		if got := sayLine(t, c, "let me in"); got != "let me in" {
			t.Errorf("got %q", got)
		}
		c.Close()
		out.find(t, 0, "connection closed", "client_tls", "resumed:"+resumed, "client_tls", "CN=client.test")
	}
}

// A server whose certificate has expired is refused.
func TestExpired(t *testing.T) {
	dir := t.TempDir()
	cert := selfSigned(t, dir, "old", time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	serveListener(t, l, func(c net.Conn) {
		c.(*tls.Conn).Handshake()
		c.Close()
	})
	d := run(t, forwardTOML("in", anyPort, "", l.Addr().String(),
		fmt.Sprintf("tls = true\nca = %q\nserver_name = \"old.test\"\n", filepath.Join(dir, "old.crt"))))
	d.dialInVain("in")
	d.findFailure(t, "tls", "is not valid now")
}

// selfSigned writes NAME.crt and NAME.key for NAME.test into dir.
func selfSigned(t testing.TB, dir, name string, from, to time.Time, change ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name + ".test"}, DNSNames: []string{name + ".test"},
		NotBefore: from, NotAfter: to,
	}
	for _, c := range change {
		c(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	ca, err := ephemeral.New("unused")
	if err == nil {
		err = ca.WriteFiles(dir, map[string]tls.Certificate{name: cert})
	}
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Bytes that are no TLS, or no frame, end the connection; the server is not bothered.
func TestGarbage(t *testing.T) {
	f := certificates(t)
	for codec, garbage := range map[string]string{
		"raw":         "GET / HTTP/1.1\r\nHost: server.test\r\n\r\n",
		"length:16be": "\x00\x05hello",
		"length:32be": "\xff\xff\xff\xffhello",
		"websocket":   "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03 no request\r\n\r\n",
	} {
		t.Run(codec, func(t *testing.T) {
			d := run(t, forwardTOML("out", anyPort, f.server(codec), unwanted(t), ""))
			c := d.dial("out")
			if _, err := io.WriteString(c, garbage); err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, c) // an alert, or an answer of the codec
			e := d.find(t, 0, "connection failed", "error", "handshake with the client")
			if !strings.Contains(e.text("remedy"), "forward.accept.codec") {
				t.Errorf("the log's remedy is %q", e["remedy"])
			}
		})
	}
}

// No secret is in the log, whatever happens.
func TestNoSecretInLog(t *testing.T) {
	f := certificates(t)
	d := run(t, forwardTOML("out", anyPort, f.server("raw"), serveTCP(t, echo), ""))
	in := run(t, forwardTOML("in", anyPort, "", d.address("out"), f.client("raw")))
	const secret = "correct horse battery staple"
	sayLine(t, in.dial("in"), secret)
	key, err := os.ReadFile(f.path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	mixed := strings.Replace(f.server("raw"), "server.crt", "client.crt", 1)
	d.reloadWith(t, forwardTOML("out", anyPort, mixed, "127.0.0.1:1", ""))
	for _, s := range append(strings.Fields(string(key))[3:5], secret, "PRIVATE KEY") {
		if strings.Contains(d.String()+in.String(), s) {
			t.Errorf("%q is in the log", s)
		}
	}
}

// reloadWith has the daemon read another configuration.
func (d *daemon) reloadWith(t testing.TB, text string) {
	t.Helper()
	before := d.reloads()
	d.write(text)
	d.send(hangUp)
	for end := time.Now().Add(patience); d.reloads() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no reload:\n%s", d)
		}
	}
}

func (d *daemon) reloads() int {
	return d.count("reloaded") + d.count("not reloaded: everything goes on as it was")
}
