package forward

import (
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
	selfSigned(t, f.dir, "nameless", now.Add(-time.Hour), now.Add(999*24*time.Hour), func(c *x509.Certificate) { c.DNSNames = nil })
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
	write("both.pem", read("long.crt")+read("long.key"), 0o600)
	write("openboth.pem", read("long.crt")+read("long.key"), 0o644)
	for name := range map[string]bool{"open.key": true, "openboth.pem": true} { // whatever the umask
		if err := os.Chmod(name, map[string]os.FileMode{"open.key": 0o640, "openboth.pem": 0o644}[name]); err != nil {
			t.Fatal(err)
		}
	}
}

// accept and connect are a configuration with one side's keys to be filled in; they begin in lines 5 and 8.
func accept(keys string) string {
	return "config_version = 1\n[[forward]]\nname = \"a\"\n[forward.accept]\n" + keys + "\n[forward.connect]\naddress = \"127.0.0.1:1\"\n"
}

func connect(keys string) string {
	return "config_version = 1\n[[forward]]\nname = \"a\"\naccept.address = \"127.0.0.1:1\"\n[forward.connect]\n" + keys + "\n"
}

// Every mistake is reported, with its line, what is wrong and what to do about it.
func TestMistakes(t *testing.T) {
	folder(t)
	const listen, target, good = "address = \"127.0.0.1:1\"\n", "address = \"127.0.0.1:1\"\n", "cert = \"long.crt\"\nkey = \"long.key\"\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{
			`f:1: config_version: must be there and be 1, the version that this program reads; write: config_version = 1`,
			`f:1: forward: there is none; write [[forward]] with [forward.accept] and [forward.connect]`,
		}},
		{"no TOML", "config_version = 1\nfoo = bar\n", []string{
			`f:2: not TOML: unexpected character U+0062 'b' at start of value; strings need quotation marks, see https://toml.io`,
		}},
		{"twice", "config_version = 1\nconfig_version = 1\n", []string{`f:2: not TOML:`}},
		{"other version", "config_version = 2\n[[forward]]\nname = \"a\"\naccept.address = \":1\"\nconnect.address = \"[::1]:1\"", []string{
			`f:1: config_version: must be there and be 1`,
		}},
		{"unknown keys", accept(listen + "adress = 1\n[logg]\n[limits]\nburst = 1\n"), []string{
			`f:6: forward.accept.adress: unknown key; did you mean "address"?`,
			`f:7: logg: unknown key; did you mean "log"?`,
			`f:9: limits.burst: unknown key; known here: buffer, connect_timeout, drain_timeout, handshake_timeout, idle_timeout, max_connections`,
		}},
		{"unknown keys in lines of their own kinds", "config_version = 1\nforward = [\n { name = \"a\", accept = { address = \":1\", x = 1 },\n   connect = { address = \"[::1]:1\", \"y\" = 1 } },\n]\n", []string{
			`f:3: forward.accept.x: unknown key; known here:`,
			`f:4: forward.connect.y: unknown key; known here:`,
		}},
		{"types", "config_version = \"1\"\nlog = 5\n[limits]\nmax_connections = \"9\"\nidle_timeout = 9\n[forward]\nname = 1\n", []string{
			`f:1: config_version: must be a whole number, without quotation marks`,
			`f:1: config_version: must be there and be 1`,
			`f:2: log: must be a table: [log]`,
			`f:4: limits.max_connections: must be a whole number, without quotation marks`,
			`f:5: limits.idle_timeout: must be a string: write it between quotation marks`,
			`f:6: forward: must be a table: [[forward]], in double brackets`,
		}},
		{"types of lists", connect(target + "tls = \"yes\"\nserver_name = \"a\"\nalpn = [1]\nciphers = 5"), []string{
			`f:7: forward.connect.tls: must be true or false, without quotation marks`,
			`f:8: forward.connect.server_name: has no effect`,
			`f:9: forward.connect.alpn: must be a string, or a list of strings: ["a", "b"]`,
			`f:9: forward.connect.alpn: has no effect`,
			`f:10: forward.connect.ciphers: must be a string, or a list of strings: ["a", "b"]`,
			`f:10: forward.connect.ciphers: has no effect`,
		}},
		{"values", "config_version = 1\n[log]\nlevel = \"loud\"\nformat = \"xml\"\n[limits]\nmax_connections = 0\nidle_timeout = \"5\"\nhandshake_timeout = \"0s\"\nbuffer = \"1KiB\"\ndrain_timeout = \"-1s\"\n" +
			"[[forward]]\nname = \" \"\naccept = { address = \"unix:/a\", mode = \"0888\" }\nconnect.address = []\n[forward.limits]\nbuffer = \"64k\"", []string{
			`f:3: log.level: "loud" is not allowed; choose one of info, debug, warn, error`,
			`f:4: log.format: "xml" is not allowed; choose one of text, json`,
			`f:6: limits.max_connections: must be from 1 to 1073741824`,
			`f:7: limits.idle_timeout: "5" is no duration; write "500ms", "30s", "5m" or "1h30m"`,
			`f:8: limits.handshake_timeout: "0s" is too short; the least is 1ms`,
			`f:9: limits.buffer: "1KiB" is out of bounds; 32KiB to 4MiB are allowed`,
			`f:10: limits.drain_timeout: "-1s" is too short; the least is 0s`,
			`f:12: forward.name: is empty; leave the key out, or give it a value`,
			`f:13: forward.accept.mode: "0888" are no permissions; write them in octal: "0660"`,
			`f:14: forward.connect.address: is an empty list; write where to connect`,
			`f:16: forward.limits.buffer: "64k" is no size; write "64KiB" or "1MiB"`,
		}},
		{"missing", "config_version = 1\n[[forward]]\n[[forward]]\n[forward.accept]\n", []string{
			`f:2: forward.name: is missing; write: name = "web"`,
			`f:2: forward.accept.address: is missing; write where to listen: address = "127.0.0.1:1000" or "unix:/run/name.sock"`,
			`f:2: forward.connect.address: is missing; write where to connect`,
			`f:3: forward.name: is missing`,
			`f:3: forward.connect.address: is missing`,
			`f:4: forward.accept.address: is missing`,
		}},
		{"taken", connect(target) + "[[forward]]\nname = \"a\"\naccept.address = \"127.0.0.1:1\"\nconnect.address = \"unix:/x\"\n", []string{
			`f:9: forward.name: the name is taken: "a" stands in line 3, too; each forward needs its own`,
			`f:10: forward.accept.address: the address is taken: "127.0.0.1:1" stands in line 4, too; each forward needs its own`,
		}},
		{"addresses", connect("address = [\n\"1000\", \":1000\", \"localhost\", \"a:b:c\", \"a:0\", \"a:99999\", \"ftp://a:1\", \"unix:\", \"unix:/" + strings.Repeat("x", 110) + "\"]"), []string{
			`f:6: forward.connect.address: "1000" has no host; write "127.0.0.1:1000", or ":1000" to listen on all interfaces`,
			`f:6: forward.connect.address: ":1000" has no host; write "127.0.0.1:1000"`,
			`f:6: forward.connect.address: "localhost": missing port in address; write HOST:PORT, and an IPv6 address in [brackets]`,
			`f:6: forward.connect.address: "a:b:c": too many colons in address; write HOST:PORT, and an IPv6 address in [brackets]`,
			`f:6: forward.connect.address: port 0 cannot be connected to; write the number of the port`,
			`f:6: forward.connect.address: "99999" is no port; write a number from 1 to 65535, or a name from /etc/services`,
			`f:6: forward.connect.address: "ftp://a:1" is no address; write HOST:PORT, tcp://HOST:PORT or unix:PATH`,
			`f:6: forward.connect.address: no path after unix:; write unix:/run/name.sock`,
			`f:6: forward.connect.address: the path has 111 bytes, a Unix socket's may have 103; choose a shorter one`,
		}},
		{"mode of TCP", accept(listen + `mode = "0600"`), []string{
			`f:6: forward.accept.mode: is for Unix sockets; take it out`,
		}},
		{"plain with keys of TLS", accept(listen + "cert = \"x\"\nclient_auth = \"require\"\nmin_version = \"1.3\""), []string{
			`f:6: forward.accept.cert: has no effect, this side is plain; set forward.accept.tls for plain TLS, or forward.accept.codec for TLS in a protocol`,
			`f:7: forward.accept.client_auth: has no effect`,
			`f:8: forward.accept.min_version: has no effect`,
		}},
		{"codec without TLS", accept(listen + good + "tls = false\ncodec = \"raw\""), []string{
			`f:8: forward.accept.tls: is false, but a codec carries TLS; take one of the two out`,
		}},
		{"codecs", accept(listen+good+"codec = \"lenght:16be\"") + "codec = \"length:99\"\nserver_name = \"a\"", []string{
			`f:8: forward.accept.codec: codecs: unknown codec "lenght"`,
			`f:11: forward.connect.codec: length: bad width "99"`,
		}},
		{"server without certificate", accept(listen + "tls = true"), []string{
			`f:4: forward.accept.cert: is missing: who accepts TLS needs a certificate; name its file, and that of its key`,
		}},
		{"files", accept(listen+"tls = true\ncert = \"none\"\nkey = \"gone\"\nca = \"empty\"\nclient_auth = \"require\"") + "tls = true\ncert = \"broken\"\nkey = \"long.crt\"\nca = \"none\"", []string{
			`f:7: forward.accept.cert: none: no such file or directory; name a PEM file with certificates that this user may read`,
			`f:8: forward.accept.key: gone: no such file or directory; name a PEM file with a private key that this user may read`,
			`f:9: forward.accept.ca: empty: no certificate in PEM form is in it; it needs "-----BEGIN CERTIFICATE-----"`,
			`f:14: forward.connect.cert: broken: certificate 1: x509: malformed certificate; make it anew`,
			`f:15: forward.connect.key: long.crt: others than its owner may use this private key (mode 0644); run: chmod 600 long.crt`,
			`f:16: forward.connect.ca: none: no such file or directory`,
		}},
		{"keys", accept(listen+"tls = true\ncert = \"long.crt\"\nkey = \"open.key\"") + "tls = true\ncert = \"long.crt\"\nkey = \"server.key\"", []string{
			`f:8: forward.accept.key: open.key: others than its owner may use this private key (mode 0640); run: chmod 600 open.key`,
			`f:13: forward.connect.key: tls: private key does not match public key; the key must be that of the first certificate in long.crt`,
		}},
		{"more keys", accept(listen+"tls = true\ncert = \"openboth.pem\"") + "tls = true\nkey = \"long.key\"", []string{
			`f:7: forward.accept.cert: openboth.pem: others than its owner may use this private key (mode 0644); run: chmod 600 openboth.pem`,
			`f:11: forward.connect.key: needs a certificate; set forward.connect.cert`,
		}},
		{"keys that are none", accept(listen+"tls = true\ncert = \"long.crt\"\nkey = \"encrypted\"") + "tls = true\ncert = \"long.crt\"\nkey = \"empty\"", []string{
			`f:8: forward.accept.key: encrypted: the private key is encrypted; run: openssl pkey -in encrypted -out NEW, and name NEW`,
			`f:13: forward.connect.key: empty: no private key in PEM form is in it; it needs "-----BEGIN PRIVATE KEY-----"`,
		}},
		{"expired", accept(listen + "tls = true\ncert = \"expired.crt\"\nkey = \"expired.key\""), []string{
			`f:7: forward.accept.cert: expired.crt: the certificate of CN=expired.test expired on `,
		}},
		{"future", accept(listen + "tls = true\ncert = \"future.crt\"\nkey = \"future.key\""), []string{
			`f:7: forward.accept.cert: future.crt: the certificate of CN=future.test is valid from `,
		}},
		{"usage", accept(listen + "tls = true\ncert = \"clientonly.crt\"\nkey = \"clientonly.key\""), []string{
			`f:7: forward.accept.cert: the certificate is not for servers (extendedKeyUsage = serverAuth); get one that is`,
		}},
		{"client_auth without ca", accept(listen + good + "tls = true\nclient_auth = \"request\"\nclient_names = \"a\""), []string{
			`f:4: forward.accept.ca: is missing: forward.accept.client_auth needs to know whose certificates to accept; name the authority's file`,
			`f:10: forward.accept.client_names: lets clients without a certificate pass; set forward.accept.client_auth to "require"`,
		}},
		{"ca without client_auth", accept(listen + good + "tls = true\nca = \"ca.crt\"\npins = \"12\""), []string{
			`f:9: forward.accept.ca: has no effect: no client is asked for a certificate; set forward.accept.client_auth to "require"`,
			`f:10: forward.accept.pins: "12" is no SHA-256 of a public key; take 64 hexadecimal digits from: openssl x509`,
			`f:10: forward.accept.pins: lets clients without a certificate pass`,
		}},
		{"keys of the other role", accept(listen+good+"tls = true\nserver_name = \"a\"") + "tls = true\nclient_auth = \"require\"", []string{
			`f:9: forward.accept.server_name: unknown key; known here: address,`,
			`f:13: forward.connect.client_auth: unknown key; known here:`,
		}},
		{"server names", connect("address = \"unix:/x\"\ntls = true") + "[[forward]]\nname = \"b\"\naccept.address = \":2\"\nconnect = { address = \"a:1\", tls = true, server_name = \"a:1\" }\n" +
			"[[forward]]\nname = \"c\"\naccept.address = \":3\"\nconnect = { address = [\"a:1\", \"b:1\"], tls = true }\n", []string{
			`f:5: forward.connect.server_name: is missing, and the address does not tell it; write the name in the server's certificate`,
			`f:11: forward.connect.server_name: "a:1" is no host name; write it without port or scheme`,
			`f:15: forward.connect.server_name: is missing`,
		}},
		{"versions", connect(target + "tls = true\nmin_version = \"1.3\"\nmax_version = \"1.2\"\nciphers = [\"ECDHE-RSA-AES128-GCM-SHA256\", \"RC4\"]\nalpn = \"\""), []string{
			`f:9: forward.connect.max_version: is less than forward.connect.min_version; exchange them`,
			`f:10: forward.connect.ciphers: "RC4" is not allowed; choose from ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-`,
			`f:10: forward.connect.ciphers: are for TLS 1.2, which forward.connect.min_version forbids; take one of the two out`,
			`f:11: forward.connect.alpn: "" is no protocol; names have 1 to 255 bytes, for example "h2"`,
		}},
		{"old versions", connect(target + "tls = true\nmin_version = \"1.0\""), []string{
			`f:8: forward.connect.min_version: "1.0" is not allowed; choose one of 1.2, 1.3`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Split(mistakes(c.text), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("%d mistakes:\n%s\nwant %d:\n%s", len(got), strings.Join(got, "\n"), len(c.want), strings.Join(c.want, "\n"))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got  %s\nwant %s", got[i], want)
				}
			}
		})
	}
}

