package radius

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/encase-tls/encase/frame"
)

func TestParse(t *testing.T) {
	for arg, want := range map[string]string{
		"secret-file=a":                        "",
		"secret-file=a,identity=u,mtu=3000":    "",
		"secret-file=a,nas=n,user=u,resend=1s": "",
		"":                                     "secret-file=PATH",
		"secret-file=":                         "secret-file=PATH",
		"secret=a":                             `unknown option "secret" (have secret-file, nas, user, resend, identity`,
		"secret-file=a,mtu=3001":               "bad mtu 3001",
		"secret-file=a,mtu=x":                  `bad value in "mtu=x"`,
		"secret-file=a,repeat=1s":              `unknown option "repeat"`,
		"secret-file=a,resend=x":               "x",
		"secret-file=a,resend=0s":              "bad resend",
		"secret-file=a,secret-file=b":          "radius: secret-file is given twice",
		"secret-file=a,nas=" + strings.Repeat("n", 254): "more than 253 bytes",
	} {
		_, err := Parse(arg)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %s", arg, err, want)
		}
	}
}

func TestReadSecret(t *testing.T) {
	for _, c := range []struct {
		text string
		mode os.FileMode
		want string // of the secret; empty: refused
	}{
		{"testing123\n", 0o600, "testing123"},
		{"testing123", 0o400, "testing123"},
		{"with space \r\n", 0o600, "with space "},
		{strings.Repeat("x", maxSecret) + "\r\n", 0o600, strings.Repeat("x", maxSecret)},
		{"testing123\n", 0o640, ""},
		{"testing123\n", 0o604, ""},
		{"", 0o600, ""},
		{"\n", 0o600, ""},
		{"two\nlines\n", 0o600, ""},
		{strings.Repeat("x", maxSecret+1), 0o600, ""},
		{strings.Repeat("x", 2*maxSecret), 0o600, ""},
	} {
		s, err := ReadSecret(secretFile(t, c.text, c.mode))
		switch {
		case c.want == "" && err == nil, c.want != "" && (err != nil || string(s.key) != c.want):
			t.Errorf("%.20q, mode %o: %v", c.text, c.mode, err)
		case err != nil && c.text != "" && strings.Contains(err.Error(), "testing123"):
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	if _, err := ReadSecret(t.TempDir()); err == nil {
		t.Error("a folder is read as a secret")
	}
}

// A secret does not show itself, in no verb, nor where it is part of something.
func TestSecretIsSecret(t *testing.T) {
	s, err := NewSecret([]byte("testing123"))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		got := fmt.Sprintf(verb, s) + fmt.Sprintf(verb, *s) + fmt.Sprintf(verb, Options{Secret: s})
		for _, secret := range []string{"testing", "74657374", "116 101"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s shows it: %s", verb, got)
			}
		}
	}
	if _, err := s.MarshalText(); err == nil {
		t.Error("it can be written into a file")
	}
}

// The file with the secret is read for each connection.
func TestSecretIsReadLate(t *testing.T) {
	mk, err := Parse("secret-file=" + t.TempDir() + "/none")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mk(frame.Client); err == nil || !strings.HasPrefix(err.Error(), "radius: ") {
		t.Errorf("a file that does not exist: %v", err)
	}
}
