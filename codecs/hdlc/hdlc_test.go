package hdlc_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/hdlc"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func parse(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, hdlc.Parse, arg) }

func codec(tb testing.TB, arg string) frame.StreamCodec {
	return codectest.Codec(tb, parse(tb, arg)).(frame.StreamCodec)
}

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "fcs=32", "accm=ffffffff", "accm=000a0000,header=none", "max=1", "max=32000,fcs=32",
		"lossy", "lossy,max=300,header=ff030057"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parse(t, arg)) })
	}
}

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "hdlc") }

// plainly is the framing a byte at a time, with the FCS bit by bit, and nothing in place.
func plainly(payload []byte, accm uint32) []byte {
	p := append([]byte{0xff, 0x03}, payload...)
	fcs := uint16(0xffff)
	for _, v := range p {
		for i := range 8 {
			bit := fcs ^ uint16(v>>i)
			fcs >>= 1
			if bit&1 == 1 {
				fcs ^= 0x8408
			}
		}
	}
	f := []byte{0x7e}
	for _, v := range append(p, byte(^fcs), byte(^fcs>>8)) {
		if v == 0x7e || v == 0x7d || v < 0x20 && accm>>v&1 == 1 {
			f = append(f, 0x7d)
			v ^= 0x20
		}
		f = append(f, v)
	}
	return append(f, 0x7e)
}

// Stuffing in place does what stuffing into another buffer does, wherever the escapes lie, and however many bytes are
// special: two, four, more than are searched for one by one, all.
func TestAgainstAPlainOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabets := [][]byte{{0x7e}, {0x7d, 0x7e}, {0x7d, 0x5d, 0x5e, 0x11}, {0x7d, 0x7e, 0, 0x11, 0x13, 0x1f, 0x20, 0xff, 1}}
	for _, accm := range []uint32{0, 0x000a0000, 0x000f0000, 0xffffffff} {
		c := codec(t, fmt.Sprintf("accm=%08x,max=700", accm))
		for i := range 1500 {
			payload := make([]byte, r.IntN(701))
			alphabet := alphabets[i%len(alphabets)]
			for j := range payload {
				payload[j] = alphabet[r.IntN(len(alphabet))]
			}
			b := frame.NewBuf(c.Limits().Head, payload, c.Limits().Tail)
			if err := c.Encode(b); err != nil {
				t.Fatal(err)
			}
			if want := plainly(payload, accm); !bytes.Equal(b.Bytes(), want) {
				t.Fatalf("%08x: %x becomes %x, want %x", accm, payload, b.Bytes(), want)
			}
			if err := c.Decode(b); err != nil || !bytes.Equal(b.Bytes(), payload) {
				t.Fatalf("%08x: %x comes back as %x, %v", accm, payload, b.Bytes(), err)
			}
		}
	}
}

