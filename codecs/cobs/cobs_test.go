package cobs_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/cobs"
	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func parse(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, cobs.Parse, arg) }

func codec(tb testing.TB, arg string) frame.StreamCodec {
	return codectest.Codec(tb, parse(tb, arg)).(frame.StreamCodec)
}

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "crc=16", "crc=32", "max=1", "max=65000,crc=32", "lossy,crc=16", "lossy,max=300"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parse(t, arg)) })
	}
}

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "cobs") }

// plainly is the algorithm of the paper: a byte at a time, and nothing in place. It writes an empty block behind a full
// one at the end, too.
func plainly(payload []byte) []byte {
	f := []byte{0}
	code := 0
	for _, c := range payload {
		if c != 0 {
			f = append(f, c)
		}
		if c == 0 || len(f)-code == 255 {
			f[code] = byte(len(f) - code)
			code = len(f)
			f = append(f, 0)
		}
	}
	f[code] = byte(len(f) - code)
	return append(f, 0)
}

// withoutEmpty takes an empty block behind a full one off the end of a frame.
func withoutEmpty(f []byte) []byte {
	for at := 0; f[at] != 0; {
		if next := at + int(f[at]); f[at] == 0xff && f[next] == 1 && f[next+1] == 0 {
			return append(f[:next:next], 0)
		} else {
			at = next
		}
	}
	return f
}

// Stuffing in place does what stuffing into another buffer does, wherever zeros lie, and how far apart.
func TestAgainstAPlainOne(t *testing.T) {
	c := codec(t, "max=2000")
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		payload := bytes.Repeat([]byte{0x5a}, r.IntN(2001))
		for range i % 12 {
			if len(payload) > 0 {
				payload[r.IntN(len(payload))] = 0
			}
		}
		if i%5 == 0 { // runs of about 254
			for at := 252 + r.IntN(4); at < len(payload); at += 252 + r.IntN(4) {
				payload[at] = 0
			}
		}
		b := frame.NewBuf(c.Limits().Head, payload, c.Limits().Tail)
		if err := c.Encode(b); err != nil {
			t.Fatal(err)
		}
		as := plainly(payload)
		if want := withoutEmpty(bytes.Clone(as)); !bytes.Equal(b.Bytes(), want) {
			t.Fatalf("%x becomes %x, want %x", payload, b.Bytes(), want)
		}
		for _, f := range []*frame.Buf{b, frame.NewBuf(0, as, 0)} {
			if err := c.Decode(f); err != nil || !bytes.Equal(f.Bytes(), payload) {
				t.Fatalf("%x comes back as %x, %v", payload, f.Bytes(), err)
			}
		}
	}
}

// What the checksums are of the nine digits that catalogues of them use.
func TestChecksums(t *testing.T) {
	for arg, want := range map[string]string{"crc=16": "6e90", "crc=32": "2639f4cb"} {
		c := codec(t, arg)
		b := frame.NewBuf(c.Limits().Head, []byte("123456789"), c.Limits().Tail)
		if err := c.Encode(b); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b.Bytes()[10 : b.Len()-1]); got != want {
			t.Errorf("%s: %s, want %s", arg, got, want)
		}
	}
}

// What lies between frames, and what is no frame, as a line has it. The checksum of "a" is 82e6, that of "b" is 197c.
func TestNoise(t *testing.T) {
	const a, b = "04 61 f7 82 00", "04 62 6c b0 00"
	for _, c := range []struct{ arg, stream, want string }{
		{"", "02 61 00 02 62 00", "[a b]"},
		{"", "00 00 02 61 00 00 00 00 02 62 00 00", "[a b]"}, // zeros between
		{"crc=16", a + b, "[a b]"},
		{"crc=16", "00" + a + "00 00" + b, "[a b]"},
		{"crc=16,lossy", "55 55 55" + a + b, "[b]"},                      // noise swallows a frame
		{"crc=16,lossy", "55 55 55 00" + a + b, "[a b]"},                 // unless a zero ends it
		{"crc=16,lossy", a + "04 61 f7 83 00" + b, "[a b]"},              // a wrong checksum
		{"crc=16,lossy", a + "02 61 00 01 00" + b, "[a b]"},              // too short to have one
		{"crc=16,lossy", a + "04 61 00 f7 82 00" + b, "[a b]"},           // a zero too many
		{"lossy", "02 61 00 04 61 00 02 62 00", "[a b]"},                 // a block that is cut short
		{"lossy,max=4", "06 61 61 61 61 61 00 02 62 00", "[b]"},          // too long
		{"lossy,max=4", strings.Repeat("55", 13) + "00 02 62 00", "[b]"}, // longer than a frame can be
	} {
		got, err := codectest.Payloads(t, codec(t, c.arg), c.stream)
		if fmt.Sprint(got) != c.want || errors.Is(err, frame.ErrMalformed) {
			t.Errorf("%q: %s: %v, %v; want %s", c.arg, c.stream, got, err, c.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ arg, stream, why string }{
		{"", "03 61 00", "cut short"},
		{"", "02 61 02 00", "cut short"},
		{"", "ff 61 00", "cut short"},
		{"crc=16", "04 61 f7 83 00", "checksum"},
		{"crc=16", "01 00", "checksum"},
		{"crc=32", "04 61 62 63 00", "checksum"},
		{"max=2", "04 61 61 61 61", "no zero within"},
	} {
		_, err := codectest.Payloads(t, codec(t, c.arg), c.stream)
		if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %s: %v, want an error with %q", c.arg, c.stream, err, c.why)
		}
	}
	for _, f := range []string{"", "01", "02 61", "02 61 00 02 62 00", "00 00", "04 61 61 61 00"} {
		err := codec(t, "max=2").Decode(frame.NewBuf(0, codectest.Bytes(t, f), 0))
		if !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("one frame %s: %v", f, err)
		}
	}
}

func TestDropped(t *testing.T) {
	c := codec(t, "lossy")
	if _, err := codectest.Payloads(t, c, "03 61 00 02 61 00 ff 00"); errors.Is(err, frame.ErrMalformed) {
		t.Fatal(err)
	}
	if n := c.(interface{ Dropped() uint64 }).Dropped(); n != 2 {
		t.Errorf("%d frames are dropped, want 2", n)
	}
}

func TestParseRefuses(t *testing.T) {
	codectest.Refused(t, "cobs", cobs.Parse, map[string]string{
		"x":             `unknown option "x"`,
		"lossy=1":       `unknown option "lossy=1"`,
		"lossy,":        `unknown option ""`,
		"lossy,lossy":   `lossy is given twice`,
		"crc=8":         `bad crc 8 (have 16, 32)`,
		"crc=":          `bad number in "crc="`,
		"crc=16,crc=16": `crc is given twice`,
		"max":           `bad number in "max"`,
		"max=0":         `bad number in "max=0"`,
		"max=65001":     `bad max 65001 (allowed: 1 to 65000)`,
		"max=1,max=2":   `max is given twice`,
	})
}

func FuzzRecv(f *testing.F)  { codectest.Fuzz(f, parse(f, "max=600,crc=16")) }
func FuzzLossy(f *testing.F) { codectest.Fuzz(f, parse(f, "max=30,lossy")) }

func BenchmarkCodec(b *testing.B) {
	for _, arg := range []string{"max=16384", "crc=16", "crc=32"} {
		b.Run(arg, func(b *testing.B) { codectest.Benchmark(b, codec(b, arg)) })
	}
}
