package eap

import (
	"io/fs"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/spec/vectors"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func parseArg(t testing.TB, arg string) frame.Maker {
	t.Helper()
	mk, err := Parse(arg)
	if err != nil {
		t.Fatal(err)
	}
	return mk
}

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "mtu=64", "mtu=65535,identity=user@example.org"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parseArg(t, arg)) })
	}
}

func FuzzRecv(f *testing.F) { codectest.Fuzz(f, parseArg(f, "mtu=100,max=1000")) }

func TestVectors(t *testing.T) {
	files, err := fs.Sub(vectors.FS, "eap")
	if err != nil {
		t.Fatal(err)
	}
	codectest.Vectors(t, files, codecs.Parse)
}
