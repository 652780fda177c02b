package pki

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
)

// A certificate is good for what it was issued for, and for nothing else, and no key can be read by others.
func TestIssue(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "pki"), time.Now()
	a, err := create(dir, "test", now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	for _, r := range []request{
		{names: []string{"vpn.test", "192.0.2.1", "2001:db8::1"}, server: true},
		{names: []string{"alice.test"}, life: 30 * day},
		{names: []string{"long.test"}, life: 3650 * day},
	} {
		base, err := a.issue(r, now)
		if err != nil {
			t.Fatal(err)
		}
		certs, err := conf.Certificates(a.file(base + ".crt"))
		if err != nil {
			t.Fatal(err)
		}
		for usage, good := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageServerAuth: r.server,
			x509.ExtKeyUsageClientAuth: !r.server} {
			_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}})
			if (err == nil) != good {
				t.Errorf("%s for %v: %v", base, usage, err)
			}
		}
		for _, n := range r.names {
			if err := certs[0].VerifyHostname(n); err != nil {
				t.Error(err)
			}
		}
		if end := now.Add(r.lifetime()); certs[0].NotAfter.After(a.cert.NotAfter) || r.life < authorityLife &&
			certs[0].NotAfter.Sub(end).Abs() > time.Minute {
			t.Errorf("%s is valid until %v", base, certs[0].NotAfter)
		}
		if certs[0].SerialNumber.BitLen() < 120 {
			t.Errorf("%s has the number %X, which can be guessed", base, certs[0].SerialNumber)
		}
	}
	keys, _ := filepath.Glob(dir + "/*.key")
	for _, k := range keys {
		if info, err := os.Stat(k); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", k, info.Mode(), err)
		}
	}
	if _, err := a.issue(request{names: []string{"alice.test"}}, now); err == nil ||
		!strings.Contains(err.Error(), "--renew") {
		t.Errorf("what is there is replaced: %v", err)
	}
	if _, err := create(dir, "again", now); err == nil {
		t.Error("an authority is replaced")
	}
	for _, bad := range []string{"", "ca", "../x", "a/b", "-x", ".x", "a b", strings.Repeat("x", 300)} {
		if _, err := a.issue(request{names: []string{bad}}, now); err == nil {
			t.Errorf("the name %q is taken", bad)
		}
	}
}

// What is revoked stays so, through every later list, and its name can be used again.
func TestRevoke(t *testing.T) {
	now := time.Now()
	a, err := create(t.TempDir(), "test", now)
	if err != nil {
		t.Fatal(err)
	}
	serials := map[string]*big.Int{}
	for _, name := range []string{"alice.test", "bob.test"} {
		if _, err := a.issue(request{names: []string{name}}, now); err != nil {
			t.Fatal(err)
		}
		certs, _ := conf.Certificates(a.file(name + ".crt"))
		serials[name] = certs[0].SerialNumber
		if err := a.revoke(name, nil, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.revoke("", serials["bob.test"], now); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("twice: %v", err)
	}
	if err := a.renewList(now.Add(day)); err != nil {
		t.Fatal(err)
	}
	list, err := a.revocationList()
	if err != nil || len(list.RevokedCertificateEntries) != 2 || list.NextUpdate.Sub(now) < listLife {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := a.issue(request{names: []string{"alice.test"}, renew: true}, now); err != nil {
		t.Fatal(err)
	}
	all, _, err := a.list()
	if err != nil || len(all) != 2 || !all[0].revoked.IsZero() || all[1].revoked.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
}

// A list that is gone or of somebody else is never begun anew: what was revoked would be forgotten.
func TestListIsGone(t *testing.T) {
	now := time.Now()
	a, err := create(t.TempDir(), "test", now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := create(t.TempDir(), "other", now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.issue(request{names: []string{"a.test"}}, now); err != nil {
		t.Fatal(err)
	}
	foreign, _ := os.ReadFile(other.file("ca.crl"))
	for what, data := range map[string][]byte{"gone": nil, "empty": {}, "of another": foreign} {
		os.Remove(a.file("ca.crl"))
		if data != nil {
			os.WriteFile(a.file("ca.crl"), data, 0o644)
		}
		if err := a.revoke("a.test", nil, now); err == nil {
			t.Errorf("%s: revoked all the same", what)
		}
	}
}

func TestCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	run := func(args ...string) (string, error) {
		c := Command()
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&out)
		c.SilenceUsage, c.SilenceErrors = true, true
		c.SetArgs(append([]string{"--dir", dir}, args...))
		err := c.Execute()
		return out.String(), err
	}
	for _, args := range [][]string{{"init"}, {"issue", "--server", "vpn.test"},
		{"issue", "--client", "alice.test", "--days", "3"},
		{"revoke", "alice.test"}, {"crl"}} {
		if out, err := run(args...); err != nil {
			t.Fatalf("%v: %s, %v", args, out, err)
		}
	}
	out, err := run("list")
	if err != nil || !strings.Contains(out, "vpn.test") || !strings.Contains(out, "revoked on") {
		t.Errorf("%s, %v", out, err)
	}
	for _, args := range [][]string{{"issue", "x.test"}, {"issue", "--server", "--client", "x.test"}, {"revoke"},
		{"revoke", "--serial", "xyz"},
		{"issue", "--client", "y.test", "--days", "-1"}} {
		if out, err := run(args...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
}