// What lies between frames, and what is no frame, as a line has it.
func TestNoise(t *testing.T) {
	a, b := hex.EncodeToString(plainly([]byte("a"), 0)), hex.EncodeToString(plainly([]byte("b"), 0))
	inside := a[2 : len(a)-2] // without flags
	for _, c := range []struct{ arg, stream, want string }{
		{"", a + b, "[a b]"},
		{"", a + b[2:], "[a b]"},                                                  // one flag between two frames
		{"", "7e7e7e" + a + "7e7e7e7e" + b + "7e", "[a b]"},                       // flags as a filling
		{"", "55" + a + b, "[a b]"},                                               // noise before the first flag
		{"", "7e 55 11 7e" + a + b, "[a b]"},                                      // too short to be a frame
		{"", a + "7e" + inside + "7d 7e" + b, "[a b]"},                            // aborted
		{"", "7e" + "7ddf 7d23 7d41" + inside[6:] + "7e", "[a]"},                  // needless escapes
		{"accm=00020000", "7e" + inside[:2] + "11" + inside[2:] + "11 7e", "[a]"}, // put there on the way
		{"accm=00020000", "7e 7d 11 df 11 7d 11 23" + inside[4:] + "7e", "[a]"},   // between an escape and its byte, too
		{"lossy", a + "7e ff 03 62" + inside[6:] + "7e" + b, "[a b]"},             // a wrong FCS
		{"lossy", a + "55 55 55 55 55 55" + b + b, "[a b b]"},
		{"lossy,max=4", "7e" + strings.Repeat("55", 21) + "7e" + a, "[a]"}, // longer than a frame can be
	} {
		got, err := codectest.Payloads(t, codec(t, c.arg), c.stream)
		if fmt.Sprint(got) != c.want || errors.Is(err, frame.ErrMalformed) {
			t.Errorf("%q: %s: %v, %v; want %s", c.arg, c.stream, got, err, c.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	a, abc := hex.EncodeToString(plainly([]byte("a"), 0)), hex.EncodeToString(plainly([]byte("abc"), 0))
	for _, c := range []struct{ arg, stream, why string }{
		{"", "7e ff03 62" + a[8:], "check sequence"},
		{"fcs=32", abc, "check sequence"},
		{"header=ff04", a, "another header"},
		{"header=ff0361aabb", abc + abc, "another header"},
		{"header=none,max=4", abc, "longer than max"},
		{"max=2", "7e" + strings.Repeat("55", 13), "no flag within"},
	} {
		_, err := codectest.Payloads(t, codec(t, c.arg), c.stream)
		if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %s: %v, want an error with %q", c.arg, c.stream, err, c.why)
		}
	}
	for _, f := range []string{"", "7e", a[:4], a[:len(a)-2], a + a, "7e 7e 7e"} {
		err := codec(t, "").Decode(frame.NewBuf(0, codectest.Bytes(t, f), 0))
		if !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("one frame %s: %v", f, err)
		}
	}
}

// With ACCM, control characters are found wherever they lie: eight bytes are looked at at once.
func TestControlCharacterAnywhere(t *testing.T) {
	c := codec(t, "accm=ffffffff")
	for n := range 40 {
		f := plainly(bytes.Repeat([]byte{0x80}, n), 0xffffffff)
		for at := 1; at < len(f); at++ {
			noisy := slices.Insert(bytes.Clone(f), at, byte(n%0x20))
			b := frame.NewBuf(0, noisy, 0)
			if err := c.Decode(b); err != nil || b.Len() != n {
				t.Fatalf("%x: %d bytes, %v; want %d", noisy, b.Len(), err, n)
			}
		}
	}
}

func TestDropped(t *testing.T) {
	a := hex.EncodeToString(plainly([]byte("a"), 0))
	for arg, want := range map[string]uint64{"": 2, "lossy": 3} {
		c := codec(t, arg)
		codectest.Payloads(t, c, "55 7e 7e"+a+"7e ff 03 61 7d 7e"+a[:6]+"62"+a[8:])
		if n := c.(interface{ Dropped() uint64 }).Dropped(); n != want {
			t.Errorf("%q: %d frames are dropped, want %d", arg, n, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	codectest.Refused(t, "hdlc", hdlc.Parse, map[string]string{
		"x":                         `unknown option "x"`,
		"lossy,":                    `unknown option ""`,
		"lossy,lossy":               `lossy is given twice`,
		"fcs=8":                     `bad fcs 8 (have 16, 32)`,
		"fcs=":                      `bad number in "fcs="`,
		"accm=a0000":                `bad accm "a0000"`,
		"accm=0000000g":             `bad accm "0000000g"`,
		"header=":                   `bad header ""`,
		"header=f":                  `bad header "f"`,
		"header=010203040506070809": `1 to 8 bytes`,
		"max=0":                     `bad number in "max=0"`,
		"max=32001":                 `bad max 32001 (allowed: 1 to 32000)`,
		"max=1,max=2":               `max is given twice`,
	})
}

func FuzzRecv(f *testing.F)  { codectest.Fuzz(f, parse(f, "max=300,accm=000a0000")) }
func FuzzLossy(f *testing.F) { codectest.Fuzz(f, parse(f, "max=30,lossy,fcs=32,accm=ffffffff")) }

func BenchmarkCodec(b *testing.B) {
	for _, arg := range []string{"", "fcs=32", "accm=000a0000", "accm=ffffffff"} {
		spec := strings.TrimPrefix(arg+",max=16384", ",")
		b.Run(spec, func(b *testing.B) { codectest.Benchmark(b, codec(b, spec)) })
	}
}
