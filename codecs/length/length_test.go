package length_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

var specs = []string{
	"8", "16be", "16le", "24be", "24le", "32be", "32le", "64be", "64le", "varint",
	"8,incl", "16be,incl", "64le,incl", "16be,max=1400",
	"16be,prefix=0300,suffix=02f080,incl",
	"24be,suffix=000000000001,adjust=6",
	"16be,prefix=12~01,suffix=~00~00~00~00,incl",
	"16be,adjust=-2,prefix=d701",
	"varint,prefix=0a", "varint,prefix=~0a,suffix=~0102,adjust=2", "varint,max=127",
}

func TestRules(t *testing.T) {
	for _, spec := range specs {
		t.Run(spec, func(t *testing.T) { codectest.Run(t, parse(t, spec)) })
	}
}

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "length") }

func parse(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, length.Parse, arg) }

func codec(tb testing.TB, arg string) frame.StreamCodec {
	return codectest.Codec(tb, parse(tb, arg)).(frame.StreamCodec)
}

// The header of "hello" as other programs write it.
func TestHeader(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{"8", "05"},
		{"16", "0005"},
		{"16be", "0005"},
		{"16le", "0500"},
		{"24le", "050000"},
		{"32be,incl", "00000009"},
		{"64be", "0000000000000005"},
		{"varint", "05"},
		{"32be,prefix=00", "0000000005"},
		{"16be,prefix=0300,suffix=02f080,incl", "0300000c02f080"},
		{"24be,suffix=000000000001,adjust=6", "000005000000000001"},
		{"24be,suffix=000000000001", "00000b000000000001"},
		{"16be,prefix=12~01,suffix=~00~00~00~00,incl", "1201000d00000000"},
		{"varint,prefix=d7,suffix=aabb", "d707aabb"},
		{"16be,prefix=d701,adjust=-2", "d7010007"},
	} {
		b := frame.NewBuf(16, []byte("hello"), 0)
		if err := codec(t, c.spec).Encode(b); err != nil {
			t.Errorf("%s: %v", c.spec, err)
		}
		if got := hex.EncodeToString(b.Bytes()); got != c.want+hex.EncodeToString([]byte("hello")) {
			t.Errorf("%s: %s, want %s in front of hello", c.spec, got, c.want)
		}
	}
}

