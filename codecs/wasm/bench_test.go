package wasm_test

import (
	"fmt"
	"testing"

	"github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/codecs/wasm"
	"github.com/encase-tls/encase/frame"
)

// A plugin is to cost at most 400 ns per frame more than the same codec in Go, and no allocation. length16 has a
// window, so that nothing but headers is copied; right is the same without one.
func BenchmarkFrame(b *testing.B) {
	native, err := length.Parse("16be")
	if err != nil {
		b.Fatal(err)
	}
	whole, err := wasm.New("right", modules(b)["right"], "")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		mk   frame.Maker
	}{
		{"native length", native}, {"length16", parse(b, "@length16")}, {"length16 without window", whole.Maker()},
		{"veil", parse(b, "@veil,key=c0ffee")}, {"stamp", parse(b, "@stamp")},
		{"length16 interpreted", interpreted(b, "@length16")},
	} {
		for _, n := range []int{1350, 16384} {
			b.Run(fmt.Sprintf("%s/encode/%d", c.name, n), func(b *testing.B) { benchmarkEncode(b, c.mk, n) })
			b.Run(fmt.Sprintf("%s/decode/%d", c.name, n), func(b *testing.B) { benchmarkDecode(b, c.mk, n) })
		}
	}
}

func ends(tb testing.TB, mk frame.Maker) (send, recv frame.Codec) {
	tb.Helper()
	client, err := mk(frame.Client)
	if err != nil {
		tb.Fatal(err)
	}
	server, err := mk(frame.Server)
	if err != nil {
		tb.Fatal(err)
	}
	send, _, _ = frame.CodecsOf(client)
	_, recv, _ = frame.CodecsOf(server)
	return send, recv
}

func benchmarkEncode(b *testing.B, mk frame.Maker, n int) {
	send, _ := ends(b, mk)
	l := send.Limits()
	full := make([]byte, l.Head+n+l.Tail)
	var buf frame.Buf
	b.ReportAllocs()
	for b.Loop() {
		buf.Borrow(full, l.Head, l.Head+n)
		if err := send.Encode(&buf); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkDecode decodes as a stream does: FrameLen, then Decode. What decoding unmasks wrongly after the first time
// is not looked at.
func benchmarkDecode(b *testing.B, mk frame.Maker, n int) {
	send, recv := ends(b, mk)
	l := send.Limits()
	buf := frame.NewBuf(l.Head, make([]byte, n), l.Tail)
	if err := send.Encode(buf); err != nil {
		b.Fatal(err)
	}
	full := append([]byte(nil), buf.Bytes()...)
	header := append([]byte(nil), full[:min(len(full), 16)]...)
	d, _ := recv.(frame.Delimiter)
	b.ReportAllocs()
	for b.Loop() {
		copy(full, header)
		if d != nil {
			if got, err := d.FrameLen(full); err != nil || got != len(full) {
				b.Fatal(got, err)
			}
		}
		buf.Borrow(full, 0, len(full))
		if err := recv.Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// Loading includes the rules of codecs; a daemon pays for it once.
func BenchmarkNew(b *testing.B) {
	file, err := wasm.Read("@length16")
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, err := wasm.New(fmt.Sprint(i), file, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// A connection has two instances, which are made with its first frames.
func BenchmarkConnection(b *testing.B) {
	mk := parse(b, "@length16")
	payload := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		send, recv := ends(b, mk)
		l := send.Limits()
		buf := frame.NewBuf(l.Head, payload, l.Tail)
		if err := send.Encode(buf); err != nil {
			b.Fatal(err)
		}
		if err := recv.Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}
