package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/codecs/radius"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/needtest"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// Both ends of the demonstration have the same session, twice.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"TLS 1.2", "TLS 1.3"} {
		sessions := regexp.MustCompile(version+`, session (0d[0-9a-f]+)`).FindAllStringSubmatch(out.String(), -1)
		if len(sessions) != 2 || sessions[0][1] != sessions[1][1] {
			t.Errorf("%s: the ends do not have one session:\n%s", version, &out)
		}
	}
}

// A site has certificates of an authority and of another one, in files.
type site struct{ dir string }

func newSite(t *testing.T) site {
	t.Helper()
	s := site{t.TempDir()}
	for _, sub := range []string{".", "foreign"} {
		dir := filepath.Join(s.dir, sub)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		ca, err := ephemeral.New("eap test CA")
		if err != nil {
			t.Fatal(err)
		}
		certs := map[string]tls.Certificate{}
		for _, name := range []string{"server", "client"} {
			if certs[name], err = ca.Issue("127.0.0.1", name); err != nil {
				t.Fatal(err)
			}
		}
		if err := ca.WriteFiles(dir, certs); err != nil {
			t.Fatal(err)
		}
	}
	s.write(t, "radius.secret", "testing123\n")
	return s
}

func (s site) write(t *testing.T, name, format string, args ...any) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settings returns those of an end whose certificate is of that kind, "server" or "foreign/client".
func (s site) settings(t *testing.T, kind string, args ...string) *settings {
	t.Helper()
	set, err := parse(append([]string{"-secret-file", s.dir + "/radius.secret", "-ca", s.dir + "/ca.crt",
		"-cert", s.dir + "/" + kind + ".crt", "-key", s.dir + "/" + kind + ".key"}, args...))
	if err == nil {
		err = set.load()
	}
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// serve runs a server and returns its address and what it says.
func serve(t *testing.T, s *settings) (address string, said *lines) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	said = &lines{w: new(bytes.Buffer)}
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, conn, said) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr().String(), said
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.(*bytes.Buffer).String()
}

func (l *lines) await(t *testing.T, want string) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); !strings.Contains(l.String(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("the server does not say %q:\n%s", want, l)
		}
	}
}

// eapolTest runs eapol_test against a server and returns what it says. It has a certificate of that kind, and fragments
// of so many bytes.
func (s site) eapolTest(t *testing.T, address, kind, version string, fragment int) (string, error) {
	t.Helper()
	path := needtest.Program(t, "eapol_test", "eapoltest")
	disable := map[string]string{"1.2": "1", "1.3": "0"}[version]
	conf := s.write(t, "eapol_test.conf", "network={\nkey_mgmt=IEEE8021X\neap=TLS\nidentity=\"user@example.org\"\n"+
		"ca_cert=\"%[1]s/ca.crt\"\nclient_cert=\"%[1]s/%[2]s.crt\"\nprivate_key=\"%[1]s/%[2]s.key\"\n"+
		"fragment_size=%[3]d\nphase1=\"tls_disable_tlsv1_3=%[4]s\"\n}\n", s.dir, kind, fragment, disable)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "-c", conf, "-a", host, "-p", port, "-s", "testing123", "-t", "10").
		CombinedOutput()
	return string(out), err
}

// The server lets in eapol_test, which compares the keys that RADIUS has with those of TLS.
func TestEapolTest(t *testing.T) {
	s := newSite(t)
	for _, version := range []string{"1.2", "1.3"} {
		for _, fragment := range []int{1398, 200} {
			t.Run(fmt.Sprintf("TLS %s, %d bytes", version, fragment), func(t *testing.T) {
				address, said := serve(t, s.settings(t, "server", "-tls", version, "-mtu", fmt.Sprint(fragment)))
				out, err := s.eapolTest(t, address, "client", version, fragment)
				if err != nil || !strings.Contains(out, "MPPE keys OK: 1  mismatch: 0\nSUCCESS") {
					t.Errorf("%v\n%s", err, out[max(0, len(out)-4000):])
				}
				said.await(t, `let in "user@example.org", TLS `+version)
			})
		}
	}
}

// Who shows the wrong certificate is told so by an alert, and then refused.
func TestEapolTestRefused(t *testing.T) {
	s := newSite(t)
	for _, version := range []string{"1.2", "1.3"} {
		t.Run(version, func(t *testing.T) {
			address, said := serve(t, s.settings(t, "server", "-tls", version))
			out, err := s.eapolTest(t, address, "foreign/client", version, 1398)
			for _, want := range []string{"fatal:unknown CA", "Access-Reject", "CTRL-EVENT-EAP-FAILURE"} {
				if err == nil || !strings.Contains(out, want) {
					t.Errorf("%v; it does not say %q:\n%s", err, want, out[max(0, len(out)-4000):])
				}
			}
			said.await(t, "refused: bio: this end refuses the peer")
		})
	}
}

// Each end refuses the other for its certificate, and both say why.
func TestForeignCertificates(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct{ version, server, client, peerSays, serverSays string }{
		{"1.2", "server", "foreign/client", "unknown certificate authority", "this end refuses the peer"},
		{"1.3", "server", "foreign/client", "unknown certificate authority", "this end refuses the peer"},
		{"1.2", "foreign/server", "client", "this end refuses the peer", "the peer refuses this end"},
		{"1.3", "foreign/server", "client", "this end refuses the peer", "the peer refuses this end"},
	} {
		t.Run(c.version+" "+c.server+" "+c.client, func(t *testing.T) {
			address, said := serve(t, s.settings(t, c.server, "-tls", c.version))
			err := s.settings(t, c.client, "-connect", address).ask(t.Context(), new(bytes.Buffer))
			if err == nil || !strings.Contains(err.Error(), c.peerSays) {
				t.Errorf("the peer says %v, want %q", err, c.peerSays)
			}
			said.await(t, c.serverSays)
		})
	}
}

// A flood from who does not know the secret leaves no session behind, and disturbs nobody.
func TestStrangers(t *testing.T) {
	s := newSite(t)
	set := s.settings(t, "server")
	engines, err := bio.TLS(&bio.Config{TLS: set.config()})
	if err != nil {
		t.Fatal(err)
	}
	srv := &server{secret: set.secret, options: set.options, engines: engines, sessions: map[string]*session{}}
	stranger, err := radius.NewSecret([]byte("guessed"))
	if err != nil {
		t.Fatal(err)
	}
	mk, err := radius.New(radius.Options{Secret: stranger, EAP: eap.Options{}})
	if err != nil {
		t.Fatal(err)
	}
	from := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4000}
	for range 1000 {
		m, err := mk(frame.Client)
		if err != nil {
			t.Fatal(err)
		}
		ev, err := m.Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		if srv.handle(ev[0].Buf.Bytes(), from) == nil {
			t.Fatal("a request that is signed with another secret is answered")
		}
		ev[0].Buf.Release()
	}
	if n := len(srv.sessions); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}
