package tunnel

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/control"
)

// The manual lists every key, and its examples are right but for the files that they name.
func TestManual(t *testing.T) {
	page := Manual("Jan 2026", "1")
	for _, k := range keys {
		_, name := split(k.path)
		if !strings.Contains(page, ".B "+escaped(name)+"\n") || !strings.Contains(page, escaped(k.doc)) {
			t.Errorf("%s is not in the manual", k.path)
		}
	}
	examples := strings.Split(page, ".nf\n")[1:]
	if len(examples) != 2 {
		t.Fatalf("%d examples", len(examples))
	}
	dir := identities(t)
	for i, name := range []string{"server", "client"} {
		text, _, _ := strings.Cut(examples[i], ".fi")
		text = strings.NewReplacer("/etc/encase/vpn.example.net", dir+"/server", "/etc/encase/alice.example", dir+"/client",
			"/etc/encase/ca.crt", dir+"/ca.crt", "crl = \"/etc/encase/ca.crl\"", "").Replace(text)
		cfg, found := read(name, []byte(text))
		if cfg == nil {
			t.Errorf("the example of a %s: %v", name, found.Err())
		}
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "'") || len(line) > 400 {
			t.Errorf("a bad line: %s", line)
		}
	}
}

// The page of the daemon lists every field of the status and every metric, and no line of it is taken for a request.
func TestDaemonManual(t *testing.T) {
	page := DaemonManual("Jan 2026", "1")
	for _, f := range control.Fields() {
		if !strings.Contains(page, ".B "+escaped(f.Path)+"\n") {
			t.Errorf("%s is not in the manual", f.Path)
		}
	}
	for _, m := range metrics() {
		if m.help == "" || !strings.Contains(page, ".B "+escaped(m.name)+"\n"+escaped(m.help)+"\n") {
			t.Errorf("%s is not in the manual: %q", m.name, m.help)
		}
	}
	request := regexp.MustCompile(`^\.(TH|SH|TP|PP|br|B|I|BR|RI|RB|IR) ?|^[^.']`)
	for line := range strings.Lines(page) {
		if !request.MatchString(line) {
			t.Errorf("a bad line: %s", line)
		}
	}
}

// So are the configurations in the operator's guide.
func TestGuide(t *testing.T) {
	data, err := os.ReadFile("../../../tun/README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := identities(t)
	files := strings.NewReplacer("/etc/encase/vpn.example.net", dir+"/server", "/etc/encase/alice.example", dir+"/client",
		"/etc/encase/ca.crt", dir+"/ca.crt", "crl = \"/etc/encase/ca.crl\"", "")
	blocks := strings.Split(string(data), "```toml\n")[1:]
	if len(blocks) < 3 {
		t.Fatalf("%d configurations", len(blocks))
	}
	for i, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		if cfg, found := read("guide", []byte(files.Replace(text))); cfg == nil {
			t.Errorf("configuration %d: %v", i, found.Err())
		}
	}
	named := regexp.MustCompile("`(interface|server|identity|listen|peer|limits|observability)\\.([a-z_.]+)")
	for _, k := range named.FindAllStringSubmatch(string(data), -1) {
		path := k[1] + "." + strings.TrimSuffix(k[2], ".")
		if findKey(path) == nil && findTable(path) == nil {
			t.Errorf("the guide names %s, which there is not", path)
		}
	}
}
