package ephemeral_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
)

func newAuthority(t *testing.T, name string) *ephemeral.Authority {
	t.Helper()
	a, err := ephemeral.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *ephemeral.Authority, names ...string) tls.Certificate {
	t.Helper()
	cert, err := a.Issue(names...)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestIssue(t *testing.T) {
	a, other := newAuthority(t, "one"), newAuthority(t, "one") // the same name, another key
	cert := issue(t, a, "host.example", "192.0.2.1", "2001:db8::1", "second.example")
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	tests := []struct {
		name  string
		roots *x509.CertPool
		at    time.Time
		good  bool
	}{
		{"host.example", a.Pool(), time.Now(), true},
		{"second.example", a.Pool(), time.Now(), true},
		{"192.0.2.1", a.Pool(), time.Now(), true},
		{"2001:db8::1", a.Pool(), time.Now(), true},
		{"third.example", a.Pool(), time.Now(), false},
		{"192.0.2.2", a.Pool(), time.Now(), false},
		{"host.example", other.Pool(), time.Now(), false},
		{"host.example", a.Pool(), time.Now().Add(12 * time.Hour), true},
		{"host.example", a.Pool(), time.Now().Add(25 * time.Hour), false},
		{"host.example", a.Pool(), time.Now().Add(-10 * time.Minute), true},
	}
	for _, tt := range tests {
		for _, usage := range both {
			_, err := cert.Leaf.Verify(x509.VerifyOptions{
				DNSName: tt.name, Roots: tt.roots, CurrentTime: tt.at, KeyUsages: []x509.ExtKeyUsage{usage},
			})
			if (err == nil) != tt.good {
				t.Errorf("%s at %v for usage %v: %v, want good: %v", tt.name, tt.at, usage, err, tt.good)
			}
		}
	}
	if cert.Leaf.IsCA {
		t.Error("a certificate for a host may sign others")
	}
	if second := issue(t, a, "host.example"); second.Leaf.SerialNumber.Cmp(cert.Leaf.SerialNumber) == 0 {
		t.Error("two certificates have one serial number")
	}
	if _, err := a.Issue(); err == nil {
		t.Error("Issue without a name returned no error")
	}
}

func TestWriteFiles(t *testing.T) {
	a := newAuthority(t, "files")
	certs := map[string]tls.Certificate{"server": issue(t, a, "host.example"), "client": issue(t, a, "user.example")}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "server.key"), []byte("an old key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteFiles(dir, certs); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(ca); block == nil || string(block.Bytes) != string(a.Certificate.Raw) {
		t.Error("ca.crt is not the authority's certificate")
	}
	for name, cert := range certs {
		key := filepath.Join(dir, name+".key")
		got, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), key)
		if err != nil || string(got.Certificate[0]) != string(cert.Certificate[0]) {
			t.Errorf("%s: %v, or another certificate", name, err)
		}
		if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: %v", key, info.Mode(), err)
		}
	}
	if err := a.WriteFiles(filepath.Join(dir, "nowhere"), certs); err == nil {
		t.Error("WriteFiles into no directory returned no error")
	}
}
