package radius

import (
	"fmt"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/frame"
)

// Signatures are in the figures.
func BenchmarkMachine(b *testing.B) {
	frame.PoisonReleased(false)
	defer frame.PoisonReleased(true)
	for _, n := range []int{1350, 16384} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { codectest.BenchmarkExchange(b, maker(b, 1400), n) })
	}
}
