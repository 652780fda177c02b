package all_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

var update = flag.Bool("update", false, "write the tables in ../README.md anew")

// TestCatalogue compares the tables in README.md with what the codecs and preambles say of themselves.
func TestCatalogue(t *testing.T) {
	const readme = "../README.md"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for name, table := range map[string]string{"codecs": catalogue(t), "preambles": preambles()} {
		begin, end := "<!-- "+name+": go test ./codecs/all -update -->\n", "<!-- end of "+name+" -->"
		before, rest, found := strings.Cut(want, begin)
		_, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("README.md has no place for the %s", name)
		}
		want = before + begin + table + end + after
	}
	switch {
	case want == string(text):
	case *update:
		if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("the tables in codecs/README.md are old: go test ./codecs/all -update")
	}
}

// catalogue returns the table of the codecs.
func catalogue(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| codec | what it is | class | carriers | roles | tested against | example |\n" +
		"|---|---|---|---|---|---|---|\n")
	for _, c := range codecs.List() {
		fmt.Fprintf(&b, "| [%s](%s) | %s | %s | %s | %s | %s | `%s` |\n", c.Name, c.Name, c.Summary, c.Class, c.Carriers,
			roles(t, c), c.Tested, cmp.Or(c.Example, c.Name))
	}
	return b.String()
}

// roles says whether the frames of both ends look the same. Both ends are there.
func roles(t *testing.T, c codecs.Info) string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("of a test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mk, err := codecs.Parse(strings.ReplaceAll(c.Example, "/etc/encase/radius.secret", secret))
	if err != nil {
		t.Fatal(err)
	}
	client, server := opening(t, c.Name, mk, frame.Client), opening(t, c.Name, mk, frame.Server)
	if client != nil && bytes.Equal(client, server) {
		return "alike"
	}
	return "client, server"
}

// opening returns the frames of a payload; nil if more than it decides what they are.
func opening(t *testing.T, name string, mk frame.Maker, role frame.Role) []byte {
	t.Helper()
	m, err := mk(role)
	if err != nil {
		t.Fatalf("%s as %v: %v", name, role, err)
	}
	if _, isDialogue := m.(frame.Preamble); isDialogue {
		return nil
	}
	ev, err := m.Start(nil)
	if err != nil || len(ev) > 0 {
		return nil
	}
	l := m.Limits()
	if ev, err = m.Send(ev, frame.NewBuf(l.Head, []byte("payload"), l.Tail), true); err != nil {
		t.Fatalf("%s as %v: %v", name, role, err)
	}
	var frames []byte
	for _, e := range ev {
		frames = append(frames, e.Buf.Bytes()...)
	}
	return frames
}

// preambles returns the table of the dialogues that come before TLS.
func preambles() string {
	var b strings.Builder
	b.WriteString("| preamble | what it is | tested against | example |\n|---|---|---|---|\n")
	for _, p := range preamble.List() {
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", p.Name, p.Summary, p.Tested, cmp.Or(p.Example, p.Name))
	}
	return b.String()
}
