package tds_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/spec/vectors"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func parse(tb testing.TB, arg string) frame.Maker {
	tb.Helper()
	mk, err := tds.Parse(arg)
	if err != nil {
		tb.Fatal(err)
	}
	return mk
}

func newMachine(tb testing.TB, arg string, role frame.Role) frame.Machine {
	tb.Helper()
	m, err := parse(tb, arg)(role)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRules(t *testing.T) {
	args := []string{"", "login-only", "instance=a,mars,version=15.0.2000", "size=512", "exchanged,size=32767"}
	for _, arg := range args {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parse(t, arg)) })
	}
}

func TestVectors(t *testing.T) {
	files, err := fs.Sub(vectors.FS, "tds")
	if err != nil {
		t.Fatal(err)
	}
	codectest.Vectors(t, files, codecs.Parse)
}

// A flight is one message, however it is handed over: full packets, then the rest in the one that says it is the last.
// The numbers start again with each flight.
func TestFlights(t *testing.T) {
	const payload = 512 - 8
	for _, c := range []struct {
		parts []int
		want  string
	}{
		{[]int{1}, "1"},
		{[]int{payload}, "504"},
		{[]int{payload + 1}, "504 1"},
		{[]int{2*payload + 7}, "504 504 7"},
		{[]int{payload, 1}, "504 1"},
		{[]int{100, 404}, "504"},
		{[]int{payload - 1, 10}, "504 9"},
		{[]int{100, 100, 1000}, "504 504 192"},
		{[]int{payload, 0}, "504"},
		{[]int{0}, ""},
	} {
		for _, late := range []bool{false, true} { // is it told by a call of its own that the flight ends?
			m := newMachine(t, "exchanged,size=512", frame.Client)
			for range 2 {
				packets := flight(t, m, c.parts, late)
				if got := describe(t, packets, c.parts); got != c.want {
					t.Errorf("%v: packets of %q bytes, want %q", c.parts, got, c.want)
				}
			}
		}
	}
}

// flight hands parts of a flight to m, and returns its packets.
func flight(t *testing.T, m frame.Machine, parts []int, late bool) (packets [][]byte) {
	t.Helper()
	take := func(ev []frame.Event, err error) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range ev {
			packets = append(packets, bytes.Clone(e.Buf.Bytes()))
			e.Buf.Release()
		}
	}
	for i, n := range parts {
		b := frame.NewBuf(8, bytes.Repeat([]byte{byte('a' + i)}, n), 0)
		take(m.Send(nil, b, i == len(parts)-1 && !late))
	}
	if late {
		take(m.Send(nil, nil, true))
	}
	return packets
}

// describe returns how many bytes are in each packet, and checks everything else in them.
func describe(t *testing.T, packets [][]byte, parts []int) string {
	t.Helper()
	var sizes, got, want []string
	for i, p := range packets {
		status := 0
		if i == len(packets)-1 {
			status = 1
		}
		sizes = append(sizes, fmt.Sprint(len(p)-8))
		header := fmt.Sprintf("12%02x%04x0000%02x00", status, len(p), i+1)
		if hex.EncodeToString(p[:8]) != header {
			t.Errorf("header %d is %x, want %s", i, p[:8], header)
		}
		got = append(got, string(p[8:]))
	}
	for i, n := range parts {
		want = append(want, strings.Repeat(string(rune('a'+i)), n))
	}
	if strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("%v: other bytes are in the packets", parts)
	}
	return strings.Join(sizes, " ")
}

