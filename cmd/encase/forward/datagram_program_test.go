package forward

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/porttest"
)

// These tests have DTLS programs at the other end that no one here wrote: OpenSSL's (Debian: openssl) and GnuTLS's
// (gnutls-bin).

const (
	programKey      = "sixteen bytes..."
	programIdentity = "client"
)

// A dtlsMethod is a way to authenticate: keys of a forward that accepts and of one that connects, and what the programs
// are told at the other end.
type dtlsMethod struct {
	name            string
	accept, connect func(t *testing.T, f testFiles) string
	cipher          string

	opensslClient, opensslServer, gnutlsClient, gnutlsServer []string
}

func dtlsServerKeys(_ *testing.T, f testFiles) string { return f.server("raw") }
func dtlsClientKeys(_ *testing.T, f testFiles) string { return f.client("raw") }

func pskKeys(cipher string) (accept, connect func(*testing.T, testFiles) string) {
	accept = func(t *testing.T, _ testFiles) string {
		keys := keyFile(t, "a", "b", programIdentity, programKey)
		return fmt.Sprintf("dtls = true\npsk_file = %q\nciphers = %q\n", keys, cipher)
	}
	connect = func(t *testing.T, f testFiles) string {
		return accept(t, f) + fmt.Sprintf("psk_identity = %q\n", programIdentity)
	}
	return accept, connect
}

