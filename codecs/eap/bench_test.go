package eap

import (
	"fmt"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/frame"
)

func BenchmarkMachine(b *testing.B) {
	frame.PoisonReleased(false)
	defer frame.PoisonReleased(true)
	mk := codectest.Maker(b, Parse, "mtu=1400")
	for _, n := range []int{1350, 16384} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { codectest.BenchmarkExchange(b, mk, n) })
	}
}
