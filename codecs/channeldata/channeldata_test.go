package channeldata_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/encase-tls/encase/codecs/channeldata"
	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func parse(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, channeldata.Parse, arg) }

func newMachine(tb testing.TB, arg string) frame.Machine {
	return codectest.Machine(tb, parse(tb, arg), frame.Client)
}

func TestRules(t *testing.T) {
	for _, arg := range []string{"udp", "tcp", "udp,channel=7ffe", "tcp,channel=4fff"} {
		t.Run(arg, func(t *testing.T) { codectest.Run(t, parse(t, arg)) })
	}
}

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "channeldata") }

// What coturn 4.6.1 sent to a client over TCP, in this order: the answers to Allocate and ChannelBind, two DTLS
// datagrams of OpenSSL. The padding of the last is not zero.
const (
	allocated = "010300382112a442975c451f322fc9435fc46d41001600080001e19f5e12a4430020000800018ea45e12a443000d0004" +
		"0000025880220014436f7475726e2d342e362e312027476f72737427"
	bound = "010900182112a442d338f3ce25e29ff6da36bfcb80220014436f7475726e2d342e362e312027476f72737427"
	hello = "4000003016feff00000000000000000023030000170000000000000017feff14cdd285fd010d8efff74825100b869349950aa9e1"
	alert = "4000002715fefd0001000000000001001a8888b7e0ef669a0651d26706579a41edfa4f4d7416acaca3b93b72"
)

// texts writes events as "in 16fe..", "side 0103..".
func texts(ev []frame.Event) (list []string) {
	for _, e := range ev {
		list = append(list, e.Kind.String()+" "+hex.EncodeToString(e.Buf.Bytes()))
	}
	return list
}