func dtlsMethods() []dtlsMethod {
	gcmAccept, gcmConnect := pskKeys("PSK-AES128-GCM-SHA256")
	ccmAccept, ccmConnect := pskKeys("PSK-AES128-CCM8")
	digits := hex.EncodeToString([]byte(programKey))
	gnutlsKey := []string{"--pskusername=" + programIdentity, "--pskkey=" + digits}
	const gnutlsPSK = "--priority=NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:"
	return []dtlsMethod{
		{"certificates", dtlsServerKeys, dtlsClientKeys, "ECDHE_ECDSA",
			[]string{"-CAfile", "ca.crt", "-servername", "server.test", "-verify_hostname", "server.test",
				"-verify_return_error"},
			[]string{"-cert", "server.crt", "-key", "server.key"},
			[]string{"--x509cafile=ca.crt", "--verify-hostname=server.test"},
			[]string{"--x509certfile=server.crt", "--x509keyfile=server.key", "--disable-client-cert"}},
		{"client certificates",
			func(t *testing.T, f testFiles) string {
				return dtlsServerKeys(t, f) + fmt.Sprintf("ca = %q\nclient_auth = \"require\"\nclient_names = \"client.test\"\n",
					f.path("ca.crt"))
			},
			func(t *testing.T, f testFiles) string {
				return dtlsClientKeys(t, f) + fmt.Sprintf("cert = %q\nkey = %q\n", f.path("client.crt"), f.path("client.key"))
			}, "ECDHE_ECDSA",
			[]string{"-CAfile", "ca.crt", "-servername", "server.test", "-verify_return_error", "-cert", "client.crt",
				"-key", "client.key"},
			[]string{"-cert", "server.crt", "-key", "server.key", "-CAfile", "ca.crt", "-Verify", "2",
				"-verify_return_error"},
			[]string{"--x509cafile=ca.crt", "--verify-hostname=server.test", "--x509certfile=client.crt",
				"--x509keyfile=client.key"},
			[]string{"--x509certfile=server.crt", "--x509keyfile=server.key", "--x509cafile=ca.crt",
				"--require-client-cert", "--verify-client-cert"}},
		{"key, GCM", gcmAccept, gcmConnect, "PSK_WITH_AES_128_GCM",
			[]string{"-psk", digits, "-psk_identity", programIdentity, "-cipher", "PSK-AES128-GCM-SHA256"},
			[]string{"-psk", digits, "-nocert", "-cipher", "PSK-AES128-GCM-SHA256"},
			append(gnutlsKey, gnutlsPSK+"+AES-128-GCM"),
			[]string{"--pskpasswd=keys", gnutlsPSK + "+AES-128-GCM"}},
		{"key, CCM_8", ccmAccept, ccmConnect, "PSK_WITH_AES_128_CCM_8",
			[]string{"-psk", digits, "-psk_identity", programIdentity, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"},
			[]string{"-psk", digits, "-nocert", "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"},
			append(gnutlsKey, gnutlsPSK+"+AES-128-CCM-8"),
			[]string{"--pskpasswd=keys", gnutlsPSK + "+AES-128-CCM-8"}},
	}
}

// dtlsFolder makes the working folder one with certificates and keys.
func dtlsFolder(t *testing.T) testFiles {
	f := certificates(t)
	t.Chdir(f.dir)
	text := programIdentity + ":" + hex.EncodeToString([]byte(programKey)) + "\n"
	if err := os.WriteFile("keys", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// A DTLS client of another make gets its lines back from a plain server.
func TestDTLSClients(t *testing.T) {
	needs(t, "openssl", "gnutls-cli")
	for _, m := range dtlsMethods() {
		for program, args := range map[string][]string{"openssl": m.opensslClient, "gnutls-cli": m.gnutlsClient} {
			t.Run(m.name+"/"+program, func(t *testing.T) {
				f := dtlsFolder(t)
				d := run(t, forwardTOML("out", anyUDP, m.accept(t, f), serveUDP(t, sameBack), ""))
				c := startDTLSClient(t, program, d.address("out"), args...)
				c.say("do you hear me?")
				c.expectTimes(map[string]int{"openssl": 1, "gnutls-cli": 1}[program], "do you hear me?")
				c.stdin.Close()
				c.wait()
				e := d.find(t, 0, "connection closed", "by", "client")
				got, _ := e["client_tls"].(map[string]any)
				if name, _ := got["cipher"].(string); !strings.Contains(name, m.cipher) {
					t.Errorf("the log says %v, want %s", e, m.cipher)
				}
				if strings.HasPrefix(m.name, "client") && got["peer"] != "CN=client.test" {
					t.Errorf("the log says %v", got)
				}
				if strings.HasPrefix(m.name, "key") && got["identity"] != programIdentity {
					t.Errorf("the log says %v", got)
				}
			})
		}
	}
}

func startDTLSClient(t *testing.T, program, address string, args ...string) *program {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(address, "udp:"))
	if err != nil {
		t.Fatal(err)
	}
	if program == "openssl" {
		return startProgram(t, program, append([]string{"s_client", "-dtls1_2", "-quiet", "-no_ign_eof",
			"-connect", net.JoinHostPort(host, port)}, args...)...)
	}
	return startProgram(t, program, append(append([]string{"--udp", "--mtu=1300", "-p", port}, args...), host)...)
}

// A plain client speaks with a DTLS server of another make.
func TestDTLSServers(t *testing.T) {
	needs(t, "openssl", "gnutls-serv")
	for _, m := range dtlsMethods() {
		t.Run(m.name+"/openssl", func(t *testing.T) {
			f := dtlsFolder(t)
			address := porttest.Free(t)
			s := startProgram(t, "openssl", append([]string{"s_server", "-quiet", "-dtls1_2", "-accept", address},
				m.opensslServer...)...)
			d := run(t, forwardTOML("in", anyUDP, "", "udp:"+address, m.connect(t, f)))
			c := d.udp("in")
			c.Write([]byte("from the client\n"))
			s.expect("from the client")
			s.say("from the server")
			if got := hearUDP(t, c); got != "from the server\n" {
				t.Errorf("got %q", got)
			}
		})
		t.Run(m.name+"/gnutls-serv", func(t *testing.T) {
			f := dtlsFolder(t)
			address := porttest.Free(t)
			startProgram(t, "gnutls-serv", append([]string{"--udp", "--echo", "--mtu=1300", "-p", portOf(address)},
				m.gnutlsServer...)...)
			d := run(t, forwardTOML("in", anyUDP, "", "udp:"+address, m.connect(t, f)))
			mustAsk(t, d.udp("in"), "do you hear me?\n", "do you hear me?\n")
		})
	}
}

func hearUDP(t testing.TB, c net.Conn) string {
	t.Helper()
	buf := make([]byte, 1<<16)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		c.SetReadDeadline(end)
		if n, err := c.Read(buf); err == nil {
			return string(buf[:n])
		}
	}
	t.Fatal("nothing comes")
	return ""
}

// Sessions are resumed: by programs with a forward, and by a forward with a program.
func TestDTLSResumes(t *testing.T) {
	needs(t, "openssl")
	f := dtlsFolder(t)
	t.Run("client", func(t *testing.T) {
		d := run(t, forwardTOML("out", anyUDP, f.server("raw"), serveUDP(t, sameBack), ""))
		for i, keep := range []string{"-sess_out", "-sess_in"} {
			c := startDTLSClient(t, "openssl", d.address("out"), "-CAfile", "ca.crt", "-servername", "server.test",
				keep, "session")
			c.say("hello")
			c.expect("hello")
			c.stdin.Close()
			c.wait()
			e := d.find(t, i, "connection closed")
			if got, _ := e["client_tls"].(map[string]any); got["resumed"] != (i > 0) {
				t.Errorf("connection %d: the log says %v", i, got)
			}
		}
	})
	t.Run("server", func(t *testing.T) {
		address := porttest.Free(t)
		s := startProgram(t, "openssl", "s_server", "-quiet", "-dtls1_2", "-accept", address, "-cert", "server.crt",
			"-key", "server.key")
		d := run(t, forwardTOML("in", anyUDP, "", "udp:"+address, f.client("raw"))+"[limits]\nidle_timeout = \"200ms\"\n")
		for i := range 2 {
			line := fmt.Sprintf("line %d", i)
			c := d.udp("in")
			c.Write([]byte(line + "\n"))
			s.expect(line)
			e := d.find(t, i, "connection closed")
			if got, _ := e["server_tls"].(map[string]any); got["resumed"] != (i > 0) {
				t.Errorf("connection %d: the log says %v", i, got)
			}
		}
	})
}

// A client without the certificate that is wanted, and one with a stranger's, is refused, and the log says why.
func TestDTLSRefusesClients(t *testing.T) {
	needs(t, "openssl")
	f := dtlsFolder(t)
	other := certificates(t)
	keys := f.server("raw") + fmt.Sprintf("ca = %q\nclient_auth = \"require\"\n", f.path("ca.crt"))
	for name, args := range map[string][]string{
		"none":     nil,
		"stranger": {"-cert", other.path("client.crt"), "-key", other.path("client.key")},
	} {
		t.Run(name, func(t *testing.T) {
			d := run(t, forwardTOML("out", anyUDP, keys, serveUDP(t, sameBack), ""))
			startDTLSClient(t, "openssl", d.address("out"), append(args, "-CAfile", "ca.crt", "-servername", "server.test")...)
			e := d.find(t, 0, "connection failed", "reason", "tls")
			if d.count("accepted") > 0 || e.text("remedy") == "" || !strings.HasPrefix(e.text("peer"), "127.0.0.1:") {
				t.Errorf("let in, or without a remedy, or nobody's: %v", e)
			}
		})
	}
}

// A server with another name, or of another authority, gets nothing, and the log says why.
func TestDTLSRefusesServers(t *testing.T) {
	needs(t, "openssl")
	f := dtlsFolder(t)
	other := certificates(t)
	for name, c := range map[string]struct{ keys, remedy string }{
		"name": {strings.Replace(f.client("raw"), "server.test", "another.test", 1), "forward.connect.server_name"},
		"ca":   {other.client("raw"), "forward.connect.ca"},
	} {
		t.Run(name, func(t *testing.T) {
			address := porttest.Free(t)
			s := startProgram(t, "openssl", "s_server", "-quiet", "-dtls1_2", "-accept", address, "-cert", "server.crt",
				"-key", "server.key")
			d := run(t, forwardTOML("in", anyUDP, "", "udp:"+address, c.keys))
			d.udp("in").Write([]byte("secret\n"))
			d.find(t, 0, "connection failed", "remedy", c.remedy)
			if strings.Contains(s.output(), "secret") {
				t.Error("the server has got the message")
			}
		})
	}
}

// A resolver program asks a server of DNS through DTLS.
func TestDNS(t *testing.T) {
	needs(t, "dig", "unbound")
	f := dtlsFolder(t)
	address := porttest.Free(t)
	conf := fmt.Sprintf(`server:
 interface: 127.0.0.1@%s
 do-daemonize: no
 use-syslog: no
 chroot: ""
 username: ""
 pidfile: ""
 directory: %q
 local-zone: example. static
 local-data: "device.example. A 192.0.2.7"
`, portOf(address), f.dir)
	if err := os.WriteFile("unbound.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	startProgram(t, "unbound", "-d", "-c", f.path("unbound.conf"))
	in, _ := dtlsPair(t, f, "length:16be", "udp:"+address, "")
	entrance := strings.TrimPrefix(in.address("in"), "udp:")
	dig := startProgram(t, "dig", "@127.0.0.1", "-p", portOf(entrance), "+short", "+tries=10", "+time=1", "device.example", "A")
	dig.expect("192.0.2.7")
}
