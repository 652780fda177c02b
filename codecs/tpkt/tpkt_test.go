package tpkt_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/tpkt"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func parse(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, tpkt.Parse, arg) }

func newMachine(tb testing.TB, arg string, role frame.Role) frame.Machine {
	return codectest.Machine(tb, parse(tb, arg), role)
}

func TestRules(t *testing.T) {
	for _, arg := range []string{"", "size=128", "calling=a,called=SIMATIC-ROOT-HMI,size=8192", "connected,size=1024"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parse(t, arg)) })
	}
}

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "tpkt") }

// A unit is cut so that no TPDU exceeds its size, and only the last one says that it is.
func TestCutting(t *testing.T) {
	for _, c := range []struct{ size, unit, frames int }{
		{128, 0, 1}, {128, 1, 1}, {128, 125, 1}, {128, 126, 2}, {128, 250, 2}, {128, 251, 3}, {1024, 16384, 17},
	} {
		m := newMachine(t, fmt.Sprintf("connected,size=%d", c.size), frame.Client)
		unit := bytes.Repeat([]byte{0x17, 3, 3}, c.unit/3+1)[:c.unit]
		ev, err := m.Send(nil, frame.NewBuf(m.Limits().Head, unit, 0), true)
		if err != nil || len(ev) != c.frames {
			t.Errorf("%d bytes, TPDUs of %d: %d frames, %v; want %d", c.unit, c.size, len(ev), err, c.frames)
			continue
		}
		var got []byte
		for i, e := range ev {
			f := e.Buf.Bytes()
			if last := i == len(ev)-1; f[6] == 0x80 != last || len(f) > 4+c.size {
				t.Errorf("frame %d of %d has %d bytes and says %02x", i, len(ev), len(f), f[6])
			}
			got = append(got, f[7:]...)
			e.Buf.Release()
		}
		if !bytes.Equal(got, unit) {
			t.Errorf("%d bytes, TPDUs of %d: other bytes are in the frames", c.unit, c.size)
		}
	}
}

func TestRecv(t *testing.T) {
	for _, c := range []struct{ frames, want, why string }{
		{"03000009 02f080 6162", "[in:6162]", ""},
		{"03000009 02f000 6162", "[in:6162]", ""}, // not the last of its unit
		{"03ff0009 02f085 6162", "[in:6162]", ""}, // fields that a reader ignores
		{"03000007 02f080", "[]", ""},
		{"0300000b 0680000100 0280", "[done:]", ""},
		{"0300000b 0680000100 0200", "[done:]", ""},
		{"0300000b 0680000100 0203", "[done:tpkt: the peer has disconnected: no such TSAP (reason 3)]", ""},
		{"0300000b 0680000100 0299", "[done:tpkt: the peer has disconnected: reason 153]", ""},
		{"0300000f 0680000100 0200 61626364", "[done:]", ""}, // with user data behind it
		{"0300000b 0680000100 0280,03000009 02f080 6162", "[done:]", "it comes after"},
		{"02000009 02f080 6162", "[]", "version 3"},
		{"03000006 02f0", "[]", "less than the header"},
		{"0300000a 02f080 6162", "[]", "not as long"},
		{"03000008 02f080 6162", "[]", "not as long"},
		{"03000009 03f080 6162", "[]", "another length"},
		{"03000009 04f080 6162", "[]", "another length"},
		{"03000009 02e080 6162", "[]", "neither data"},
		{"03000009 047000 0100", "[]", "neither data"},
		{"0300000a 058000010002", "[]", "another length"},
		{"0300000b 0780000100 0280", "[]", "another length"},
		{"0300000b 0580000100 0280", "[]", "another length"},
	} {
		m := newMachine(t, "connected", frame.Client)
		var got []string
		var err error
		for f := range strings.SplitSeq(c.frames, ",") {
			var ev []frame.Event
			ev, err = m.Recv(nil, frame.NewBuf(0, codectest.Bytes(t, f), 0))
			for _, e := range ev {
				s := e.Kind.String() + ":"
				if e.Buf != nil {
					s += hex.EncodeToString(e.Buf.Bytes())
				}
				if e.Err != nil {
					s += e.Err.Error()
				}
				got = append(got, s)
			}
		}
		refused := errors.Is(err, frame.ErrMalformed) && strings.Contains(err.Error(), c.why) && c.why != ""
		if fmt.Sprint(got) != c.want || err != nil && !refused || err == nil && c.why != "" {
			t.Errorf("%s: %v, %v; want %s, %q", c.frames, got, err, c.want, c.why)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	codectest.Refused(t, "tpkt", tpkt.Parse, map[string]string{
		"x":                                  `unknown option "x"`,
		"connected,":                         `unknown option ""`,
		"connected=1":                        `unknown option "connected=1"`,
		"connected,connected":                `connected is given twice`,
		"called":                             `bad TSAP in "called"`,
		"called=0x":                          `bad TSAP in "called=0x"`,
		"called=0x0":                         `bad hexadecimal bytes in "called=0x0"`,
		"calling=" + strings.Repeat("a", 33): `1 to 32 bytes`,
		"size=":                              `bad number in "size="`,
		"size=0":                             `bad number in "size=0"`,
		"size=64":                            `bad size 64`,
		"size=1000":                          `bad size 1000 (allowed: 128, 256, .. 8192)`,
		"size=16384":                         `bad size 16384`,
	})
	if _, err := tpkt.New(tpkt.Options{Called: make([]byte, 33)}); err == nil {
		t.Error("New takes a TSAP of 33 bytes")
	}
}

func FuzzRecv(f *testing.F)     { codectest.Fuzz(f, parse(f, "connected,size=128")) }
func FuzzPreamble(f *testing.F) { codectest.FuzzPreamble(f, parse(f, "calling=a,called=b,size=1024")) }

func BenchmarkMachine(b *testing.B) {
	frame.PoisonReleased(false)
	defer frame.PoisonReleased(true)
	for _, arg := range []string{"connected", "connected,size=1024"} {
		m := newMachine(b, arg, frame.Client)
		full := make([]byte, 1<<14+7)
		var buf frame.Buf
		ev := make([]frame.Event, 0, 32)
		for _, n := range []int{1350, 16384} {
			b.Run(fmt.Sprintf("%s/encode/%d", arg, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					buf.Borrow(full, 7, 7+n)
					sent, err := m.Send(ev, &buf, false)
					if err != nil {
						b.Fatal(err)
					}
					for _, e := range sent {
						e.Buf.Release()
					}
				}
			})
		}
	}
	m := newMachine(b, "connected", frame.Server)
	var buf frame.Buf
	ev := make([]frame.Event, 0, 32)
	for _, n := range []int{1350, 16384} {
		full := append([]byte{3, 0, byte((n + 7) >> 8), byte(n + 7), 2, 0xf0, 0x80}, make([]byte, n)...)
		b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf.Borrow(full, 0, len(full))
				if _, err := m.Recv(ev, &buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
