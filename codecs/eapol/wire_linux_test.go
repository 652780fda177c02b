package eapol_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/codecs/eapol"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/needtest"
)

// onWire calls f in a network namespace of its own with a wire in it, the ends of which are called own and peer. Both
// go when f is done.
func onWire(t *testing.T, f func()) {
	if os.Getuid() != 0 {
		needtest.Skip(t, "root is needed")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread and its namespace end with this function
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("no network namespace: %v", err)
			return
		}
		for _, args := range []string{
			"link add own type veth peer name peer", "link set own up", "link set peer up",
		} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Errorf("ip %s: %v: %s", args, err, out)
				return
			}
		}
		f()
	}()
	<-done
}

// A log is what a program says.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// end returns the last of it.
func (l *log) end() string {
	said := l.String()
	return said[max(0, len(said)-4000):]
}

// await waits until the program has said want.
func (l *log) await(t *testing.T, want string) {
	t.Helper()
	for until := time.Now().Add(time.Minute); !strings.Contains(l.String(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Errorf("it does not say %q:\n%s", want, l.end())
			return
		}
	}
}

// start starts a program that ends with the test.
func start(t *testing.T, path string, args ...string) *log {
	t.Helper()
	l := new(log)
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = l, l
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return l
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return l
}

// A pki has certificates, and the files that programs want them in.
type pki struct {
	ca           *ephemeral.Authority
	server, user tls.Certificate
	dir          string
}

func newPKI(t *testing.T) pki {
	t.Helper()
	p := pki{dir: t.TempDir()}
	var err error
	if p.ca, err = ephemeral.New("test CA"); err != nil {
		t.Fatal(err)
	}
	if p.server, err = p.ca.Issue("radius.example.org"); err != nil {
		t.Fatal(err)
	}
	if p.user, err = p.ca.Issue("user.example.org"); err != nil {
		t.Fatal(err)
	}
	if err := p.ca.WriteFiles(p.dir, map[string]tls.Certificate{"server": p.server, "user": p.user}); err != nil {
		t.Fatal(err)
	}
	return p
}

func file(t *testing.T, name, format string, args ...any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Error(err)
	}
	return path
}

func (p pki) config(version uint16, cert tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: p.ca.Pool(), ClientCAs: p.ca.Pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "radius.example.org",
		MinVersion: version, MaxVersion: version,
	}
}

// authenticate runs our end on the interface "own".
func authenticate(t *testing.T, role frame.Role, o eapol.Options, cfg *tls.Config) (*eap.Result, error) {
	t.Helper()
	p, err := openPort("own")
	if err != nil {
		return nil, err
	}
	x := eap.NewExchange()
	o.EAP.Exchange = x
	codec, err := eapol.New(o)
	if err != nil {
		return nil, err
	}
	end := wrap.Client
	if role == frame.Server {
		end = wrap.Server
	}
	conn := end(wrap.Datagram(p, station{}, 1500), &wrap.Config{TLS: cfg, Codec: codec})
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return x.Run(ctx, conn)
}

var variants = []struct {
	name    string
	version uint16
	mtu     int
}{
	{"TLS 1.2", tls.VersionTLS12, 0},
	{"TLS 1.2, fragments", tls.VersionTLS12, 200},
	{"TLS 1.3", tls.VersionTLS13, 0},
	{"TLS 1.3, fragments", tls.VersionTLS13, 200},
}

// Our server lets in wpa_supplicant, and both have the same keys.
func TestWpaSupplicant(t *testing.T) {
	supplicant := needtest.Program(t, "wpa_supplicant", "wpasupplicant")
	p := newPKI(t)
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			phase1 := `phase1="tls_disable_tlsv1_3=1"`
			if v.version == tls.VersionTLS13 {
				phase1 = `phase1="tls_disable_tlsv1_3=0"`
			}
			fragment := 1398
			if v.mtu > 0 {
				fragment = v.mtu
			}
			conf := supplicantConf(t, p.dir, p.dir, fragment, phase1)
			onWire(t, func() {
				said := start(t, supplicant, "-Dwired", "-ipeer", "-c"+conf, "-dd", "-K")
				result, err := authenticate(t, frame.Server, eapol.Options{EAP: eap.Options{MTU: v.mtu}},
					p.config(v.version, p.server))
				if err != nil {
					t.Errorf("%v\n%s", err, said.end())
					return
				}
				said.await(t, "CTRL-EVENT-EAP-SUCCESS")
				if result.Identity != "user@example.org" || result.TLS.Version != v.version {
					t.Errorf("identity %q, %s", result.Identity, tls.VersionName(result.TLS.Version))
				}
				wantSaid(t, said, fmt.Sprintf("Derived key - hexdump(len=64): % x", result.MSK[:]))
				wantSaid(t, said, fmt.Sprintf("Derived EMSK - hexdump(len=64): % x", result.EMSK[:]))
				wantSaid(t, said, fmt.Sprintf("Derived Session-Id - hexdump(len=65): % x", result.SessionID))
			})
		})
	}
}

