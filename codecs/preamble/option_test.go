package preamble_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

func TestOptions(t *testing.T) {
	for spec, want := range map[string]string{
		"postgres:x":                 `postgres: takes no argument, not "x"`,
		"smtp:name":                  `name=HOST has no value`,
		"smtp:name=":                 `name=HOST has no value`,
		"smtp:nama=a":                `unknown option "nama=a" (have name=HOST)`,
		"smtp:name=a,name=b":         `name=HOST is given twice`,
		"smtp:name=a b":              `bad name "a b"`,
		"smtp:name=a\r\nRSET":        `bad name`,
		"xmpp:domain=a\nb":           `bad domain`,
		"xmpp:server,":               `unknown option "" (have domain=NAME, server)`,
		"rdp:cookie=a b":             `bad cookie "a b"`,
		"mysql:version=\x00":         `bad version`,
		"connect:a":                  `bad target "a"`,
		"connect:a:0":                `bad target "a:0"`,
		"connect:a:65536":            `bad target`,
		"connect:a\r\n:1":            `bad target`,
		"connect:u@a:1":              `bad target`,
		"connect:a:1,b:1":            `HOST:PORT is given twice`,
		"connect:a:1,secret=/no/one": `no such file`,
		"socks5:a:b":                 `bad target "a:b"`,
		"upgrade":                    `no protocol`,
		"upgrade:a b":                `bad protocol "a b"`,
		"upgrade:a/":                 `bad protocol "a/"`,
		"upgrade:a,host=b/c":         `bad host "b/c"`,
		"upgrade:a,path=b":           `bad path "b"`,
		"upgrade:a,path=/b c":        `bad path "/b c"`,
		"proxy:v1,v2":                `two versions`,
		"proxy:v1,crc":               `version 1 has no checksum`,
		"proxy:src=1.2.3.4:5":        `one address without the other`,
		"proxy:src=a:5,dst=b:5":      `bad address "a:5"`,
	} {
		_, err := preamble.Parse(spec)
		name, _, _ := strings.Cut(spec, ":")
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want an error with %q", spec, err, want)
		}
	}
}

// What Parse refuses cannot be had in Go either: nothing is sent.
func TestFieldsAreChecked(t *testing.T) {
	for _, c := range []struct {
		p    frame.Preamble
		role frame.Role
		want string
	}{
		{preamble.SMTP{Name: "a\r\nb"}, frame.Client, "bad name"},
		{preamble.XMPP{Domain: "\xff"}, frame.Client, "bad domain"},
		{preamble.RDP{Cookie: "a\r\n"}, frame.Client, "bad cookie"},
		{preamble.RDP{Cookie: strings.Repeat("a", 255)}, frame.Client, "does not fit"},
		{preamble.MySQL{Version: "\x00"}, frame.Server, "bad version"},
		{preamble.Connect{}, frame.Client, "needs a target"},
		{preamble.Connect{Target: "a\r\n:1"}, frame.Client, "bad target"},
		{preamble.SOCKS5{}, frame.Client, "needs a target"},
		{preamble.SOCKS5{Target: strings.Repeat("a", 256) + ":1"}, frame.Client, "bad target"},
		{preamble.Upgrade{Protocol: "a\r\n"}, frame.Client, "bad protocol"},
		{preamble.Upgrade{Protocol: "a", Path: "/\r\n"}, frame.Client, "bad path"},
		{preamble.Proxy{Version: 3}, frame.Client, "no version 3"},
	} {
		s := newScript(strings.NewReader(""))
		err := c.p.Exchange(context.Background(), s, c.role)
		if err == nil || errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.want) ||
			s.heard.Len() > 0 {
			t.Errorf("%#v: %v, want one with %q; it sends %q", c.p, err, c.want, &s.heard)
		}
	}
}

func TestReadSecret(t *testing.T) {
	for text, want := range map[string]string{
		"user:pass word\n":                  "",
		"user:a:b\r\n":                      "",
		"":                                  "want one line user:password",
		"user\n":                            "want one line user:password",
		":password\n":                       "want one line user:password",
		"user:\n":                           "want one line user:password",
		"user:password\n\n":                 "want one line user:password",
		"a:" + strings.Repeat("b", 256):     "want one line user:password",
		"a:" + strings.Repeat("b", 1000000): "longer than",
	} {
		_, err := preamble.ReadSecret(secretFile(t, text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
	if _, err := preamble.ReadSecret(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestSecretOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no file modes")
	}
	path := secretFile(t, "user:password")
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := preamble.Parse("connect:a:1,secret=" + path)
		if ok && err != nil || !ok && (err == nil || !strings.Contains(err.Error(), "chmod 600 "+path)) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

// However a configuration is printed, the password is not.
func TestSecretIsNotPrinted(t *testing.T) {
	c := preamble.Connect{Target: "a:1", Secret: secretOf(t, "someone:something")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "connect", c, "secret", c.Secret)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "connect", c, "secret", *c.Secret)
	asJSON, _ := json.Marshal(c.Secret)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %v %s", c, c, *c.Secret, c.Secret), log.String(),
		string(asJSON)} {
		if strings.Contains(s, "some") {
			t.Errorf("printed: %s", s)
		}
	}
}
