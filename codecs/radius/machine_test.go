package radius

import (
	"testing"

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