// mistakes returns what is wrong with a file f.
func mistakes(text string) string {
	doc, found := parseTOML("f", []byte(text))
	if doc != nil {
		_, found = read(doc)
	}
	if err := found.err(); err != nil {
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
			`f:7: forward.accept.cert: warning: the certificate has no subjectAltName: clients refuse it; get one with DNS:NAME or IP:ADDRESS`},
		{"old authority", connect("address = \"a:1\"\ntls = true\nca = \"expired.crt\""),
			`f:8: forward.connect.ca: warning: expired.crt: the certificate of CN=expired.test expired on `},
		{"files", connect("address = \"a:1\"") + "[limits]\nmax_connections = 1000000000\n",
			`f:8: limits.max_connections: warning: 1000000000 connections need 2000000064 open files, `},
		{"nothing", accept("address = \":1\"\ntls = true\ncert = \"both.pem\""), ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, _ := parseTOML("f", []byte(c.text))
			cfg, found := read(doc)
			if cfg == nil {
				t.Fatal(found.err())
			}
			var got []string
			for _, p := range found.warnings() {
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
		t.Fatal(found.err())
	}
	f := cfg.forwards[0]
	for what, ok := range map[string]bool{
		"log":             cfg.log.json && cfg.log.level.String() == "WARN",
		"limits":          cfg.maxConnections == 77 && cfg.drain == 4*time.Second,
		"forward's":       f.limits == limits{7, 5 * time.Second, 6 * time.Second, 0, 1 << 20},
		"accept":          f.accept.address == address{"unix", "/run/x"} && f.accept.mode == 0o660,
		"connect":         len(f.connect.addresses) == 2 && f.connect.addresses[0] == address{"tcp4", "127.0.0.1:1"},
		"server":          len(f.accept.tls.TLS.Certificates) == 1 && f.accept.tls.TLS.ClientAuth == 4 && f.accept.tls.TLS.ClientCAs != nil,
		"versions":        f.accept.tls.TLS.MaxVersion == 0x303 && f.connect.tls.TLS.MinVersion == 0x304,
		"lists":           len(f.accept.tls.TLS.CipherSuites) == 2 && len(f.accept.tls.TLS.NextProtos) == 2,
		"rules":           f.accept.tls.TLS.VerifyConnection != nil && f.connect.tls.TLS.VerifyConnection == nil,
		"client":          f.connect.tls.TLS.ServerName == "server.test" && f.connect.tls.TLS.RootCAs != nil,
		"verification":    !f.connect.tls.TLS.InsecureSkipVerify,
		"handshake limit": f.accept.tls.HandshakeTimeout == 5*time.Second && f.connect.tls.HandshakeTimeout == 5*time.Second,
	} {
		if !ok {
			t.Errorf("%s: not as in the file: %+v", what, f)
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
		if (cfg == nil) != (found.err() != nil) {
			t.Fatalf("a configuration and mistakes, or neither: %v", found)
		}
		for _, p := range found {
			if lines := strings.Count(string(data), "\n") + 1; p.place.line < 1 || p.place.line > lines {
				t.Errorf("%v is in none of the %d lines", p, lines)
			}
		}
	})
}