// A connection to coturn over TCP is cut into its messages, however it comes, and each goes where it belongs.
func TestTCPStreamOfCoturn(t *testing.T) {
	m := newMachine(t, "tcp")
	stream := codectest.Bytes(t, allocated+bound+hello+alert)
	want := []string{"side " + allocated, "side " + bound, "in " + hello[8:], "in " + alert[8:len(alert)-2]}
	for name, src := range map[string]io.Reader{
		"at once":          bytes.NewReader(stream),
		"a byte at a time": iotest.OneByteReader(bytes.NewReader(stream)),
	} {
		r := frame.NewReader(src, m.(frame.Delimiter), 0)
		var got []string
		for {
			b, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			ev, err := m.Recv(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, texts(ev)...)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// Only the data of the channel itself reaches TLS.
func TestWhatReachesTLS(t *testing.T) {
	for _, c := range []struct{ arg, frame, want string }{
		{"udp", "4000 0002 6162", "in 6162"},
		{"udp", "4000 0002 6162 ffff", "in 6162"}, // padded all the same
		{"udp", "4000 0002 6162 ff", "in 6162"},
		{"tcp", "4000 0002 6162 ffff", "in 6162"},
		{"udp", "4000 0000", ""},
		{"udp", "4001 0002 6162", "side 400100026162"},
		{"udp,channel=4001", "4000 0002 6162", "side 400000026162"},
		{"udp,channel=4001", "4001 0002 6162", "in 6162"},
		{"tcp", "4fff 0002 6162 0000", "side 4fff000261620000"},
		{"udp", "7fff 0000", "side 7fff0000"},
		{"udp", allocated, "side " + allocated},
	} {
		ev, err := newMachine(t, c.arg).Recv(nil, frame.NewBuf(0, codectest.Bytes(t, c.frame), 0))
		if got := strings.Join(texts(ev), " "); err != nil || got != c.want {
			t.Errorf("%s: %s: %q, %v; want %q", c.arg, c.frame, got, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ arg, frame, why string }{
		{"udp", "", "shorter"},
		{"udp", "400000", "shorter"},
		{"udp", "4000 0003 6162", "not as long"},
		{"udp", "4000 0001 6162636465", "not as long"},
		{"udp", "4000 0004 6162636465", "not as long"},
		{"tcp", "4000 0002 6162", "not as long"},
		{"tcp", "4000 0002 6162 00", "not as long"},
		{"udp", "16fefd0000000000", "is not"}, // DTLS by itself
		{"udp", "8000 0002 6162", "neither"},
		{"udp", "c000 0002 6162", "neither"},
		{"udp", allocated[:30], "is not"},
		{"udp", allocated + "00", "is not"},
		{"udp", strings.Replace(allocated, "2112a442", "2112a443", 1), "is not"},
	} {
		ev, err := newMachine(t, c.arg).Recv(nil, frame.NewBuf(0, codectest.Bytes(t, c.frame), 0))
		if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why) || len(ev) != 0 {
			t.Errorf("%s: %s: %d events, %v, want an error with %q", c.arg, c.frame, len(ev), err, c.why)
		}
	}
}

// TestSendSide takes what the other end tells as side traffic, and pads it in a stream.
func TestSendSide(t *testing.T) {
	stun := "000100042112a442000000000000000000000000 80220000"
	for _, c := range []struct{ arg, side, sent string }{
		{"udp", stun, stun},
		{"tcp", stun, stun},
		{"udp", "4001000568656c6c6f", "4001000568656c6c6f"},
		{"udp", "4001000568656c6c6f0000", "4001000568656c6c6f0000"},
		{"tcp", "4001000568656c6c6f", "4001000568656c6c6f000000"},
		{"tcp", "4001000568656c6c6fff", "4001000568656c6c6fff0000"},
		{"tcp", "40010000", "40010000"},
		{"udp", "4000000568656c6c6f", ""}, // the channel of TLS
		{"udp", "4001000668656c6c6f", ""},
		{"udp", "4001000568656c6c6f00000000", ""},
		{"udp", "000100042112a443000000000000000000000000 80220000", ""},
		{"udp", "80010004", ""},
		{"udp", "4001", ""},
		{"udp", "", ""},
	} {
		m, peer := newMachine(t, c.arg), newMachine(t, c.arg)
		side := codectest.Bytes(t, c.side)
		b := frame.Get(m.Limits().Head, len(side)+m.Limits().Tail)
		copy(b.Append(len(side)), side)
		ev, err := m.(frame.SideSender).SendSide(nil, b)
		if (err == nil) != (c.sent != "") {
			t.Errorf("%s %s: %v", c.arg, c.side, err)
		}
		if err != nil || len(ev) != 1 {
			continue
		}
		sent := bytes.Clone(ev[0].Buf.Bytes())
		ev, err = peer.Recv(nil, ev[0].Buf)
		if !bytes.Equal(sent, codectest.Bytes(t, c.sent)) || err != nil || len(ev) != 1 || ev[0].Kind != frame.Side {
			t.Errorf("%s %s: sends %x, which is %v (%v) to the peer", c.arg, c.side, sent, ev, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	codectest.Refused(t, "channeldata", channeldata.Parse, map[string]string{
		"":                   `bad carrier ""`,
		"tls":                `bad carrier "tls"`,
		"udp,":               `bad option ""`,
		"udp,channel=":       `bad option "channel="`,
		"udp,channel=0":      `bad option "channel=0"`,
		"udp,channel=14000":  `bad option "channel=14000"`,
		"udp,channel=3fff":   `bad channel 3fff (allowed: 4000 to 7ffe)`,
		"udp,channel=7fff":   `bad channel 7fff`,
		"tcp,channel=4000,x": `bad option "channel=4000,x"`,
		"channel=4000":       `bad carrier "channel=4000"`,
	})
}

// tshark finds ChannelData, with the right length, in what this package sends over either carrier.
func TestTshark(t *testing.T) {
	frames := func(arg string) (all [][]byte) {
		m := newMachine(t, arg)
		for _, n := range []int{13, 16, 1200} {
			b := frame.NewBuf(m.Limits().Head, bytes.Repeat([]byte{0x16}, n), m.Limits().Tail)
			ev, err := m.Send(nil, b, true)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, ev[0].Buf.Bytes())
		}
		return all
	}
	fields := []string{"stun.channel", "stun.att.length", "stun.length", "udp.length", "tcp.len"}
	for _, c := range []struct {
		name    string
		capture tsharktest.Capture
		want    string
	}{
		{"udp", tsharktest.UDP(3478, frames("udp,channel=4abc")...),
			"[[0x4abc  13 25 ] [0x4abc  16 28 ] [0x4abc  1200 1212 ]]"},
		{"tcp", tsharktest.TCP(3478, frames("tcp,channel=4abc")...),
			"[[0x4abc  13  20] [0x4abc  16  20] [0x4abc  1200  1204]]"},
	} {
		if got := c.capture.Fields(t, fields...); fmt.Sprint(got) != c.want {
			t.Errorf("%s: tshark finds %v, want %s", c.name, got, c.want)
		}
	}
}

func FuzzDatagram(f *testing.F) { codectest.Fuzz(f, parse(f, "udp")) }
func FuzzStream(f *testing.F)   { codectest.Fuzz(f, parse(f, "tcp")) }

func BenchmarkMachine(b *testing.B) {
	for _, carrier := range []string{"udp", "tcp"} {
		m := newMachine(b, carrier)
		full := make([]byte, 1<<14+8)
		var buf frame.Buf
		ev := make([]frame.Event, 0, 4)
		for _, n := range []int{1350, 16384} {
			size := 4 + n
			b.Run(fmt.Sprintf("%s/encode/%d", carrier, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					buf.Borrow(full, 4, 4+n)
					if _, err := m.Send(ev, &buf, false); err != nil {
						b.Fatal(err)
					}
				}
				size = buf.Len()
			})
			b.Run(fmt.Sprintf("%s/decode/%d", carrier, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					buf.Borrow(full, 0, size)
					if _, err := m.Recv(ev, &buf); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
