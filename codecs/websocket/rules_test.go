package websocket_test

import (
	"io/fs"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/websocket"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/spec/vectors"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func maker(tb testing.TB, arg string) frame.Maker {
	tb.Helper()
	mk, err := websocket.Parse(arg)
	if err != nil {
		tb.Fatal(err)
	}
	return mk
}

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "host=example.com:8080,path=/a/b?c=d,protocol=binary"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, maker(t, arg)) })
	}
}

func TestVectors(t *testing.T) {
	files, err := fs.Sub(vectors.FS, "websocket")
	if err != nil {
		t.Fatal(err)
	}
	codectest.Vectors(t, files, codecs.Parse)
}

func FuzzRecv(f *testing.F)     { codectest.Fuzz(f, maker(f, "")) }
func FuzzPreamble(f *testing.F) { codectest.FuzzPreamble(f, maker(f, "path=/a,protocol=binary")) }
