package eapol

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

func maker(t testing.TB, arg string) frame.Maker {
	t.Helper()
	mk, err := Parse(arg)
	if err != nil {
		t.Fatal(err)
	}
	return mk
}

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "logoff,version=1", "mtu=1496"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, maker(t, arg)) })
	}
}

func FuzzRecv(f *testing.F) { codectest.Fuzz(f, maker(f, "mtu=200")) }

func TestVectors(t *testing.T) {
	files, err := fs.Sub(vectors.FS, "eapol")
	if err != nil {
		t.Fatal(err)
	}
	codectest.Vectors(t, files, codecs.Parse)
}
