package dtls

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// These tests need the programs openssl (Debian: openssl) and gnutls-cli, gnutls-serv (gnutls-bin). Without them they
// are skipped, except where the environment variable CI says that everything must be there.

// A peer is a real program at the other end of a UDP socket on loopback.
type peer struct {
	t     *testing.T
	end   *end
	stdin io.WriteCloser
	mu    sync.Mutex
	out   bytes.Buffer
}

func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// Write collects what the program prints.
func (p *peer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *peer) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// waitFor waits until the program has printed a text.
func (p *peer) waitFor(text string) {
	p.t.Helper()
	for start := time.Now(); !strings.Contains(p.printed(), text); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 15*time.Second {
			p.t.Fatalf("the program does not print %q, but:\n%s\nthe engine: %+v", text, p.printed(), p.end.Stats())
		}
	}
}

// type writes a line to the program.
func (p *peer) enter(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err, p.printed())
	}
}

// start runs a program until the test ends.
func (p *peer) start(name string, args ...string) {
	p.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = p, p
	var err error
	p.stdin, err = cmd.StdinPipe()
	check(p.t, err)
	check(p.t, cmd.Start())
	p.t.Cleanup(func() {
		p.stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// freePort returns a UDP port that nobody listens on.
func freePort(t *testing.T) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	defer c.Close()
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	check(t, err)
	return port
}

// relay moves datagrams between an engine and a socket. A server sends to whoever has sent last.
func relay(t *testing.T, e *Engine, conn *net.UDPConn) *end {
	x := newEnd(e)
	var mu sync.Mutex
	var last *net.UDPAddr
	x.wire = func(d []byte) {
		mu.Lock()
		defer mu.Unlock()
		if conn.RemoteAddr() != nil {
			conn.Write(d)
		} else if last != nil {
			conn.WriteToUDP(d, last)
		}
	}
	x.idle.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil && strings.Contains(err.Error(), "closed") {
				return
			}
			if n > 0 {
				mu.Lock()
				last = from
				mu.Unlock()
				x.in <- bytes.Clone(buf[:n])
			}
		}
	})
	x.idle.Go(x.run)
	t.Cleanup(func() {
		conn.Close()
		close(x.stop)
		x.idle.Wait()
		x.Abort(nil)
	})
	return x
}

// dialTo lets a client of ours connect to a port.
func (s *setup) dialTo(t *testing.T, port string) *end {
	t.Helper()
	client, _ := s.makePair(t)
	addr, err := net.ResolveUDPAddr("udp", "127.0.0.1:"+port)
	check(t, err)
	conn, err := net.DialUDP("udp", nil, addr)
	check(t, err)
	return relay(t, client, conn)
}

// listen lets a server of ours wait at a port.
func (s *setup) listen(t *testing.T) (e *end, port string) {
	t.Helper()
	_, server := s.makePair(t)
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(t, err)
	_, port, err = net.SplitHostPort(conn.LocalAddr().String())
	check(t, err)
	return relay(t, server, conn), port
}

func (e *end) opened(t *testing.T) {
	t.Helper()
	e.until(t, "the handshake", func() bool { return e.State().Phase == bio.PhaseOpen })
}

// hears waits until the engine has got a message with a text.
func (e *end) hears(t *testing.T, text string) {
	t.Helper()
	e.until(t, text, func() bool { return bytes.Contains(bytes.Join(e.got, nil), []byte(text)) })
}

// A variant is a pair of credentials and what the other programs call them.
type variant struct {
	name    string
	make    func(t *testing.T) *setup
	openssl []string // -cipher and the like
	gnutls  []string // priority and the like
	files   bool     // certificates, client's too
}

const gnutlsBase = "NONE:+VERS-DTLS1.2:+COMP-NULL:+GROUP-ALL:+SIGN-ALL:+MAC-ALL"

var pskHex = hex.EncodeToString([]byte("0123456789abcdef"))

