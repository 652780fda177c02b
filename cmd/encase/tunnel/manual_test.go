package tunnel

import (
	"strings"
	"testing"
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
