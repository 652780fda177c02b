package forward

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"
)

// folder makes the working folder one with good and bad files for certificates.
func folder(t *testing.T) {
	f := certificates(t)
	t.Chdir(f.dir)
	now := time.Now()
	selfSigned(t, f.dir, "expired", now.Add(-48*time.Hour), now.Add(-24*time.Hour))
	selfSigned(t, f.dir, "future", now.Add(24*time.Hour), now.Add(999*24*time.Hour))
	selfSigned(t, f.dir, "long", now.Add(-time.Hour), now.Add(999*24*time.Hour))
	selfSigned(t, f.dir, "clientonly", now.Add(-time.Hour), now.Add(999*24*time.Hour), func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	selfSigned(t, f.dir, "nameless", now.Add(-time.Hour), now.Add(999*24*time.Hour), func(c *x509.Certificate) {
		c.DNSNames = nil
	})
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	write("empty", "", 0o600)
	write("broken", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), 0o600)
	write("encrypted", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})), 0o600)
	write("open.key", read("long.key"), 0o640)
	write("keys", "# two\nAlice:"+strings.Repeat("ab", 16)+"\n\nBob:"+strings.Repeat("cd", 16)+"\n", 0o600)
	write("open.keys", read("keys"), 0o640)
	write("short.keys", "Alice:abab\n", 0o600)
	write("bad.keys", "# two\nAlice:abab\nBob:verysecret\n", 0o600)
	write("both.pem", read("long.crt")+read("long.key"), 0o600)
	write("openboth.pem", read("long.crt")+read("long.key"), 0o644)
	for name, mode := range map[string]os.FileMode{"open.key": 0o640, "open.keys": 0o640, "openboth.pem": 0o644} {
		if err := os.Chmod(name, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
}

// accept and connect are a configuration with one side's keys to be filled in; they begin in lines 5 and 8.
func accept(keys string) string {
	return "config_version = 1\n[[forward]]\nname = \"a\"\n[forward.accept]\n" + keys +
		"\n[forward.connect]\naddress = \"127.0.0.1:1\"\n"
}

func connect(keys string) string {
	return "config_version = 1\n[[forward]]\nname = \"a\"\naccept.address = \"127.0.0.1:1\"\n" +
		"[forward.connect]\n" + keys + "\n"
}

// Every mistake is reported, with its line, what is wrong and what to do about it.
func TestMistakes(t *testing.T) {
	data, err := os.ReadFile("testdata/mistakes.txt")
	if err != nil {
		t.Fatal(err)
	}
	folder(t)
	cases := strings.Split(string(data), "\n### ")[1:]
	if len(cases) < 30 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		name, body, _ := strings.Cut(c, "\n")
		var config, want []string
		for line := range strings.Lines(body) {
			line = strings.TrimSuffix(line, "\n")
			if text, ok := strings.CutPrefix(line, "! "); ok {
				want = append(want, text)
			} else if len(want) == 0 {
				config = append(config, line)
			}
		}
		t.Run(name, func(t *testing.T) {
			compareLines(t, strings.Split(mistakes(strings.Join(config, "\n")), "\n"), want)
		})
	}
}

// compareLines compares lines with those that are wanted, which may end in three dots.
func compareLines(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d lines:\n%s\nwant %d:\n%s", len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
	}
	for i, w := range want {
		start, open := strings.CutSuffix(w, "...")
		if got[i] != w && !(open && strings.HasPrefix(got[i], start)) {
			t.Errorf("got  %s\nwant %s", got[i], w)
		}
	}
}

// mistakes returns what is wrong with a file f.
func mistakes(text string) string {
	doc, found := parseTOML("f", []byte(text))
	if doc != nil {
		_, found = read(doc)
	}
	if err := found.Err(); err != nil {
		return err.Error()
	}
	return "none"
}

