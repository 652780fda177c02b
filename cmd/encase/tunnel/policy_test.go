package tunnel

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/cmd/encase/pki"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/wire"
)

func runPKI(t *testing.T, dir string, args ...string) {
	t.Helper()
	c := pki.Command()
	c.SetArgs(append([]string{"--dir", dir}, args...))
	c.SetOut(t.Output())
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
}

// Whoever is let in is on the list, or there is none; and has a certificate that counts; and is not banned. The client
// is told why not, as far as it is its business.
func TestAuthorize(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	runPKI(t, dir, "init")
	certs := map[string]*x509.Certificate{}
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		runPKI(t, dir, "issue", "--client", name)
		list, err := conf.Certificates(filepath.Join(dir, name+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		certs[name] = list[0]
	}
	runPKI(t, dir, "revoke", "bob")
	authorities, err := conf.Certificates(dir + "/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := loadRevocations(dir+"/ca.crl", authorities)
	if err != nil {
		t.Fatal(err)
	}
	grant := tun.Grant{Addresses: []netip.Addr{netip.MustParseAddr("10.66.0.9")}}
	p := &policy{bans: &bans{}, revoked: revoked, refuses: true,
		clients: map[string]listed{"alice": {grant: grant}, "bob": {}, "carol": {disabled: true}}}
	from := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4433}
	reason := func(name string, cert *x509.Certificate) wire.Reason {
		_, err := p.authorize(tun.Identity{Name: name, Certificate: cert, From: from})
		var bye *wire.Bye
		if err != nil && !errors.As(err, &bye) {
			t.Errorf("%s is not told why: %v", name, err)
		}
		if bye == nil {
			return wire.ReasonNone
		}
		return bye.Reason
	}
	check := func(what, name string, want wire.Reason) {
		t.Helper()
		if got := reason(name, certs[name]); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("listed", "alice", wire.ReasonNone)
	if g, _ := p.authorize(tun.Identity{Name: "alice", Certificate: certs["alice"], From: from}); len(g.Addresses) != 1 {
		t.Errorf("alice gets %+v", g)
	}
	check("revoked", "bob", wire.ReasonRevoked)
	check("disabled", "carol", wire.ReasonRefused)
	check("not listed", "dave", wire.ReasonRefused)
	p.refuses = false
	check("not listed, but all may come in", "dave", wire.ReasonNone)

	now := time.Now()
	for _, who := range []string{"alice", "192.0.2.7", "192.0.2.0/24"} {
		p.bans.add(who, time.Hour, now)
		check("banned as "+who, "alice", wire.ReasonRefused)
		p.bans.remove(who, now)
	}
	p.bans.add("198.51.100.0/24", 0, now)
	p.bans.add("alice", time.Minute, now.Add(-time.Hour))
	check("a ban of somebody else, and one that is over", "alice", wire.ReasonNone)

	expired := *certs["alice"]
	expired.NotAfter = now.Add(-time.Second)
	if got := reason("alice", &expired); got != wire.ReasonRevoked {
		t.Errorf("an expired certificate: %v", got)
	}
	for _, l := range revoked.lists {
		l.NextUpdate = now.Add(-time.Second)
	}
	check("the list has expired", "alice", wire.ReasonRevoked)
	p.revoked = &revocations{}
	check("there is no list of this authority", "alice", wire.ReasonRevoked)
	p.revoked = nil
	check("nobody asks", "bob", wire.ReasonNone)
}

// Bans outlive the program.
func TestBansKept(t *testing.T) {
	file, now := filepath.Join(t.TempDir(), "bans.json"), time.Now()
	b, err := openBans(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"x", "y", "x"} {
		if err := b.add(who, 0, now); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := b.remove("y", now); !found || err != nil {
		t.Error(found, err)
	}
	again, err := openBans(file)
	if err != nil || len(again.all()) != 1 || !again.of("x", netip.Addr{}, now) {
		t.Errorf("%+v, %v", again.all(), err)
	}
	writeFile(t, file, "[")
	if _, err := openBans(file); err == nil {
		t.Error("a broken file is no bans at all")
	}
}

// A name that does not resolve any more is what it was: the name servers may be those in the tunnel.
func TestResolverRemembers(t *testing.T) {
	r := newResolver(0)
	first, err := r.lookup(t.Context(), "localhost")
	if err != nil {
		t.Skipf("localhost does not resolve here: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.net.PreferGo = true
	r.net.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("away") }
	r.known["vpn.invalid"] = first
	if got, err := r.lookup(ended, "vpn.invalid"); err != nil || len(got) != len(first) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := r.lookup(ended, "other.invalid"); err == nil {
		t.Error("a name that never was has an address")
	}
	if got, err := r.lookup(ended, "2001:db8::1"); err != nil || got[0].String() != "2001:db8::1" {
		t.Errorf("an address: %v, %v", got, err)
	}
}

// A clock that jumps ahead ends what has expired by it, and nothing for good: when it is right again, clients are let in
// again. One that jumps back lets nobody in who was not let in before.
func TestClockJumps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	runPKI(t, dir, "init")
	runPKI(t, dir, "issue", "--client", "alice")
	runPKI(t, dir, "issue", "--client", "bob")
	runPKI(t, dir, "revoke", "bob")
	authorities, err := conf.Certificates(dir + "/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := loadRevocations(dir+"/ca.crl", authorities)
	if err != nil {
		t.Fatal(err)
	}
	right := time.Now()
	now := right
	p := &policy{bans: &bans{}, revoked: revoked, clock: func() time.Time { return now }}
	if err := p.bans.add("192.0.2.9", time.Hour, right); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		jump                time.Duration
		alice, bob, aliceAt bool // let in; the last from the banned address
	}{
		{0, true, false, false},
		{2 * time.Hour, true, false, true},               // a ban has a time, by the clock
		{20 * 365 * 24 * time.Hour, false, false, false}, // certificates and the list have expired
		{0, true, false, false},
		{-20 * 365 * 24 * time.Hour, true, false, false},
	} {
		now = right.Add(c.jump).Round(0)
		letIn := func(name, from string) bool {
			list, err := conf.Certificates(filepath.Join(dir, name+".crt"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.authorize(tun.Identity{Name: name, Certificate: list[0], From: &net.UDPAddr{IP: net.ParseIP(from)}})
			return err == nil
		}
		if a, b, banned := letIn("alice", "192.0.2.7"), letIn("bob", "192.0.2.7"), letIn("alice", "192.0.2.9"); a != c.alice ||
			b != c.bob || banned != c.aliceAt {
			t.Errorf("%v: alice %v, bob %v, alice from a banned address %v", c.jump, a, b, banned)
		}
	}
}
