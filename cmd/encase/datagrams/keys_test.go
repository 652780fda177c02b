package datagrams

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func keyFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeys(t *testing.T) {
	k, err := ReadKeys(keyFile(t, "# a comment\n\none:00ff\r\n  a:b : c:0102030405060708090a0b0c0d0e0f10\n"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.Server()([]byte("one"))
	if err != nil || string(key) != "\x00\xff" {
		t.Errorf("one: %x, %v", key, err)
	}
	if key, _ := k.Client("a:b : c")(nil); len(key) != 16 {
		t.Errorf("an identity with colons: %x", key)
	}
	if _, err := k.Server()([]byte("two")); err != ErrUnknownIdentity {
		t.Errorf("two: %v", err)
	}
	if _, only := k.Only(); only || k.Len() != 2 || k.Shortest() != 2 || !k.Has("one") || k.Has("two") {
		t.Errorf("%d keys", k.Len())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if text := fmt.Sprintf(verb, k); text != "2 pre-shared keys" {
			t.Errorf("%s prints %q", verb, text)
		}
	}
}

// What is wrong is said with its line, and without the key.
func TestBadKeys(t *testing.T) {
	long := strings.Repeat("ab", 65)
	for text, want := range map[string]string{
		"":                               "no key is in it",
		"# only this\n":                  "no key is in it",
		"a:00\n\nsecretsecret\n":         ":3: no colon is in the line",
		":0011\n":                        ":1: the identity has 0 bytes",
		strings.Repeat("a", 129) + ":00": ":1: the identity has 129 bytes",
		"a\x1bb:00\n":                    ":1: a control character",
		"a:secretsecret\n":               `:1: the key of "a" is not hexadecimal`,
		"a:001\n":                        `:1: the key of "a" is not hexadecimal`,
		"a:\n":                           `:1: the key of "a" has 0 bytes`,
		"a:" + long + "\n":               `:1: the key of "a" has 65 bytes`,
		"a:00\nb:00\na:11\n":             `:3: the identity "a" stands in an earlier line`,
	} {
		_, err := ReadKeys(keyFile(t, text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), long)) {
			t.Errorf("%q: the error tells the key: %v", text, err)
		}
	}
}

func TestKeysOfOthers(t *testing.T) {
	path := keyFile(t, "a:00\n")
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeys(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("got %v", err)
	}
	if _, err := ReadKeys(path + "nowhere"); err == nil || strings.Contains(err.Error(), "open ") {
		t.Errorf("got %v", err)
	}
}

// Every suite has two names that lead to it.
func TestSuites(t *testing.T) {
	for _, name := range SuiteNames() {
		id, ok := Suite(name)
		again, okay := Suite(SuiteName(id))
		if !ok || !okay || again != id || !strings.HasPrefix(SuiteName(id), "TLS_") {
			t.Errorf("%s: %04x, %s", name, id, SuiteName(id))
		}
	}
	if _, ok := Suite("PSK-AES128-CBC-SHA256"); ok {
		t.Error("a suite with CBC")
	}
}
