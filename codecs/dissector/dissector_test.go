package dissector_test

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/dissector"
	"github.com/encase-tls/encase/codecs/tsharktest"
)

// Every codec has a dissector, or Wireshark one of its own, or it is said that there is none.
func TestEveryCodec(t *testing.T) {
	for _, info := range codecs.List() {
		text, err := dissector.Lua(info.Example, dissector.Options{})
		has := slices.Contains(dissector.Names(), info.Name)
		switch {
		case has && (err != nil || len(text) == 0):
			t.Errorf("%s: %v", info.Example, err)
		case !has && !errors.Is(err, dissector.ErrKnown) && !errors.Is(err, dissector.ErrNone):
			t.Errorf("%s: %v", info.Example, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ spec, name, want string }{
		{"length:17", "", "bad width"},
		{"nothing", "", "unknown codec"},
		{"raw", "", "tls"},
		{"length:16", "A", `bad name "A"`},
		{"length:16", "a.b", `bad name "a.b"`},
		{"length:16", strings.Repeat("a", 41), "1 to 40"},
		{"desc:/nowhere/x.frame", "", "nowhere"},
	} {
		_, err := dissector.Lua(c.spec, dissector.Options{Name: c.name})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %q: %v, want an error with %q", c.spec, c.name, err, c.want)
		}
	}
}

// A protocol is called after the file of its description.
func TestName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "My Demo.v1.frame")
	if err := os.WriteFile(file, []byte("a 8 len payload\npayload\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		"desc:" + file:              `"encase.my_demo_v1"`,
		"desc:a 8 = 1; payload":     `"encase.desc"`,
		"length:16be,prefix=0x":     "",
		"channeldata:tcp":           `"encase.channeldata"`,
		"length:varint,prefix=ab~c": "",
	} {
		text, err := dissector.Lua(spec, dissector.Options{})
		if (err == nil) != (want != "") || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v; want %s", spec, err, want)
		}
	}
}

// Whatever is in a spec, it is text in the dissector and no program, and the dissector can be chosen with Decode As.
func TestNothingEscapes(t *testing.T) {
	dir := t.TempDir()
	spec := "desc:a 8 len payload # ]] \"\\\nerror('escaped')\n\r# --[[\npayload\n"
	if _, err := codecs.Parse(spec); err == nil {
		t.Fatal("a line of Lua is no line of a description")
	}
	spec = "desc:a 8 len payload # ]] \"\\\n# error('escaped')\r\n# --[[ \x1b\npayload"
	text, err := dissector.Lua(spec, dissector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "escaped") && !strings.HasPrefix(line, "--") {
			t.Errorf("%q", line)
		}
	}
	file := filepath.Join(dir, "x.lua")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	c := tsharktest.Conversation(4433, framed(t, "length:8", tsharktest.Handshake(t, tls.VersionTLS13))...)
	c.Options = []string{"-X", "lua_script:" + file, "-d", "tcp.port==4433,encase.desc"}
	if got := column(c.Fields(t, "tls.handshake.type")); got[0] != "1 2" {
		t.Errorf("%q", got)
	}
}
