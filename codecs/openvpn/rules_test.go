package openvpn_test

import (
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/openvpn"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/spec/vectors"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

// keyFile writes a static key, the bytes 0 to 255, into a file and returns its path.
func keyFile(tb testing.TB) string {
	tb.Helper()
	var text strings.Builder
	text.WriteString("#\n# 2048 bit OpenVPN static key\n#\n-----BEGIN OpenVPN Static key V1-----\n")
	for i := 0; i < 256; i += 16 {
		var line [16]byte
		for j := range line {
			line[j] = byte(i + j)
		}
		text.WriteString(hex.EncodeToString(line[:]) + "\n")
	}
	text.WriteString("-----END OpenVPN Static key V1-----\n")
	return writeFile(tb, "static.key", text.String())
}

// writeFile writes a file that only its owner can read and returns its path.
func writeFile(tb testing.TB, name, text string) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "openvpn") // a test's own has a comma in it if the name of the test has
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// parse returns the Maker of a spec in which KEY stands for the file of keyFile.
func parse(tb testing.TB, arg string) frame.Maker {
	tb.Helper()
	if strings.Contains(arg, "KEY") {
		arg = strings.ReplaceAll(arg, "KEY", keyFile(tb))
	}
	mk, err := openvpn.Parse(arg)
	if err != nil {
		tb.Fatal(err)
	}
	return mk
}

var specs = []string{"udp", "tcp", "udp,tls-auth=KEY", "tcp,tls-auth=KEY,auth=sha512,direction=none,mtu=384",
	"udp,tls-crypt=KEY", "tcp,tls-crypt=KEY,mtu=1500"}

func TestRules(t *testing.T) {
	for _, arg := range specs {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parse(t, arg)) })
	}
	t.Run("tls-crypt-v2", func(t *testing.T) { codectest.Run(t, v2Maker(t, "tcp")) })
	t.Run("tls-crypt-v2,udp", func(t *testing.T) { codectest.Run(t, v2Maker(t, "udp")) })
}

// Vectors name their key static.key; it lies beside them, where anybody may read it, and openvpn wants it private.
func TestVectors(t *testing.T) {
	files, err := fs.Sub(vectors.FS, "openvpn")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`=static\.key\b`)
	codectest.Vectors(t, files, func(spec string) (frame.Maker, error) {
		return parse(t, strings.TrimPrefix(name.ReplaceAllString(spec, "=KEY"), "openvpn:")), nil
	})
}

func TestParseRefuses(t *testing.T) {
	key := keyFile(t)
	for arg, want := range map[string]string{
		"x":                                     `unknown option "x"`,
		"tcp=1":                                 `unknown option "tcp=1"`,
		"udp,tcp":                               "tcp is given twice, or contradicts",
		"mtu=400,mtu=400":                       "mtu=400 is given twice",
		"mtu=0":                                 "bad mtu 1 (allowed: 384 to 1500)",
		"mtu=1501":                              "bad mtu 1501",
		"mtu=x":                                 `bad value in "mtu=x"`,
		"retry=0":                               "bad retry 1ns",
		"retry=2h":                              "bad retry 2h0m0s",
		"retry=2":                               `bad value in "retry=2"`,
		"timeout=0s":                            "bad timeout 1ns",
		"timeout":                               `bad value in "timeout"`,
		"session=00":                            `bad value in "session=00"`,
		"auth=md5":                              `bad value in "auth=md5"`,
		"auth=sha256":                           "auth and direction are for tls-auth",
		"direction=none":                        "auth and direction are for tls-auth",
		"direction=1":                           `bad value in "direction=1"`,
		"max-age=0":                             `bad value in "max-age=0"`,
		"max-age=36501":                         `bad value in "max-age=36501"`,
		"max-age=30":                            "max-age and Verify are for a server",
		"session=0000000000000000":              `bad value in "session=0000000000000000"`,
		"tls-auth=" + key + ",tls-crypt=" + key: "one of tls-auth, tls-crypt and tls-crypt-v2",
	} {
		_, err := openvpn.Parse(arg)
		if err == nil || !strings.HasPrefix(err.Error(), "openvpn: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want an error with %q", arg, err, want)
		}
	}
	for _, o := range []openvpn.Options{{Digest: 4}, {Direction: 3}, {MaxAge: -1},
		{Verify: func(openvpn.Metadata) error { return nil }}} {
		if _, err := openvpn.New(o); err == nil {
			t.Errorf("New takes %+v", o)
		}
	}
}

func FuzzUDP(f *testing.F)      { codectest.Fuzz(f, parse(f, "udp")) }
func FuzzTCP(f *testing.F)      { codectest.Fuzz(f, parse(f, "tcp,session=0102030405060708")) }
func FuzzTLSAuth(f *testing.F)  { codectest.Fuzz(f, parse(f, "udp,tls-auth=KEY")) }
func FuzzTLSCrypt(f *testing.F) { codectest.Fuzz(f, parse(f, "udp,tls-crypt=KEY")) }