// What works today and may not tomorrow is a warning.
func TestWarnings(t *testing.T) {
	folder(t)
	for _, c := range []struct{ name, text, want string }{
		{"expires soon", accept("address = \":1\"\ntls = true\ncert = \"server.crt\"\nkey = \"server.key\""),
			`f:7: forward.accept.cert: warning: server.crt: the certificate of CN=server.test expires on `},
		{"no name", accept("address = \":1\"\ntls = true\ncert = \"nameless.crt\"\nkey = \"nameless.key\""),
			`f:7: forward.accept.cert: warning: the certificate has no subjectAltName: clients refuse it; `},
		{"old authority", connect("address = \"a:1\"\ntls = true\nca = \"expired.crt\""),
			`f:8: forward.connect.ca: warning: expired.crt: the certificate of CN=expired.test expired on `},
		{"no TLS", connect("address = \"a:1\""), `f:4: forward.accept.address: warning: neither side has TLS: `},
		{"files", accept("address = \":1\"\ntls = true\ncert = \"both.pem\"") + "[limits]\nmax_connections = 1000000000\n",
			`f:11: limits.max_connections: warning: 1000000000 connections need 2000000064 open files, `},
		{"no DTLS", strings.ReplaceAll(connect("address = \"udp:a:1\""), "\"127", "\"udp:127"),
			`f:4: forward.accept.address: warning: neither side has DTLS: `},
		{"short key", strings.ReplaceAll(connect("address = \"udp:a:1\"\ndtls = true\npsk_file = \"short.keys\""), "\"127",
			"\"udp:127"), `f:8: forward.connect.psk_file: warning: short.keys: a key has 2 bytes and can be guessed; `},
		{"nothing", accept("address = \":1\"\ntls = true\ncert = \"both.pem\""), ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, _ := parseTOML("f", []byte(c.text))
			cfg, found := read(doc)
			if cfg == nil {
				t.Fatal(found.Err())
			}
			var got []string
			for _, p := range found.Warnings() {
				got = append(got, p.String())
			}
			if text := strings.Join(got, "\n"); !strings.HasPrefix(text, c.want) || (c.want == "") != (text == "") {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}

// A file of every key is read as it says.
func TestEveryKey(t *testing.T) {
	folder(t)
	doc, bad := parseTOML("f", []byte(`
config_version = 1
[log]
level = "warn"
format = "json"
[limits]
max_connections = 77
handshake_timeout = "1s"
connect_timeout = "2s"
idle_timeout = "3m"
drain_timeout = "4s"
buffer = "64KiB"
[[forward]]
name = "web"
[forward.accept]
address = "unix:/run/x"
mode = "0660"
codec = "length:16be"
cert = "both.pem"
ca = "ca.crt"
client_auth = "require"
client_names = ["client.test"]
preamble = ["proxy:v2", "smtp"]
pins = "sha256:`+strings.Repeat("ab", 32)+`"
alpn = ["h2", "http/1.1"]
min_version = "1.2"
max_version = "1.2"
ciphers = ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
[forward.connect]
address = ["tcp4://127.0.0.1:1", "[::1]:2"]
tls = true
cert = "client.crt"
key = "client.key"
ca = "ca.crt"
server_name = "server.test"
min_version = "1.3"
[forward.limits]
max_connections = 7
handshake_timeout = "5s"
connect_timeout = "6s"
idle_timeout = "0s"
buffer = "1MiB"
`))
	if doc == nil {
		t.Fatal(bad)
	}
	cfg, found := read(doc)
	if cfg == nil {
		t.Fatal(found.Err())
	}
	f := cfg.forwards[0]
	for what, ok := range map[string]bool{
		"log":             cfg.log.json && cfg.log.level.String() == "WARN",
		"limits":          cfg.maxConnections == 77 && cfg.drain == 4*time.Second,
		"forward's":       f.limits == limits{7, 5 * time.Second, 6 * time.Second, 0, 1 << 20},
		"accept":          f.accept.address == address{"unix", "/run/x"} && f.accept.mode == 0o660,
		"connect":         len(f.connect.addresses) == 2 && f.connect.addresses[0] == address{"tcp4", "127.0.0.1:1"},
		"server":          len(f.accept.tls.TLS.Certificates) == 1 && f.accept.tls.TLS.ClientCAs != nil,
		"client_auth":     f.accept.tls.TLS.ClientAuth == tls.RequireAndVerifyClientCert,
		"versions":        f.accept.tls.TLS.MaxVersion == 0x303 && f.connect.tls.TLS.MinVersion == 0x304,
		"lists":           len(f.accept.tls.TLS.CipherSuites) == 2 && len(f.accept.tls.TLS.NextProtos) == 2,
		"rules":           f.accept.tls.TLS.VerifyConnection != nil && f.connect.tls.TLS.VerifyConnection == nil,
		"client":          f.connect.tls.TLS.ServerName == "server.test" && f.connect.tls.TLS.RootCAs != nil,
		"verification":    !f.connect.tls.TLS.InsecureSkipVerify,
		"preambles":       len(f.accept.preambles) == 2 && len(f.connect.preambles) == 0,
		"handshake limit": f.accept.tls.HandshakeTimeout == 5*time.Second && f.connect.tls.HandshakeTimeout == 5*time.Second,
	} {
		if !ok {
			t.Errorf("%s: not as in the file: %+v", what, f)
		}
	}
}

// A file of every key of datagrams is read as it says, and what is not said is as documented.
func TestEveryKeyOfDatagrams(t *testing.T) {
	folder(t)
	doc, bad := parseTOML("f", []byte(`
config_version = 1
[[forward]]
name = "a"
[forward.accept]
address = "udp6:[::1]:1"
codec = "capwap"
cert = "both.pem"
psk_file = "keys"
mtu = 1400
connection_ids = false
alpn = "coap"
[forward.connect]
address = ["udp:127.0.0.1:2", "udp4://127.0.0.1:3"]
dtls = true
psk_file = "keys"
psk_identity = "Bob"
ciphers = ["PSK-AES128-CCM8", "TLS_PSK_WITH_AES_128_GCM_SHA256"]
answer_timeout = "0s"
[[forward]]
name = "b"
accept.address = "127.0.0.1:1"
accept.dtls = true
accept.codec = "length:16be"
accept.cert = "both.pem"
[forward.connect]
address = "udp:127.0.0.1:2"
dtls = true
server_name = "server.test"
[[forward]]
name = "c"
connect.address = "udp:127.0.0.1:2"
[forward.accept]
address = "udp:127.0.0.1:1"
dtls = true
cert = "both.pem"
ca = "ca.crt"
client_auth = "request"
`))
	if doc == nil {
		t.Fatal(bad)
	}
	cfg, found := read(doc)
	if cfg == nil {
		t.Fatal(found.Err())
	}
	f, g, h := cfg.forwards[0], cfg.forwards[1], cfg.forwards[2]
	in, out := f.accept.dtls, f.connect.dtls
	key, err := out.options.PSK(nil)
	unknown, refused := in.options.PSK([]byte("Carol"))
	for what, ok := range map[string]bool{
		"accept":      f.accept.address == address{"udp6", "[::1]:1"} && in.mtu == 1400 && !in.cids && in.codec != nil,
		"connect":     len(f.connect.addresses) == 2 && f.connect.addresses[1] == address{"udp4", "127.0.0.1:3"},
		"credentials": len(in.tls.Certificates) == 1 && h.accept.dtls.tls.ClientAuth == tls.VerifyClientCertIfGiven,
		"resumption":  h.accept.dtls.options.Sessions == nil && g.accept.dtls.options.Sessions != nil,
		"key":         err == nil && len(key) == 16 && key[0] == 0xcd && string(out.options.PSKIdentity) == "Bob",
		"unknown":     refused != nil && unknown == nil,
		"ciphers":     len(out.options.CipherSuites) == 2 && in.options.CipherSuites == nil,
		"ids":         out.options.SendCID && out.cids,
		"answer":      out.answer == 0 && g.connect.dtls.answer == 30*time.Second && in.answer == 0,
		"limits":      f.limits.idle == time.Minute && f.limits.handshake == 30*time.Second,
		"stream":      g.datagrams() && !g.accept.address.isUDP() && g.accept.tls == nil,
		"verifies":    !g.connect.dtls.tls.InsecureSkipVerify && g.connect.dtls.tls.ServerName == "server.test",
	} {
		if !ok {
			t.Errorf("%s: not as in the file", what)
		}
	}
}

// Whatever a file holds, reading it ends with a configuration or with mistakes that have places.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(accept("address = \":1\"")))
	f.Add([]byte("forward = [ {}, 1 ]\nlimits.x.y = 1979-05-27\n[[a.b]]\n[a.b.c]\n"))
	f.Add([]byte("\"a.b\" = { \"c[0]\" = [[]] }\n[[forward]]\n[[forward.accept]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "/") { // it may name any file
			t.Skip()
		}
		doc, found := parseTOML("f", data)
		var cfg *config
		if doc != nil {
			cfg, found = read(doc)
		}
		if (cfg == nil) != (found.Err() != nil) {
			t.Fatalf("a configuration and mistakes, or neither: %v", found)
		}
		for _, p := range found {
			if lines := strings.Count(string(data), "\n") + 1; p.Place.Line < 1 || p.Place.Line > lines {
				t.Errorf("%v is in none of the %d lines", p, lines)
			}
		}
	})
}
