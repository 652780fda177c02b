package packaging

import (
	"crypto/tls"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/cmd/encase/tunnel"
	_ "github.com/encase-tls/encase/codecs/all"
)

// The examples are right but for the files that they name.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	ca, err := ephemeral.New("test authority")
	if err != nil {
		t.Fatal(err)
	}
	certs := map[string]tls.Certificate{}
	for _, name := range []string{"vpn.example.net", "alice.example"} {
		if certs[name], err = ca.Issue(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, cert := range certs { // files are called after the first label otherwise
		if err := ca.WriteFiles(dir, map[string]tls.Certificate{name: cert}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"server.toml", "client.toml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(strings.ReplaceAll(string(data), `crl = "/etc/encase/ca.crl"`, ""), "/etc/encase", dir)
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		check := tunnel.Commands("test")[1]
		var out strings.Builder
		check.SetOut(&out)
		check.SetErr(&out)
		check.SetArgs([]string{"-c", file})
		if err := check.Execute(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, &out)
		}
	}
}

// The dashboard asks for metrics that there are.
func TestDashboard(t *testing.T) {
	data, err := os.ReadFile("grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(data, &d); err != nil || len(d.Panels) == 0 {
		t.Fatal(err, len(d.Panels))
	}
	known := tunnel.MetricNames()
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, name := range regexp.MustCompile(`encase_\w+`).FindAllString(target.Expr, -1) {
				if !known[name] {
					t.Errorf("%s: there is no %s", target.Expr, name)
				}
			}
		}
	}
}

// All that the package has lies here, and systemd understands its unit.
func TestFiles(t *testing.T) {
	data, err := os.ReadFile("nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`cmd/encase/packaging/([\w@.]+\w)`).FindAllStringSubmatch(string(data), -1) {
		if _, err := os.Stat(m[1]); err != nil && m[1] != "nfpm.yaml" {
			t.Error(err)
		}
	}
	needs(t, false, "systemd-analyze")
	dir := t.TempDir()
	for _, unit := range []string{"encase@.service", "encase@.socket"} {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, unit), strings.ReplaceAll(string(text), "/usr/bin/encase", "/bin/true"))
	}
	for _, unit := range []string{"encase@x.service", "encase@x.socket"} {
		c := exec.Command("systemd-analyze", "verify", "--man=no", unit)
		c.Dir = dir // where it looks for them first
		if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "encase@") {
			t.Errorf("%s: %v: %s", unit, err, out)
		}
	}
}