// What each role takes for a packet of the handshake, and what it says of others.
func TestRecv(t *testing.T) {
	for _, c := range []struct {
		role  frame.Role
		frame string
		why   string // "": it is one
	}{
		{frame.Server, "12 01 000a 0000 00 00 1603", ""},
		{frame.Server, "12 00 000a 0000 07 00 1603", ""},
		{frame.Server, "12 ff 000a 1234 ff ff 1603", ""}, // what a reader ignores
		{frame.Client, "12 01 000a 0000 01 00 1603", ""},
		{frame.Client, "04 01 000a 0000 01 00 1603", ""},
		{frame.Server, "04 01 000a 0000 01 00 1603", "neither a packet"},
		{frame.Server, "01 01 000a 0000 01 00 1603", "neither a packet"},
		{frame.Server, "10 01 000a 0000 01 00 1603", "a login in clear"},
		{frame.Server, "16 03 0103 e8", "TLS without packets"},
		{frame.Client, "16 03 0103 e8", "TLS without packets"},
		{frame.Server, "17 03 0300 c5", "the option freetds"}, // go-mssqldb 1.8.2 with TLS 1.3
		{frame.Server, "12 01 0007 0000 00", "less than the header"},
		{frame.Server, "12 01 8000 0000 00 00", "more than 32767"},
		{frame.Server, "12 01 000b 0000 00 00 1603", "not as long"},
		{frame.Server, "12 01 0009 0000 00 00 1603", "not as long"},
		{frame.Server, "12 01 00", "not as long"},
	} {
		m := newMachine(t, "exchanged", c.role)
		ev, err := m.Recv(nil, frame.NewBuf(0, unhex(t, c.frame), 0))
		got := ""
		for _, e := range ev {
			got += fmt.Sprintf("%v %x", e.Kind, e.Buf.Bytes())
		}
		want := "in 1603"
		if c.why != "" {
			want = ""
		}
		if !refusedFor(err, c.why) || got != want {
			t.Errorf("%v, %s: %q, %v; want %q, an error with %q", c.role, c.frame, got, err, want, c.why)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for arg, want := range map[string]string{
		"x":                      `unknown option "x"`,
		"mars,":                  `unknown option ""`,
		"mars=1":                 `unknown option "mars=1"`,
		"freetds,freetds":        `freetds is given twice`,
		"size":                   `unknown option "size"`,
		"size=":                  `bad number in "size="`,
		"size=x":                 `bad number in "size=x"`,
		"size=511":               `bad size 511 (allowed: 512 to 32767)`,
		"size=32768":             `bad size 32768`,
		"instance=":              `unknown option "instance="`,
		"instance=a\x00b":        `bad instance "a\x00b"`,
		"version=16":             `bad version in "version=16"`,
		"version=16.0.65536":     `bad version in`,
		"version=256.0.0":        `bad version in`,
		"version=1.2.3.4":        `bad version in`,
		"instance=" + long("x"):  `allowed: up to 255 bytes`,
		"login-only=":            `unknown option "login-only="`,
		"exchanged,mars,unknown": `unknown option "unknown"`,
	} {
		_, err := tds.Parse(arg)
		if err == nil || !strings.HasPrefix(err.Error(), "tds: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want an error with %q", arg, err, want)
		}
	}
	if _, err := tds.New(tds.Options{Prelogin: tds.Prelogin{Nonce: make([]byte, 31)}}); err == nil {
		t.Error("New takes a nonce of 31 bytes")
	}
}

func long(s string) string { return strings.Repeat(s, 256) }

func FuzzRecv(f *testing.F)     { codectest.Fuzz(f, parse(f, "exchanged,size=512")) }
func FuzzPreamble(f *testing.F) { codectest.FuzzPreamble(f, parse(f, "login-only,instance=a,mars")) }

func BenchmarkMachine(b *testing.B) {
	frame.PoisonReleased(false)
	defer frame.PoisonReleased(true)
	m := newMachine(b, "exchanged", frame.Client)
	full := make([]byte, 1<<14+8)
	ev := make([]frame.Event, 0, 32)
	var buf frame.Buf
	for _, n := range []int{1350, 16384} { // one packet, and five
		b.Run(fmt.Sprintf("encode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf.Borrow(full, 8, 8+n)
				sent, err := m.Send(ev, &buf, true)
				if err != nil {
					b.Fatal(err)
				}
				for _, e := range sent {
					e.Buf.Release()
				}
			}
		})
	}
	for _, n := range []int{1350, 16384} {
		packet := append([]byte{0x12, 1, byte((n + 8) >> 8), byte(n + 8), 0, 0, 1, 0}, make([]byte, n)...)
		b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf.Borrow(packet, 0, len(packet))
				if _, err := m.Recv(ev, &buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
