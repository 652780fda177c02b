package frame

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// payloads returns contents of many lengths, in an order that puts short and long ones side by side.
func payloads() [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	lengths := []int{0, 1, 16384, 2, 1350, 0, 4094, 4095, 1, 9000, 65535, 3, 3, 3, 40000, 0}
	all := make([][]byte, len(lengths))
	for i, n := range lengths {
		all[i] = make([]byte, n)
		for k := range all[i] {
			all[i][k] = byte(rnd.Uint32())
		}
	}
	return all
}

func lengthFrames(payloads [][]byte) (stream []byte) {
	for _, p := range payloads {
		stream = append(stream, lengthFrame(p)...)
	}
	return stream
}

// nextPatiently calls Next until it says something else than "timeout".
func nextPatiently(r *Reader) (*Buf, error) {
	for {
		b, err := r.Next()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return b, err
		}
	}
}

// stutter times out before every read and now and then together with data, and cuts at random.
type stutter struct {
	src   io.Reader
	rnd   *rand.Rand
	most  int
	ready bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.ready = !s.ready; s.ready {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := s.src.Read(p[:min(len(p), 1+s.rnd.IntN(s.most))])
	if err == nil && s.rnd.IntN(3) == 0 {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func TestReaderOverAwkwardStreams(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	streams := map[string]func(io.Reader) io.Reader{
		"plain":                func(r io.Reader) io.Reader { return r },
		"one byte":             iotest.OneByteReader,
		"half":                 iotest.HalfReader,
		"data with EOF":        iotest.DataErrReader,
		"one byte with EOF":    func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
		"timeouts at 1 byte":   func(r io.Reader) io.Reader { return &stutter{src: r, rnd: rnd, most: 1} },
		"timeouts at 3 bytes":  func(r io.Reader) io.Reader { return &stutter{src: r, rnd: rnd, most: 3} },
		"timeouts at 1448":     func(r io.Reader) io.Reader { return &stutter{src: r, rnd: rnd, most: 1448} },
		"timeouts at 20000":    func(r io.Reader) io.Reader { return &stutter{src: r, rnd: rnd, most: 20000} },
		"timeouts, any length": func(r io.Reader) io.Reader { return &stutter{src: r, rnd: rnd, most: 1 << 20} },
	}
	want := payloads()
	for name, over := range streams {
		t.Run(name, func(t *testing.T) {
			r := NewReader(over(bytes.NewReader(lengthFrames(want))), length16{}, 0)
			for i, p := range want {
				b, err := nextPatiently(r)
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if !bytes.Equal(b.Bytes(), lengthFrame(p)) {
					t.Fatalf("frame %d has %d bytes and differs from the one of %d that was sent", i, b.Len(), len(p)+2)
				}
			}
			for range 2 {
				if _, err := nextPatiently(r); err != io.EOF {
					t.Errorf("after the last frame: %v, want io.EOF", err)
				}
			}
		})
	}
}

func TestReaderEndInsideFrame(t *testing.T) {
	whole := append(lengthFrame([]byte("first")), lengthFrame([]byte("second"))...)
	cuts := []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader}
	for end := range whole {
		for _, over := range cuts {
			r := NewReader(over(bytes.NewReader(whole[:end])), length16{}, 0)
			var err error
			for err == nil {
				_, err = r.Next()
			}
			want := io.ErrUnexpectedEOF
			if end == 0 || end == len("..first") {
				want = io.EOF
			}
			if err != want {
				t.Errorf("end after %d bytes: %v, want %v", end, err, want)
			}
			if _, again := r.Next(); again != want {
				t.Errorf("end after %d bytes, asked again: %v, want %v", end, again, want)
			}
		}
	}
}

// fixed is a Delimiter that always gives one answer, and line one whose frames end with a line feed.
type fixed struct {
	n   int
	err error
}

func (f fixed) FrameLen([]byte) (int, error) { return f.n, f.err }

type line struct{}

func (line) FrameLen(p []byte) (int, error) { return bytes.IndexByte(p, '\n') + 1, nil }

func TestReaderRefusesAtOnce(t *testing.T) {
	bad := fmt.Errorf("test: no such frame: %w", ErrMalformed)
	tests := []struct {
		name  string
		delim Delimiter
		max   int
		send  string
	}{
		{"longer than the limit", length16{}, 100, "\x00\x63"},
		{"much longer", fixed{n: 1 << 30}, 100, "x"},
		{"negative length", fixed{n: -1}, 100, "x"},
		{"default limit", fixed{n: DefaultMaxFrame + 1}, 0, "x"},
		{"header without end", line{}, 100, strings.Repeat("x", 100)},
		{"header with a late end", fixed{}, 5, "xxxx\n"},
		{"error of the delimiter", fixed{err: bad}, 100, "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			more := iotest.ErrReader(errors.New("read on after the frame was to be refused"))
			r := NewReader(io.MultiReader(strings.NewReader(tt.send), more), tt.delim, tt.max)
			for range 2 {
				_, err := r.Next()
				wantError(t, err, ErrMalformed)
			}
			if r.SetDelimiter(nil); r.err == nil {
				t.Error("the refusal is not final")
			}
		})
	}
}

func TestReaderAcceptsTheLimit(t *testing.T) {
	frame := lengthFrame(bytes.Repeat([]byte("x"), 98))
	r := NewReader(bytes.NewReader(frame), length16{}, 100)
	if b, err := r.Next(); err != nil || !bytes.Equal(b.Bytes(), frame) {
		t.Errorf("a frame as long as the limit: %v", err)
	}
	r = NewReader(strings.NewReader(strings.Repeat("x", 99)+"\n"), line{}, 100)
	if b, err := r.Next(); err != nil || b.Len() != 100 {
		t.Errorf("a line as long as the limit: %v", err)
	}
}

func TestReaderRelease(t *testing.T) {
	r := NewReader(iotest.DataErrReader(strings.NewReader("\x00\x01a\x00\x01b")), length16{}, 0)
	r.Release()
	first, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	kept := first.Bytes()
	r.Release()
	if r.buf == nil || string(kept) != "\x00\x01a" {
		t.Fatal("Release has taken unread bytes")
	}
	if _, err = r.Next(); err != nil {
		t.Fatal(err)
	}
	r.Release()
	if r.buf != nil || kept[0] != poisonByte {
		t.Error("Release has not given the memory back")
	}
	if p, err := r.Peek(1); len(p) != 0 || err != io.EOF {
		t.Errorf("Peek after Release: %q, %v, want io.EOF", p, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("Next after Release: %v, want io.EOF", err)
	}
}

// TestReaderErrorWithData reads from a stream that reports an error once, together with data.
func TestReaderErrorWithData(t *testing.T) {
	fault := errors.New("test: the stream has a fault")
	src := script{
		func(p []byte) (int, error) { return copy(p, "\x00\x01a\x00\x03bc"), fault },
		give("d"),
	}
	r := NewReader(&src, length16{}, 0)
	next(t, r, "\x00\x01a")
	_, err := r.Next()
	wantError(t, err, fault)
	next(t, r, "\x00\x03bcd")
}

// TestReaderFrameIsFree changes a frame in every way and looks whether the next one notices.
func TestReaderFrameIsFree(t *testing.T) {
	r := NewReader(strings.NewReader("\x00\x03abc\x00\x03def\x00\x03ghi"), length16{}, 0)
	for _, want := range []string{"\x00\x03abc", "\x00\x03def", "\x00\x03ghi"} {
		b, err := r.Next()
		if err != nil || string(b.Bytes()) != want {
			t.Fatalf("frame %q, %v, want %q", b.Bytes(), err, want)
		}
		if b.Tailroom() != 0 {
			t.Errorf("%d bytes of tailroom, where the next frame lies", b.Tailroom())
		}
		b.Prepend(b.Headroom())
		clear(b.Bytes())
		b.Adopt(append(b.Tail(), "overwritten"...), 10)
		b.Append(10)
		b.Release()
	}
}

func TestReaderChangesOfFraming(t *testing.T) {
	const stream = "GET / HTTP/1.1\r\n\x00\x03abcmagic\x00\x02de\x00\x01f\x00raw bytes follow"
	r := NewReader(iotest.HalfReader(strings.NewReader(stream)), nil, 0)
	peek(t, r, "GET ")
	peek(t, r, "GET / HTTP")
	discard(t, r, 16)
	r.SetDelimiter(length16{})
	next(t, r, "\x00\x03abc")
	read(t, r, "magic")
	next(t, r, "\x00\x02de")
	peek(t, r, "\x00\x01")
	next(t, r, "\x00\x01f")
	discard(t, r, 0)
	discard(t, r, 1)
	r.SetDelimiter(nil)
	var raw []byte
	for {
		b, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil || b.Len() == 0 {
			t.Fatalf("after the change: %d bytes, %v", b.Len(), err)
		}
		raw = append(raw, b.Bytes()...)
	}
	if string(raw) != "raw bytes follow" {
		t.Errorf("after the change: %q", raw)
	}
}

func next(t *testing.T, r *Reader, want string) {
	t.Helper()
	if b, err := r.Next(); err != nil || string(b.Bytes()) != want {
		t.Fatalf("Next gives %v, want %q", err, want)
	}
}

func peek(t *testing.T, r *Reader, want string) {
	t.Helper()
	p, err := r.Peek(len(want))
	if err != nil || string(p) != want {
		t.Fatalf("Peek gives %q, %v, want %q", p, err, want)
	}
	if cap(p) != len(p) {
		t.Errorf("append to what Peek gave would overwrite %d bytes", cap(p)-len(p))
	}
}

func discard(t *testing.T, r *Reader, n int) {
	t.Helper()
	if got, err := r.Discard(n); got != n || err != nil {
		t.Fatalf("Discard(%d) gives %d, %v", n, got, err)
	}
}

func read(t *testing.T, r *Reader, want string) {
	t.Helper()
	p := make([]byte, len(want))
	if _, err := io.ReadFull(r, p); err != nil || string(p) != want {
		t.Fatalf("Read gives %q, %v, want %q", p, err, want)
	}
}

func TestReaderWithoutDelimiter(t *testing.T) {
	r := NewReader(strings.NewReader("abcdefgh"), nil, 3)
	next(t, r, "abc")
	next(t, r, "def")
	next(t, r, "gh")
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v, want io.EOF", err)
	}
}

func TestReaderPeekAndDiscardAtTheEdges(t *testing.T) {
	r := NewReader(iotest.OneByteReader(strings.NewReader("abcdef")), nil, 5)
	if p, err := r.Peek(0); len(p) != 0 || err != nil {
		t.Errorf("Peek(0): %q, %v", p, err)
	}
	_, err := r.Peek(6)
	wantError(t, err, ErrTooLarge)
	if p, err := r.Peek(-1); p != nil || err == nil {
		t.Errorf("Peek(-1): %q, %v", p, err)
	}
	if n, err := r.Discard(-1); n != 0 || err == nil {
		t.Errorf("Discard(-1): %d, %v", n, err)
	}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("Read(nil): %d, %v", n, err)
	}
	peek(t, r, "abcde")
	discard(t, r, 4)
	if p, err := r.Peek(5); string(p) != "ef" || err != io.EOF {
		t.Errorf("Peek beyond the end: %q, %v, want io.EOF", p, err)
	}
	if n, err := r.Discard(5); n != 2 || err != io.EOF {
		t.Errorf("Discard beyond the end: %d, %v, want 2, io.EOF", n, err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read at the end: %d, %v, want io.EOF", n, err)
	}
}

// script is a stream of which each read runs one step.
type script []func(p []byte) (int, error)

func (s *script) Read(p []byte) (int, error) {
	if len(*s) == 0 {
		return 0, io.EOF
	}
	step := (*s)[0]
	*s = (*s)[1:]
	return step(p)
}

func give(s string) func(p []byte) (int, error) {
	return func(p []byte) (int, error) { return copy(p, s), nil }
}

// TestReaderOverBrokenStream reads from streams that break the rules of io.Reader in the middle of a frame.
func TestReaderOverBrokenStream(t *testing.T) {
	nothing := func([]byte) (int, error) { return 0, nil }
	tests := []struct {
		name   string
		broken script
		want   error // nil: any that does not blame the peer
	}{
		{"nothing for ever", slices.Repeat(script{nothing}, maxEmptyReads), io.ErrNoProgress},
		{"less than nothing", script{func([]byte) (int, error) { return -1, nil }}, nil},
		{"more than asked for", script{func(p []byte) (int, error) { return len(p) + 1, nil }}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := slices.Concat(script{give("\x00\x04ab")}, tt.broken, script{nothing, give("cd")})
			r := NewReader(&src, length16{}, 0)
			_, err := r.Next()
			if err == nil || errors.Is(err, ErrMalformed) {
				t.Errorf("error is %v, which should blame the stream", err)
			}
			if tt.want != nil {
				wantError(t, err, tt.want)
			}
			next(t, r, "\x00\x04abcd")
		})
	}
}
