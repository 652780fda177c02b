package wasm_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/codecs/wasm"
	"github.com/encase-tls/encase/frame"
)

func FuzzStamp(f *testing.F) { codectest.Fuzz(f, parse(f, "@stamp")) }
func FuzzVeil(f *testing.F)  { codectest.Fuzz(f, parse(f, "@veil,key=c0ffee")) }

// FuzzLength gives a plugin and the codec in Go that is to be the same any bytes.
func FuzzLength(f *testing.F) {
	native, err := length.Parse("16be")
	if err != nil {
		f.Fatal(err)
	}
	_, want := ends(f, native)
	_, got := ends(f, parse(f, "@length16"))
	for _, p := range []string{"", "\x00", "\x00\x05hello", "\x00\x05hell", "\xff\xff", "\x00\x00\x00"} {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		n, err := got.(frame.Delimiter).FrameLen(p)
		wantN, wantErr := want.(frame.Delimiter).FrameLen(p)
		if n != wantN || (err == nil) != (wantErr == nil) {
			t.Errorf("FrameLen says %d, %v, and in Go %d, %v", n, err, wantN, wantErr)
		}
		b, wantB := frame.NewBuf(0, p, 0), frame.NewBuf(0, p, 0)
		err, wantErr = got.Decode(b), want.Decode(wantB)
		if errors.Is(err, frame.ErrMalformed) != errors.Is(wantErr, frame.ErrMalformed) {
			t.Errorf("Decode says %v, and in Go %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(b.Bytes(), wantB.Bytes()) {
			t.Errorf("the payload is %x, and in Go %x", b.Bytes(), wantB.Bytes())
		}
	})
}

// FuzzModule loads any file and lets what it is see a frame. Each step fails with a *Fault, or not at all, in bounded
// time.
func FuzzModule(f *testing.F) {
	for _, name := range []string{"length16", "stamp", "veil"} {
		file, err := wasm.Read("@" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	for _, file := range modules(f) {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		start := time.Now()
		p, err := wasm.Unchecked("f", file, "")
		switch fault := (*wasm.Fault)(nil); {
		case err == nil:
			for _, role := range []frame.Role{frame.Client, frame.Server} {
				work(t, p, role, file)
			}
		case !errors.As(err, &fault) && !strings.Contains(err.Error(), "refuses the options"):
			t.Errorf("%T: %v", err, err)
		}
		if spent := time.Since(start); spent > time.Minute {
			t.Errorf("it takes %v", spent)
		}
	})
}

// work encodes and decodes with a plugin that may do anything.
func work(t *testing.T, p *wasm.Plugin, role frame.Role, data []byte) {
	m := machine(t, p, role)
	send, recv, _ := frame.CodecsOf(m)
	l := send.Limits()
	b := frame.NewBuf(l.Head, data[:min(len(data), l.Max)], l.Tail)
	before := bytes.Clone(b.Bytes())
	if err := send.Encode(b); err != nil {
		judge(t, err, frame.ErrTooLarge)
		if !bytes.Equal(b.Bytes(), before) {
			t.Error("Encode fails, and changes the payload")
		}
	}
	if d, ok := recv.(frame.Delimiter); ok {
		n, err := d.FrameLen(b.Bytes())
		if err == nil && (n < 0 || n > recv.Limits().MaxFrame()) {
			t.Errorf("FrameLen says %d of at most %d", n, recv.Limits().MaxFrame())
		}
		judge(t, err, frame.ErrMalformed)
	}
	judge(t, recv.Decode(frame.NewBuf(0, b.Bytes(), 0)), frame.ErrMalformed)
}

func judge(t *testing.T, err, allowed error) {
	var fault *wasm.Fault
	if err != nil && !errors.Is(err, allowed) && !errors.As(err, &fault) {
		t.Errorf("%T: %v", err, err)
	}
}
