package isotp_test

import (
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/isotp"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func parse(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, isotp.Parse, arg) }

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "bs=8,stmin=2ms", "fd,max=65535", "half,bs=1,pad=none,be",
		"brs,ids=18da10f1/18daf110,stmin=300us,bs=3"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parse(t, arg)) })
	}
}

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "isotp") }

func TestParseRefuses(t *testing.T) {
	codectest.Refused(t, "isotp", isotp.Parse, map[string]string{
		"x":                     `unknown option "x"`,
		"x=1":                   `unknown option "x=1"`,
		"fd=1":                  `unknown option "fd=1"`,
		"max":                   `unknown option "max"`,
		"fd,fd":                 `fd is given twice`,
		"ids=7e0":               `bad value in "ids=7e0"`,
		"ids=07e0/07e8":         `bad value in "ids=07e0/07e8"`,
		"ids=7e0/7e0":           `cannot both have identifier 7e0`,
		"ids=800/7e0":           `bad identifier 800`,
		"ids=20000000/00000001": `bad identifier a0000000`,
		"ids=80000000/00000001": `bad value`,
		"pad=100":               `bad value in "pad=100"`,
		"bs=256":                `bad value in "bs=256"`,
		"max=0":                 `bad max 1 (allowed: 64 to 65535)`,
		"max=65536":             `bad value in "max=65536"`,
		"stmin=1":               `bad value in "stmin=1"`,
		"stmin=128ms":           `bad stmin 128ms`,
		"stmin=150us":           `bad stmin 150µs`,
		"stmin=1500us":          `bad stmin 1.5ms`,
		"stmin=-1ms":            `bad stmin -1ms`,
		"timeout=0":             `bad timeout 1ns`,
	})
	if _, err := isotp.New(isotp.Options{ServerID: 1, BitRateSwitch: true}); err == nil {
		t.Error("New takes a bit rate switch without CAN FD")
	}
}

func FuzzClassic(f *testing.F) { codectest.Fuzz(f, parse(f, "bs=2")) }
func FuzzFD(f *testing.F)      { codectest.Fuzz(f, parse(f, "fd,half,max=9000")) }
