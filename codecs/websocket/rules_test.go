package websocket_test

import (
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/websocket"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func maker(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, websocket.Parse, arg) }

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "host=example.com:8080,path=/a/b?c=d,protocol=binary"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, maker(t, arg)) })
	}
}

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "websocket") }

func FuzzRecv(f *testing.F)     { codectest.Fuzz(f, maker(f, "")) }
func FuzzPreamble(f *testing.F) { codectest.FuzzPreamble(f, maker(f, "path=/a,protocol=binary")) }
