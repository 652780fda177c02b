package migrate

import (
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// Whatever is imported, what comes out is TOML, and no comment breaks out of its line.
func FuzzImport(f *testing.F) {
	f.Add("x.ovpn", "remote a 1 udp\nserver 10.0.0.0 255.255.0.0\npush \"route 1.2.3.4\"\n<ca>\nx\n</ca>")
	f.Add("x.conf", "[Interface]\nAddress = 1.2.3.4/0\nFwMark = 0x1\n[Peer]\nEndpoint = a:1\nAllowedIPs = ::/0")
	f.Add("x.ovpn", "remote \"\\\x00\u2028\" '\nverify-x509-name \xff")
	f.Fuzz(func(t *testing.T, name, text string) {
		d, err := parse(name, []byte(text))
		if err != nil {
			return
		}
		out := d.text("base")
		var v map[string]any
		if err := toml.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if v["config_version"] != int64(1) {
			t.Fatalf("a comment has swallowed a line:\n%s", out)
		}
	})
}

func TestFields(t *testing.T) {
	for in, want := range map[string]string{
		"a b  c":            "a|b|c",
		`push "route 1 2"`:  "push|route 1 2",
		"# all":             "",
		"a ; b":             "a",
		`a "" 'x # y' z#w`:  "a||x # y|z#w",
		"\tremote host\t1 ": "remote|host|1",
	} {
		if got := strings.Join(fields(in), "|"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
