package capwap_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/capwap"
	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/dtlstest"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

func TestRules(t *testing.T) { codectest.Run(t, capwap.Maker) }

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "capwap") }

func TestNoArgument(t *testing.T) {
	if _, err := codecs.Parse("capwap:x"); err == nil || err.Error() != `capwap: takes no argument, not "x"` {
		t.Errorf("got %v", err)
	}
}

func newMachine(tb testing.TB) frame.Machine {
	return codectest.Machine(tb, capwap.Maker, frame.Server)
}

// A Discovery Request in the clear reaches the side, as it is, and not TLS.
func TestSide(t *testing.T) {
	const discovery = "\x00\x10\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x08\x00\x00\x14\x00\x01\x01"
	ev, err := newMachine(t).Recv(nil, frame.NewBuf(0, []byte(discovery), 0))
	if err != nil || len(ev) != 1 || ev[0].Kind != frame.Side || string(ev[0].Buf.Bytes()) != discovery {
		t.Errorf("%+v, %v", ev, err)
	}
	if ev, err := newMachine(t).Recv(nil, frame.NewBuf(0, make([]byte, 8), 0)); err != nil || len(ev) != 1 {
		t.Errorf("the shortest header alone: %+v, %v", ev, err)
	}
}

func TestRefused(t *testing.T) {
	for _, f := range []string{"", "\x01", "\x01\x00\x00", "\x02\x00\x00\x00abcd", "\x11\x00\x00\x00abcd",
		"\x00\x10\x02\x00"} {
		ev, err := newMachine(t).Recv(nil, frame.NewBuf(0, []byte(f), 0))
		if !errors.Is(err, frame.ErrMalformed) || len(ev) != 0 {
			t.Errorf("%x: %d events, %v", f, len(ev), err)
		}
	}
}

// tshark finds DTLS in what this package sends to CAPWAP's port.
func TestTshark(t *testing.T) {
	alert := []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 5, 0, 2, 1, 0} // DTLS 1.2, close_notify
	ev, err := newMachine(t).Send(nil, frame.NewBuf(4, alert, 0), true)
	if err != nil || len(ev) != 1 {
		t.Fatal(ev, err)
	}
	got := tsharktest.UDP(5246, ev[0].Buf.Bytes()).
		Fields(t, "capwap.preamble.version", "capwap.preamble.type", "capwap.preamble.reserved",
			"dtls.record.content_type", "dtls.record.sequence_number", "dtls.alert_message.desc")
	if want := "[[0 1 0 21 5 0]]"; fmt.Sprint(got) != want {
		t.Errorf("tshark finds %v, want %s", got, want)
	}
}

func FuzzRecv(f *testing.F) { codectest.Fuzz(f, capwap.Maker) }

func BenchmarkMachine(b *testing.B) {
	m := newMachine(b)
	full := make([]byte, 1<<14+8)
	var buf frame.Buf
	ev := make([]frame.Event, 0, 4)
	for _, n := range []int{1350, 16384} {
		b.Run(fmt.Sprintf("encode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf.Borrow(full, 4, 4+n)
				if _, err := m.Send(ev, &buf, false); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			full[0] = 1
			for b.Loop() {
				buf.Borrow(full, 0, 4+n)
				if _, err := m.Recv(ev, &buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// OpenSSL's DTLS works inside, on a network that loses datagrams.
func TestDTLS(t *testing.T) { dtlstest.Exchange(t, dtlstest.Link(t, capwap.Maker)) }
