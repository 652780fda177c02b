package eapol

import (
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func maker(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, Parse, arg) }

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "logoff,version=1", "mtu=1496"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, maker(t, arg)) })
	}
}

func FuzzRecv(f *testing.F) { codectest.Fuzz(f, maker(f, "mtu=200")) }

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "eapol") }
