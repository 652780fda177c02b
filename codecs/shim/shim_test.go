package shim_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/dtlstest"
	"github.com/encase-tls/encase/codecs/shim"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

var specs = []string{"vxlan", "vxlan,vni=16777215", "geneve", "geneve,vni=42,proto=0x6558", "gue", "gue,proto=255"}

func parse(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, shim.Parse, arg) }

func codec(tb testing.TB, arg string) frame.Codec { return codectest.Codec(tb, parse(tb, arg)) }

func TestRules(t *testing.T) {
	for _, spec := range specs {
		t.Run(spec, func(t *testing.T) { codectest.Run(t, parse(t, spec)) })
	}
}

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "shim") }

func TestRefused(t *testing.T) {
	for _, c := range []struct{ arg, frame, why string }{
		{"vxlan", "", "shorter"},
		{"vxlan", "08000000000000", "shorter"},
		{"vxlan", "0000000000000000", "another"}, // without the flag that says that the VNI is one
		{"vxlan", "0800000000000100", "another"},
		{"geneve", "000088b5000000", "shorter"},
		{"geneve", "010088b500000000", "shorter"}, // in the options
		{"geneve", "020088b50000000000000000000000", "shorter"},
		{"geneve", "400088b500000000", "another"},         // version 1
		{"geneve", "008088b500000000", "another"},         // a control packet
		{"geneve", "014088b50000000000000000", "another"}, // critical options
		{"geneve", "0000655800000000", "another"},
		{"geneve", "000088b500000100", "another"},
		{"gue", "003b00", "shorter"},
		{"gue", "203b0000", "another"},         // a control packet
		{"gue", "403b0000", "another"},         // variant 1: IP without a header
		{"gue", "013b000000000000", "another"}, // with an extension
		{"gue", "003b8000", "another"},
		{"gue", "00110000", "another"},
	} {
		raw, err := hex.DecodeString(c.frame)
		if err != nil {
			t.Fatal(err)
		}
		err = codec(t, c.arg).Decode(frame.NewBuf(0, raw, 0))
		if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %s: %v, want an error with %q", c.arg, c.frame, err, c.why)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	codectest.Refused(t, "shim", shim.Parse, map[string]string{
		"":                     `bad kind ""`,
		"gre":                  `bad kind "gre"`,
		"vxlan,":               `unknown option ""`,
		"vxlan,proto=1":        `unknown option "proto=1"`,
		"gue,vni=1":            `unknown option "vni=1"`,
		"vxlan,vni=":           `bad number in "vni="`,
		"vxlan,vni=16777216":   `bad number in "vni=16777216" (allowed: 0 to 16777215`,
		"gue,proto=256":        `bad number in "proto=256" (allowed: 0 to 255`,
		"geneve,proto=0x10000": `(allowed: 0 to 65535`,
		"geneve,vni=1,vni=1":   `vni is given twice`,
	})
	for _, o := range []shim.Options{{}, {Kind: shim.VXLAN, VNI: 1 << 24}, {Kind: shim.GUE, Protocol: 256}} {
		if _, err := shim.New(o); err == nil {
			t.Errorf("New(%+v) succeeds", o)
		}
	}
}

// tshark finds the headers that this package writes on the ports of their protocols. It does not know GUE.
func TestTshark(t *testing.T) {
	for _, c := range []struct {
		arg    string
		port   uint16
		fields []string
		want   string
	}{
		{"vxlan,vni=4242", 4789, []string{"vxlan.flags", "vxlan.vni"}, "[[0x0800 4242]]"},
		{"geneve,vni=4242,proto=0x88b5", 6081,
			[]string{"geneve.version", "geneve.flags", "geneve.proto_type", "geneve.vni", "data.len"},
			"[[0 0x00 0x88b5 0x001092 12]]"},
	} {
		b := frame.NewBuf(8, []byte("\x16\xfe\xfd datagram"), 0)
		if err := codec(t, c.arg).Encode(b); err != nil {
			t.Fatal(err)
		}
		if got := tsharktest.UDP(c.port, b.Bytes()).Fields(t, c.fields...); fmt.Sprint(got) != c.want {
			t.Errorf("%s: tshark finds %v, want %s", c.arg, got, c.want)
		}
	}
}

// OpenSSL's DTLS works inside, on a network that loses datagrams.
func TestDTLS(t *testing.T) {
	for _, spec := range []string{"vxlan,vni=42", "geneve", "gue"} {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			dtlstest.Exchange(t, dtlstest.Link(t, parse(t, spec)))
		})
	}
}

func FuzzVXLAN(f *testing.F)  { codectest.Fuzz(f, parse(f, "vxlan,vni=42")) }
func FuzzGENEVE(f *testing.F) { codectest.Fuzz(f, parse(f, "geneve")) }

func BenchmarkCodec(b *testing.B) {
	full := make([]byte, 1<<14+8)
	var buf frame.Buf
	for _, spec := range []string{"vxlan,vni=42", "geneve", "gue"} {
		c := codec(b, spec)
		for _, n := range []int{1350, 16384} {
			head := c.Limits().Head
			buf.Borrow(full, head, head+n)
			b.Run(fmt.Sprintf("%s/encode/%d", spec, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					buf.Borrow(full, head, head+n)
					if err := c.Encode(&buf); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("%s/decode/%d", spec, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					buf.Borrow(full, 0, head+n)
					if err := c.Decode(&buf); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