// supplicantConf returns a configuration of wpa_supplicant that trusts the authority in one directory and has the
// certificate in another.
func supplicantConf(t *testing.T, trusted, own string, fragment int, phase1 string) string {
	t.Helper()
	return file(t, "supplicant.conf", "ap_scan=0\nnetwork={\nkey_mgmt=IEEE8021X\neap=TLS\neapol_flags=0\n"+
		"identity=\"user@example.org\"\nca_cert=\"%[1]s/ca.crt\"\nclient_cert=\"%[2]s/user.crt\"\n"+
		"private_key=\"%[2]s/user.key\"\nfragment_size=%[3]d\n%[4]s\n}\n", trusted, own, fragment, phase1)
}

// wpa_supplicant is told that it is refused, and told to stop when it refuses our server itself, though TLS has failed
// before: it does not have to find out by waiting.
func TestWpaSupplicantFails(t *testing.T) {
	supplicant := needtest.Program(t, "wpa_supplicant", "wpasupplicant")
	ours, foreign := newPKI(t), newPKI(t)
	for _, v := range variants {
		for _, c := range []struct{ name, trusted, own string }{
			{"is refused", ours.dir, foreign.dir},
			{"refuses", foreign.dir, ours.dir},
		} {
			t.Run(v.name+", "+c.name, func(t *testing.T) {
				t.Parallel()
				phase1 := `phase1="tls_disable_tlsv1_3=1"`
				if v.version == tls.VersionTLS13 {
					phase1 = `phase1="tls_disable_tlsv1_3=0"`
				}
				conf := supplicantConf(t, c.trusted, c.own, 1398, phase1)
				onWire(t, func() {
					said := start(t, supplicant, "-Dwired", "-ipeer", "-c"+conf, "-dd", "-K")
					begun := time.Now()
					result, err := authenticate(t, frame.Server, eapol.Options{EAP: eap.Options{MTU: v.mtu}},
						ours.config(v.version, ours.server))
					if err == nil {
						t.Errorf("it is let in: %v\n%s", result.Identity, said.end())
					}
					said.await(t, "EAP: Received EAP-Failure")
					if took := time.Since(begun); took > 25*time.Second {
						t.Errorf("that took %v", took)
					}
				})
			})
		}
	}
}

// wantSaid looks for keys in what a program says.
func wantSaid(t *testing.T, said *log, want string) {
	t.Helper()
	if !strings.Contains(said.String(), want) {
		t.Errorf("it does not say %q:\n%s", want, said.end())
	}
}

// hostapd's server lets us in.
func TestHostapd(t *testing.T) {
	hostapd := needtest.Program(t, "hostapd", "hostapd")
	p := newPKI(t)
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			flags := "[DISABLE-TLSv1.3]"
			if v.version == tls.VersionTLS13 {
				flags = "[ENABLE-TLSv1.3]"
			}
			fragment := 1400
			if v.mtu > 0 {
				fragment = v.mtu
			}
			users := file(t, "users", "* TLS\n")
			conf := file(t, "hostapd.conf", "interface=peer\ndriver=wired\nieee8021x=1\neap_server=1\neapol_version=2\n"+
				"eap_user_file=%s\nca_cert=%[2]s/ca.crt\nserver_cert=%[2]s/server.crt\nprivate_key=%[2]s/server.key\n"+
				"fragment_size=%d\ntls_flags=%s\n", users, p.dir, fragment, flags)
			onWire(t, func() {
				said := start(t, hostapd, "-dd", "-K", conf)
				said.await(t, "AP-ENABLED")
				result, err := authenticate(t, frame.Client,
					eapol.Options{EAP: eap.Options{MTU: v.mtu, Identity: "user@example.org"}}, p.config(v.version, p.user))
				if err != nil {
					t.Errorf("%v\n%s", err, said.end())
					return
				}
				said.await(t, "CTRL-EVENT-EAP-SUCCESS")
				if result.TLS.Version != v.version {
					t.Error(tls.VersionName(result.TLS.Version))
				}
				wantSaid(t, said, fmt.Sprintf("Derived key - hexdump(len=64): % x", result.MSK[:]))
			})
		})
	}
}