// How long a payload may be is what the field can express after what else it counts.
func TestMax(t *testing.T) {
	for spec, want := range map[string]int{
		"8": 255, "8,incl": 254, "16be,incl": 65533, "24le": 1<<24 - 1, "16be,prefix=d701,adjust=-2": 65533,
		"24be,suffix=000000000001,adjust=6": 1<<24 - 1, "8,suffix=0000": 253, "varint,max=300": 300,
	} {
		if got := codec(t, spec).Limits().Max; got != want {
			t.Errorf("%s: Max is %d, want %d", spec, got, want)
		}
	}
	for _, spec := range []string{"32le", "64be", "varint"} {
		if l := codec(t, spec).Limits(); l.Max < 1<<31-1<<12 || l.MaxFrame() >= 1<<31 {
			t.Errorf("%s: %+v", spec, l)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	codectest.Refused(t, "length", length.Parse, map[string]string{
		"":                        `bad width ""`,
		"17":                      `bad width "17"`,
		"8le":                     `bad width "8le"`,
		"varintle":                `bad width "varintle"`,
		"16bele":                  `bad width "16bele"`,
		"016be":                   `bad width "016be"`,
		"16be,":                   `bad option ""`,
		"16be,inclusive":          `bad option "inclusive"`,
		"16be,incl=1":             `unknown option "incl"`,
		"16be,offset=2":           `unknown option "offset"`,
		"16be,max":                `bad option "max"`,
		"16be,max=0":              `bad number in "max=0"`,
		"16be,max=65536":          `bad max 65536 (allowed: 1 to 65535)`,
		"16be,max=1,max=1":        `max is given twice`,
		"16be,adjust=x":           `bad number in "adjust=x"`,
		"16be,adjust=1":           `the field would say -1 for an empty payload`,
		"16be,adjust=-4000":       `the field would say 4000 for an empty payload`,
		"16be,incl,adjust=-2":     `exclude each other`,
		"varint,incl":             `a varint cannot count itself`,
		"16be,prefix=d":           `bad prefix "d"`,
		"16be,prefix=d7~":         `bad prefix "d7~"`,
		"16be,suffix=zz":          `bad suffix "zz"`,
		"16be,prefix=~~00":        `bad prefix "~~00"`,
		"8,suffix=" + zeros(300):  `leave no room for a payload`,
		"8,incl,adjust=0,incl":    `incl is given twice`,
		"8,prefix=" + zeros(2000): `up to 1024 bytes`,
	})
}

func zeros(n int) string { return strings.Repeat("00", n) }

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ spec, frame, why string }{
		{"16be", "", "shorter than its header"},
		{"16be", "00", "shorter than its header"},
		{"16be", "000568656c", "not as long as its length field says"},
		{"16be", "000268656c", "not as long as its length field says"},
		{"16be,incl", "0001", "less than the header takes"},
		{"16be,max=2", "0003616263", "more than is allowed"},
		{"64be", "8000000000000000", "more than is allowed"},
		{"64be,incl", "0000000000000007", "less than the header takes"},
		{"64be,adjust=-1", "ffffffffffffffff", "more than is allowed"},
		{"16be,prefix=d7", "d8000161", "constant byte"},
		{"16be,suffix=d7", "0002d861", "constant byte"},
		{"16be,suffix=d7~00", "0002d7", "shorter than its header"},
		{"16be,suffix=d7~00", "0001d700", "less than the header takes"},
		{"varint", "", "shorter than its header"},
		{"varint", "80", "shorter than its header"},
		{"varint", "8100", "longer than it needs to be"},
		{"varint", "8080808000", "longer than it needs to be"},
		{"varint", "808080808001", "longer than it needs to be"},
		{"varint", "ffffffff0f", "more than is allowed"},
		{"varint", "0261", "not as long"},
		{"varint", "01", "not as long"},
		{"varint,max=127", "8001", "longer than it needs to be"},
		{"varint,suffix=d7", "02d661", "constant byte"},
		{"varint,prefix=0a", "0b0161", "constant byte"},
	} {
		raw, err := hex.DecodeString(c.frame)
		if err != nil {
			t.Fatal(err)
		}
		err = codec(t, c.spec).Decode(frame.NewBuf(0, raw, 0))
		if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %s: %v, want an error with %q", c.spec, c.frame, err, c.why)
		}
	}
}

// Bytes marked with ~ may have any value, and only those.
func TestIgnoredBytes(t *testing.T) {
	c := codec(t, "16be,prefix=12~01,suffix=~00~00,incl")
	b := frame.NewBuf(0, []byte{0x12, 0xee, 0, 8, 0xee, 0xee, 'h', 'i'}, 0)
	if err := c.Decode(b); err != nil || !bytes.Equal(b.Bytes(), []byte("hi")) {
		t.Errorf("got %q, %v", b.Bytes(), err)
	}
}

func FuzzFixed(f *testing.F)  { codectest.Fuzz(f, parse(f, "16be,prefix=03~00,suffix=02f080,incl")) }
func FuzzVarint(f *testing.F) { codectest.Fuzz(f, parse(f, "varint,prefix=0a,max=5000")) }

// The common case, encode and decode of a datagram, is to cost less than 20 ns.
func BenchmarkEncodeDecode(b *testing.B) {
	for _, spec := range []string{"16be", "32le,incl", "24be,prefix=00", "16be,prefix=0300,suffix=02f080,incl", "varint"} {
		b.Run(spec, func(b *testing.B) {
			c := codec(b, spec)
			buf := frame.NewBuf(16, make([]byte, 1350), 0)
			b.SetBytes(1350)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Encode(buf); err != nil {
					b.Fatal(err)
				}
				if err := c.Decode(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
