package radius

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func maker(t testing.TB, mtu int) frame.Maker {
	t.Helper()
	mk, err := New(Options{Secret: &Secret{[]byte("testing123")}, EAP: eap.Options{MTU: mtu}})
	if err != nil {
		t.Fatal(err)
	}
	return mk
}

func TestRules(t *testing.T) {
	for _, mtu := range []int{64, 0, 3000} {
		t.Run("", func(t *testing.T) { codectest.Run(t, maker(t, mtu)) })
	}
}

func FuzzRecv(f *testing.F) { codectest.Fuzz(f, maker(f, 200)) }

// Vectors name their secret radius.secret; it lies beside them, where anybody may read it, and radius wants it private.
func TestVectors(t *testing.T) {
	secret := secretFile(t, "testing123\n", 0o600)
	codectest.Vectors(t, codectest.SpecFiles(t, "radius"), func(spec string) (frame.Maker, error) {
		return codecs.Parse(strings.Replace(spec, "=radius.secret", "="+secret, 1))
	})
}

// secretFile returns the name of a file.
func secretFile(t testing.TB, text string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}