var variants = []variant{
	{"ecdsa", mutual(ecKey, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
		[]string{"-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"},
		[]string{"--priority", gnutlsBase + ":+ECDHE-ECDSA:+AES-128-GCM"}, true},
	{"rsa", mutual(rsKey, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
		[]string{"-cipher", "ECDHE-RSA-AES256-GCM-SHA384"},
		[]string{"--priority", gnutlsBase + ":+ECDHE-RSA:+AES-256-GCM"}, true},
	{"ed25519", mutual(edKey, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
		[]string{"-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"},
		[]string{"--priority", gnutlsBase + ":+ECDHE-ECDSA:+CHACHA20-POLY1305"}, true},
	{"ccm", mutual(ecKey, TLS_ECDHE_ECDSA_WITH_AES_128_CCM), []string{"-cipher", "ECDHE-ECDSA-AES128-CCM"},
		[]string{"--priority", gnutlsBase + ":+ECDHE-ECDSA:+AES-128-CCM"}, true},
	{"psk-gcm", psk(TLS_PSK_WITH_AES_128_GCM_SHA256), []string{"-psk", pskHex, "-cipher", "PSK-AES128-GCM-SHA256"},
		[]string{"--priority", gnutlsBase + ":+PSK:+AES-128-GCM"}, false},
	{"psk-ccm8", psk(TLS_PSK_WITH_AES_128_CCM_8), []string{"-psk", pskHex, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"},
		[]string{"--priority", gnutlsBase + ":+PSK:+AES-128-CCM-8"}, false},
	{"ecdhe-psk", psk(TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256),
		[]string{"-psk", pskHex, "-cipher", "ECDHE-PSK-CHACHA20-POLY1305"},
		[]string{"--priority", gnutlsBase + ":+ECDHE-PSK:+CHACHA20-POLY1305"}, false},
}

func psk(suite uint16) func(*testing.T) *setup {
	return func(*testing.T) *setup { return pskSetup().suite(suite) }
}

// mutual authenticates both ends by certificates, which it writes to files as well.
func mutual(k kind, suite uint16) func(*testing.T) *setup {
	return func(t *testing.T) *setup {
		a := newAuthority(t)
		s := &setup{
			client: bio.Config{TLS: &tls.Config{ServerName: serverName, RootCAs: a.pool,
				Certificates: []tls.Certificate{a.issue(t, k, "client.example")}}},
			server: bio.Config{TLS: &tls.Config{ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
				Certificates: []tls.Certificate{a.issue(t, k, serverName)}}},
		}
		writePEM(t, "ca.crt", "CERTIFICATE", a.cert.Raw)
		for name, c := range map[string]tls.Certificate{
			"client": s.client.TLS.Certificates[0], "server": s.server.TLS.Certificates[0],
		} {
			key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
			check(t, err)
			writePEM(t, name+".key", "PRIVATE KEY", key)
			writePEM(t, name+".crt", "CERTIFICATE", c.Certificate[0])
		}
		return s.suite(suite)
	}
}

// writePEM writes into the folder of the test, which is the current one.
func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	check(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// interop runs a test for every variant, in a folder of its own.
func interop(t *testing.T, program string, test func(t *testing.T, v variant, s *setup)) {
	needProgram(t, program)
	for _, v := range variants {
		if v.name == "ed25519" && t.Name() == "TestOpenSSLServer" {
			continue // a server of OpenSSL's knows Ed25519 in TLS 1.2, but not in DTLS 1.2
		}
		t.Run(v.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			test(t, v, v.make(t))
		})
	}
}

func TestOpenSSLServer(t *testing.T) {
	interop(t, "openssl", func(t *testing.T, v variant, s *setup) {
		p, port := &peer{t: t}, freePort(t)
		args := []string{"s_server", "-dtls1_2", "-accept", "127.0.0.1:" + port, "-listen", "-mtu", "1400"}
		if v.files {
			args = append(args, "-cert", "server.crt", "-key", "server.key", "-CAfile", "ca.crt", "-Verify", "2",
				"-verify_return_error")
		} else {
			args = append(args, "-nocert")
		}
		p.start("openssl", append(args, v.openssl...)...)
		p.waitFor("ACCEPT")
		p.end = s.dialTo(t, port)
		p.end.opened(t)
		p.converse()
	})
}

func TestOpenSSLClient(t *testing.T) {
	interop(t, "openssl", func(t *testing.T, v variant, s *setup) {
		e, port := s.listen(t)
		p := &peer{t: t, end: e}
		args := []string{"s_client", "-dtls1_2", "-connect", "127.0.0.1:" + port, "-mtu", "1400"}
		if v.files {
			args = append(args, "-cert", "client.crt", "-key", "client.key", "-CAfile", "ca.crt",
				"-servername", serverName, "-verify_return_error", "-verify_hostname", serverName)
		} else {
			args = append(args, "-psk_identity", "client-7")
		}
		p.start("openssl", append(args, v.openssl...)...)
		e.opened(t)
		if v.files && e.State().TLS.ServerName != serverName {
			t.Errorf("openssl asks for %q", e.State().TLS.ServerName)
		}
		p.converse()
	})
}

// hear sends a line to the program until it prints it: the first may overtake our Finished, and is dropped then.
func (p *peer) hear(line string) {
	p.t.Helper()
	for range 10 {
		p.end.say(p.t, []byte(line+"\n"))
		for start := time.Now(); time.Since(start) < time.Second; time.Sleep(5 * time.Millisecond) {
			if strings.Contains(p.printed(), line) {
				return
			}
		}
	}
	p.waitFor(line)
}

// converse sends a line in each direction.
func (p *peer) converse() {
	p.t.Helper()
	p.hear("from the engine")
	p.enter("from the program")
	p.end.hears(p.t, "from the program")
	if s := p.end.Stats(); s.Forged+s.Malformed+s.Replayed > 0 {
		p.t.Errorf("%+v", s)
	}
}

func TestGnuTLSServer(t *testing.T) {
	interop(t, "gnutls-serv", func(t *testing.T, v variant, s *setup) {
		p, port := &peer{t: t}, freePort(t)
		args := append([]string{"--udp", "--echo", "--port=" + port, "--mtu=1400"}, v.gnutls...)
		if v.files {
			args = append(args, "--x509certfile=server.crt", "--x509keyfile=server.key", "--x509cafile=ca.crt",
				"--require-client-cert", "--verify-client-cert")
		} else {
			check(t, os.WriteFile("psk.txt", []byte("client-7:"+pskHex+"\n"), 0o600))
			args = append(args, "--pskpasswd=psk.txt")
		}
		p.start("gnutls-serv", args...)
		p.waitFor("listening on")
		p.end = s.dialTo(t, port)
		p.end.opened(t)
		p.end.say(t, []byte("to be echoed\n"))
		p.end.hears(t, "to be echoed")
	})
}

func TestGnuTLSClient(t *testing.T) {
	interop(t, "gnutls-cli", func(t *testing.T, v variant, s *setup) {
		e, port := s.listen(t)
		p := &peer{t: t, end: e}
		args := append([]string{"--udp", "--port=" + port, "--mtu=1400"}, v.gnutls...)
		if v.files {
			args = append(args, "--x509certfile=client.crt", "--x509keyfile=client.key", "--x509cafile=ca.crt",
				"--verify-hostname="+serverName)
		} else {
			args = append(args, "--pskusername=client-7", "--pskkey="+pskHex)
		}
		p.start("gnutls-cli", append(args, "127.0.0.1")...)
		e.opened(t)
		if v.name != "ecdhe-psk" { // gnutls-cli 3.7 crashes after such a handshake, with gnutls-serv as well
			p.converse()
		}
	})
}

// TestOpenSSLResumes resumes a session in both roles.
func TestOpenSSLResumes(t *testing.T) {
	needProgram(t, "openssl")
	t.Chdir(t.TempDir())
	s := mutual(ecKey, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)(t)
	s.server.TLS.ClientAuth = tls.NoClientCert
	t.Run("client", func(t *testing.T) {
		s.client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		p, port := &peer{t: t}, freePort(t)
		p.start("openssl", "s_server", "-dtls1_2", "-accept", "127.0.0.1:"+port,
			"-cert", "server.crt", "-key", "server.key")
		p.waitFor("ACCEPT")
		for try := range 2 {
			p.end = s.dialTo(t, port)
			p.end.opened(t)
			if got := p.end.State().TLS.DidResume; got != (try > 0) {
				t.Errorf("connection %d: DidResume is %v", try, got)
			}
			p.end.say(t, fmt.Appendf(nil, "line %d\n", try))
			p.waitFor(fmt.Sprintf("line %d", try))
			check(t, p.end.CloseWrite()) // s_server serves one at a time
			p.end.flush()
			p.waitFor("DONE")
		}
	})
	t.Run("server", func(t *testing.T) {
		s.serverOpts.Sessions = NewSessionStore(4, time.Hour)
		for try, option := range []string{"-sess_out", "-sess_in"} {
			e, port := s.listen(t)
			p := &peer{t: t, end: e}
			p.start("openssl", "s_client", "-dtls1_2", "-connect", "127.0.0.1:"+port, "-CAfile", "ca.crt",
				option, "session")
			e.opened(t)
			if got := e.State().TLS.DidResume; got != (try > 0) {
				t.Errorf("connection %d: DidResume is %v", try, got)
			}
			p.waitFor([]string{"New, TLSv1.2", "Reused, TLSv1.2"}[try])
			p.converse()
		}
	})
}

// TestWireshark lets tshark decrypt what both ends have sent, from the key log: records with a connection ID as well.
// It cannot do so with ChaCha20 over DTLS.
func TestWireshark(t *testing.T) {
	needProgram(t, "tshark")
	var keys, packets bytes.Buffer
	var texts []string
	for _, id := range []uint16{suites[0].id, suites[4].id, TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8} {
		for _, cid := range []int{0, 7} {
			s := certSetup(t, ecKey).suite(id).both(func(o *Options) { o.CIDLen = cid })
			s.client.TLS.KeyLogWriter = &keys
			l := s.dial(t, &network{})
			l.handshake(t)
			for _, e := range l.ends() {
				text := fmt.Sprintf("%s %#04x %d", e.name, id, cid)
				e.say(t, []byte(text))
				e.peer.hears(t, text)
				texts = append(texts, text)
			}
			l.close()
			packets.Write(l.packets(uint16(10_000 + len(texts))))
		}
	}
	dir := t.TempDir()
	capture, keyFile := filepath.Join(dir, "c.pcap"), filepath.Join(dir, "keys")
	check(t, os.WriteFile(capture, append(captureHeader(), packets.Bytes()...), 0o600))
	check(t, os.WriteFile(keyFile, keys.Bytes(), 0o600))
	out, err := exec.Command("tshark", "-r", capture, "-o", "tls.keylog_file:"+keyFile, "-d", "udp.port==4433,dtls",
		"-x").CombinedOutput()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, out)
	}
	for _, text := range texts {
		if !containsHex(string(out), hex.EncodeToString([]byte(text))) {
			t.Errorf("tshark does not find %q", text)
		}
	}
}

// containsHex looks for bytes in a hex dump of tshark's: offset, bytes, text.
func containsHex(dump, want string) bool {
	var all strings.Builder
	for lines := bufio.NewScanner(strings.NewReader(dump)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		for i := 1; i < len(fields) && i <= 16 && len(fields[i]) == 2; i++ {
			all.WriteString(fields[i])
		}
	}
	return strings.Contains(all.String(), want)
}

func littleEndian(words ...uint32) (p []byte) {
	for _, w := range words {
		p = binary.LittleEndian.AppendUint32(p, w)
	}
	return p
}

// captureHeader returns the beginning of a capture file whose packets begin with IP.
func captureHeader() []byte {
	const rawIP = 101
	return littleEndian(0xa1b2c3d4, 0x00040002, 0, 0, 65535, rawIP)
}

// packets returns what both ends have sent in the form of a capture file, by turns, as UDP over IPv4. The server has
// port 4433.
func (l *link) packets(clientPort uint16) (out []byte) {
	for at := range max(len(l.client.sent), len(l.server.sent)) {
		for _, e := range l.ends() {
			if at < len(e.sent) {
				p := udp(e.role, clientPort, e.sent[at])
				out = append(append(out, littleEndian(uint32(at), 0, uint32(len(p)), uint32(len(p)))...), p...)
			}
		}
	}
	return out
}

// udp puts IP and UDP headers in front of a datagram.
func udp(from frame.Role, clientPort uint16, d []byte) []byte {
	src, dst, srcPort, dstPort := byte(1), byte(2), clientPort, uint16(4433)
	if from == frame.Server {
		src, dst, srcPort, dstPort = dst, src, dstPort, srcPort
	}
	const headers = 28
	p := binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(headers+len(d)))
	p = append(p, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, src, 10, 0, 0, dst)
	for _, v := range []uint16{srcPort, dstPort, uint16(8 + len(d)), 0} {
		p = binary.BigEndian.AppendUint16(p, v)
	}
	return append(p, d...)
}
