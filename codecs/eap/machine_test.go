package eap

import (
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func parseArg(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, Parse, arg) }

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "mtu=64", "mtu=65535,identity=user@example.org"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parseArg(t, arg)) })
	}
}

func FuzzRecv(f *testing.F) { codectest.Fuzz(f, parseArg(f, "mtu=100,max=1000")) }

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "eap") }
