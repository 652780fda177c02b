package radius

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/needtest"
	"github.com/encase-tls/encase/wrap/porttest"
)

// credentials are certificates of an authority, and of one that nobody trusts, and where FreeRADIUS finds them.
type credentials struct {
	ca              *ephemeral.Authority
	client, foreign tls.Certificate
	dir             string
}

const serverName = "radius.example.org"

func newCredentials(t *testing.T) (c credentials) {
	t.Helper()
	c.dir = t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	c.ca, err = ephemeral.New("test CA")
	must(err)
	c.client, err = c.ca.Issue("user.example.org")
	must(err)
	server, err := c.ca.Issue(serverName)
	must(err)
	must(c.ca.WriteFiles(c.dir, map[string]tls.Certificate{"server": server}))
	other, err := ephemeral.New("another CA")
	must(err)
	c.foreign, err = other.Issue("user.example.org")
	must(err)
	return c
}

// freeRADIUS starts FreeRADIUS and returns its address. It speaks one version of TLS, in fragments of so many bytes.
func freeRADIUS(t *testing.T, c credentials, version string, fragment int) string {
	t.Helper()
	path := needtest.Program(t, "freeradius", "freeradius")
	address := porttest.Free(t)
	_, port, _ := net.SplitHostPort(address)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "mods-config", "attr_filter"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf(freeRADIUSConf, dir, c.dir, fragment, version, port)
	if err := os.WriteFile(filepath.Join(dir, "radiusd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	said := &record{}
	cmd := exec.Command(path, "-d", dir, "-fxx", "-l", "stdout")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("FreeRADIUS says:\n%s", said)
		}
	})
	for until := time.Now().Add(time.Minute); !strings.Contains(said.String(), "Ready to process requests"); {
		if time.Now().After(until) {
			t.Fatal("FreeRADIUS does not start")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return address
}

const freeRADIUSConf = `prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = "%[1]s"
confdir = "%[1]s"
run_dir = "%[1]s"
logdir = "%[1]s"
security {
	reject_delay = 0
	allow_vulnerable_openssl = yes
}
thread pool {
	start_servers = 1
	max_servers = 2
	min_spare_servers = 1
	max_spare_servers = 1
}
modules {
	eap {
		default_eap_type = tls
		tls-config certs {
			private_key_file = "%[2]s/server.key"
			certificate_file = "%[2]s/server.crt"
			ca_file = "%[2]s/ca.crt"
			fragment_size = %[3]d
			include_length = yes
			tls_min_version = "%[4]s"
			tls_max_version = "%[4]s"
			ecdh_curve = ""
		}
		tls {
			tls = certs
		}
	}
}
client tests {
	ipaddr = 127.0.0.1
	secret = testing123
	require_message_authenticator = yes
}
server tests {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[5]s
	}
	authorize {
		eap
	}
	authenticate {
		eap
	}
}
`

// A record is what a program says.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := r.text.String()
	return said[max(0, len(said)-6000):]
}

// ask authenticates to a server and returns the last packet of it, too, with the authenticator of its request.
func ask(t *testing.T, address string, cfg *tls.Config, o Options) (
	*eap.Result, packet, []byte, error,
) {
	t.Helper()
	udp, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	x := eap.NewExchange()
	o.Secret, o.EAP.Exchange = testSecret, x
	codec, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var last packet
	var request []byte
	conn := wrap.Client(wrap.Datagram(udp.(net.PacketConn), nil, maxPacket), &wrap.Config{TLS: cfg, Codec: codec,
		Trace: func(f wrap.Trace) {
			mu.Lock()
			defer mu.Unlock()
			if p, err := parse(bytes.Clone(f.Frame)); err != nil {
				t.Error(err)
			} else if f.Sent {
				request = p.authenticator()
			} else {
				last = p
			}
		}})
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := x.Run(ctx, conn)
	mu.Lock() // the connection goes on until it is closed
	defer mu.Unlock()
	return r, last, request, err
}

func (c credentials) config(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: c.ca.Pool(), ServerName: serverName}
}

// FreeRADIUS lets us in, and has the same keys.
func TestFreeRADIUS(t *testing.T) {
	c := newCredentials(t)
	for _, version := range []string{"1.2", "1.3"} {
		for _, size := range []int{1020, 150} {
			t.Run(fmt.Sprintf("TLS %s, %d bytes", version, size), func(t *testing.T) {
				address := freeRADIUS(t, c, version, size)
				result, last, request, err := ask(t, address, c.config(c.client),
					Options{EAP: eap.Options{MTU: size, Identity: "user@example.org"}})
				if err != nil {
					t.Fatal(err)
				}
				if tls.VersionName(result.TLS.Version) != "TLS "+version || last.code != accessAccept {
					t.Errorf("%s, the last packet has code %d", tls.VersionName(result.TLS.Version), last.code)
				}
				s := newSigner(testSecret)
				if last.attributes.vendor(vendorMicrosoft, mppeRecvKey) == nil ||
					last.attributes.vendor(vendorMicrosoft, mppeSendKey) == nil {
					t.Error("FreeRADIUS sends no keys")
				}
				if err := s.checkKeys(last.attributes, request, &result.MSK); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// FreeRADIUS refuses who has the wrong certificate; we refuse a FreeRADIUS with the wrong one, and with another secret
// nobody understands the other.
func TestFreeRADIUSRefuses(t *testing.T) {
	c := newCredentials(t)
	for _, version := range []string{"1.2", "1.3"} {
		address := freeRADIUS(t, c, version, 1020)
		_, last, _, err := ask(t, address, c.config(c.foreign), Options{})
		if err == nil || last.code == accessAccept {
			t.Errorf("TLS %s: with a foreign certificate: %v, code %d", version, err, last.code)
		}
		cfg := c.config(c.client)
		cfg.RootCAs = nil
		cfg.ServerName = "other.example.org"
		_, _, _, err = ask(t, address, cfg, Options{})
		if err == nil || !strings.Contains(err.Error(), "this end refuses") {
			t.Errorf("TLS %s: a server of another name: %v", version, err)
		}
	}
}

// Nobody there, or nobody who knows the secret, is the same.
func TestNobodyAnswers(t *testing.T) {
	c := newCredentials(t)
	begun := time.Now()
	_, _, _, err := ask(t, porttest.Free(t), c.config(c.client),
		Options{Resend: 20 * time.Millisecond, EAP: eap.Options{Timeout: 200 * time.Millisecond}})
	if !errors.Is(err, eap.ErrSilent) || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}
