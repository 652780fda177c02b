package tunnel

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/tun/tuntest"
)

// A daemon that is confined does all that it did before: it keeps leases and bans, reads new certificates and lists, and
// takes its socket away at the end; and the kernel says that it is confined.
func TestSandbox(t *testing.T) {
	p := newPlace(t)
	state := filepath.Join(p.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	kept := fmt.Sprintf("[server]\nlease_file = %q\nban_file = %q\n[server.push]", state+"/leases", state+"/bans")
	config := strings.Replace(strings.Replace(vpnConfig, "[server.push]", kept, 1), "[interface]",
		"[interface]\nsandbox = \"require\"", 1)
	vpn := p.daemon(p.server, "vpn.test", config)
	alice := p.daemon(p.client, "alice.test", "[interface]\nsandbox = \"require\"\n"+aliceConfig)
	vpn.start()
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
	for _, d := range []*process{vpn, alice} {
		checkConfined(t, d)
	}
	p.pki("issue", "--server", "--renew", "vpn.test") // other files, in the same folder
	p.pki("issue", "--client", "bob.test")
	p.pki("revoke", "bob.test")
	if a, err := vpn.ask(control.Request{Do: control.Reload}); err != nil ||
		!strings.Contains(a.Text, "identity.cert") || !strings.Contains(a.Text, "identity.crl") {
		t.Errorf("a reload says %q, %v", a.Text, err)
	}
	vpn.expires(t)
	for file, q := range map[string]control.Request{"leases": {Do: control.Leases},
		"bans": {Do: control.Ban, Who: "192.0.2.7"}} {
		if _, err := vpn.ask(q); err != nil {
			t.Error(err)
		}
		p.until(tuntest.Patience, file+" are kept", func() bool { _, err := os.Stat(state + "/" + file); return err == nil })
	}
	vpn.elsewhere(t)
	vpn.ask(control.Request{Do: control.Down})
	<-vpn.ended
	if _, err := os.Stat(vpn.socket); !os.IsNotExist(err) {
		t.Errorf("the control socket is still there: %v", err)
	}
}

// checkConfined compares what the daemon says with what the kernel does.
func checkConfined(t *testing.T, d *process) {
	t.Helper()
	a, err := d.ask(control.Request{Do: control.Status})
	if err != nil {
		t.Fatal(err)
	}
	if c := a.Status.Confined; c.Landlock == 0 || !c.Seccomp || !c.NoNewPrivileges ||
		strings.Join(c.Capabilities, " ") != "dac_override net_admin" {
		t.Errorf("%s is confined by %+v", d.name, c)
	}
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", a.Status.PID))
	if len(all) < 2 {
		t.Fatalf("threads: %q", all)
	}
	for _, thread := range all {
		status, err := os.ReadFile(thread)
		if os.IsNotExist(err) {
			continue // it has ended
		}
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000001002\n",
			"CapPrm:\t0000000000001002\n", "CapInh:\t0000000000000000\n"} {
			if !strings.Contains(string(status), want) {
				t.Errorf("%s: %q is not in %s:\n%s, %v", d.name, want, thread, status, err)
			}
		}
	}
}

// expires wants the certificate in the file to be the one that the daemon shows.
func (d *process) expires(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(d.p.dir + "/pki/vpn.test.crt")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.ask(control.Request{Do: control.Status})
	if err != nil || !a.Status.Expires.Equal(cert.NotAfter) {
		t.Errorf("the certificate in use ends on %v, that in the file on %v, %v", a.Status.Expires, cert.NotAfter, err)
	}
}

// elsewhere wants a reload that needs a folder which the daemon cannot see to say so.
func (d *process) elsewhere(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	text, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(d.p.dir + "/pki/vpn.test.crt")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, folder+"/vpn.crt", string(data))
	writeFile(t, d.file, strings.Replace(string(text), d.p.dir+"/pki/vpn.test.crt", folder+"/vpn.crt", 1))
	if _, err := d.ask(control.Request{Do: control.Reload}); err == nil ||
		!strings.Contains(err.Error(), "outside of what interface.sandbox leaves") {
		t.Errorf("a reload that wants another folder says %v", err)
	}
}
