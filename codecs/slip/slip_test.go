package slip_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/slip"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func parse(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, slip.Parse, arg) }

func codec(tb testing.TB, arg string) frame.StreamCodec {
	return codectest.Codec(tb, parse(tb, arg)).(frame.StreamCodec)
}

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "max=1", "max=16384", "max=32767", "noflush", "lossy", "lossy,noflush,max=300"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parse(t, arg)) })
	}
}

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "slip") }

// plainly is SLIP as the RFC has it in C: a byte at a time, and nothing in place.
func plainly(payload []byte) []byte {
	f := []byte{0xc0}
	for _, c := range payload {
		switch c {
		case 0xc0:
			f = append(f, 0xdb, 0xdc)
		case 0xdb:
			f = append(f, 0xdb, 0xdd)
		default:
			f = append(f, c)
		}
	}
	return append(f, 0xc0)
}

// Stuffing in place does what stuffing into another buffer does, wherever the escapes lie.
func TestAgainstAPlainOne(t *testing.T) {
	c := codec(t, "max=700")
	r := rand.New(rand.NewPCG(1, 2))
	alphabets := [][]byte{{0xc0}, {0xdb}, {0xc0, 0xdb}, {0xc0, 0xdb, 1}, {0xc0, 0xdb, 0xdc, 0xdd, 1, 2, 3, 4, 5, 6}}
	for i := range 4000 {
		payload := make([]byte, r.IntN(701))
		alphabet := alphabets[i%len(alphabets)]
		for j := range payload {
			payload[j] = alphabet[r.IntN(len(alphabet))]
		}
		b := frame.NewBuf(c.Limits().Head, payload, c.Limits().Tail)
		if err := c.Encode(b); err != nil {
			t.Fatal(err)
		}
		if want := plainly(payload); !bytes.Equal(b.Bytes(), want) {
			t.Fatalf("%x becomes %x, want %x", payload, b.Bytes(), want)
		}
		if err := c.Decode(b); err != nil || !bytes.Equal(b.Bytes(), payload) {
			t.Fatalf("%x comes back as %x, %v", payload, b.Bytes(), err)
		}
	}
}

// What lies between frames, and what is no frame, as a line has it.
func TestNoise(t *testing.T) {
	long := strings.Repeat("55", 25)
	for _, c := range []struct{ arg, stream, want string }{
		{"", "c0 61 c0 c0 62 c0", "[a b]"},
		{"", "61 c0 62 c0", "[a b]"},                         // one END per frame
		{"", "c0 61 c0 62 c0", "[a b]"},                      // between them, not around
		{"", "c0 c0 c0 c0 61 c0 c0 c0 c0 c0 62 c0", "[a b]"}, // idle
		{"", "55 55 c0 61 c0", "[UU a]"},                     // noise: a frame of its own, for TLS to refuse
		{"lossy", "c0 db 01 c0 c0 61 c0", "[a]"},             // a bad escape
		{"lossy", "c0 db c0 c0 61 c0", "[a]"},
		{"lossy,max=4", "61 61 61 61 61 c0 c0 62 c0", "[b]"},           // too long
		{"lossy,max=11", long + " c0 c0 61 c0", "[U a]"},               // longer than a frame: cut, and the rest is noise
		{"lossy,max=11", long[:48] + " c0 c0 61 c0 c0 61 c0", "[a a]"}, // as long as one
	} {
		got, err := codectest.Payloads(t, codec(t, c.arg), c.stream)
		if fmt.Sprint(got) != c.want || errors.Is(err, frame.ErrMalformed) {
			t.Errorf("%q: %s: %v, %v; want %s", c.arg, c.stream, got, err, c.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ arg, stream, why string }{
		{"", "c0 61 db 01 c0", "an ESC in front"},
		{"", "c0 db db dc c0", "an ESC in front"},
		{"", "c0 61 db c0", "an ESC in front"},
		{"max=2", "c0 616161 c0", "longer than max"},
		{"max=2", "c0 6161616161", "no END within"},
	} {
		_, err := codectest.Payloads(t, codec(t, c.arg), c.stream)
		if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want an error with %q", c.stream, err, c.why)
		}
	}
	for _, f := range []string{"", "c0", "61", "c0 61", "c0 61 c0 62 c0", "c0 c0 c0"} {
		err := codec(t, "").Decode(frame.NewBuf(0, codectest.Bytes(t, f), 0))
		if !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("one frame %s: %v", f, err)
		}
	}
}

func TestDropped(t *testing.T) {
	c := codec(t, "lossy")
	if _, err := codectest.Payloads(t, c, "c0 db 01 c0 c0 61 c0 c0 db c0"); errors.Is(err, frame.ErrMalformed) {
		t.Fatal(err)
	}
	if n := c.(interface{ Dropped() uint64 }).Dropped(); n != 2 {
		t.Errorf("%d frames are dropped, want 2", n)
	}
}

func TestParseRefuses(t *testing.T) {
	codectest.Refused(t, "slip", slip.Parse, map[string]string{
		"x":           `unknown option "x"`,
		"lossy=1":     `unknown option "lossy=1"`,
		"lossy,":      `unknown option ""`,
		"lossy,lossy": `lossy is given twice`,
		"max":         `bad number in "max"`,
		"max=0":       `bad number in "max=0"`,
		"max=32768":   `bad max 32768 (allowed: 1 to 32767)`,
		"max=1,max=2": `max is given twice`,
	})
}

func FuzzRecv(f *testing.F)  { codectest.Fuzz(f, parse(f, "max=300")) }
func FuzzLossy(f *testing.F) { codectest.Fuzz(f, parse(f, "max=30,lossy")) }

func BenchmarkCodec(b *testing.B) { codectest.Benchmark(b, codec(b, "max=16384")) }
