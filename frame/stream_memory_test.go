package frame

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// watched calls see before every read and then gives up to most bytes of a run of zeros of the given length.
type watched struct {
	left, most int
	see        func(p []byte)
}

func (w *watched) Read(p []byte) (int, error) {
	w.see(p)
	n := min(len(p), w.most, w.left)
	if n == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	clear(p[:n])
	w.left -= n
	return n, nil
}

// TestReaderMemory announces frames as long as the limit and looks at every read how much memory the Reader holds, and
// that it has not moved to another array more often than doubling needs.
func TestReaderMemory(t *testing.T) {
	for _, limit := range []int{DefaultMaxFrame, 16 << 20} {
		for _, most := range []int{1, 100, 1448, 20000, 1 << 30} {
			for _, sent := range []int{1, 4095, 40000, DefaultMaxFrame - 1, 300_000} {
				t.Run(fmt.Sprintf("%d/%d/%d", limit, sent, most), func(t *testing.T) {
					var r *Reader
					var array *byte
					arrays := 0
					src := &watched{left: min(sent, limit-1), most: most}
					src.see = func([]byte) {
						if p := &r.buf.full[0]; p != array {
							array = p
							arrays++
						}
						have, holds := r.Buffered(), len(r.buf.full)
						bound := 18 << 10
						if have >= 4<<10 {
							bound = 64<<10 + 2*have
						}
						if holds > bound {
							t.Fatalf("holds %d bytes with %d arrived, want at most %d", holds, have, bound)
						}
					}
					r = NewReader(src, fixed{n: limit}, limit)
					_, err := r.Next()
					wantError(t, err, os.ErrDeadlineExceeded)
					if r.Buffered() != min(sent, limit-1) || arrays > 6 {
						t.Errorf("%d bytes buffered of %d, in %d arrays", r.Buffered(), sent, arrays)
					}
				})
			}
		}
	}
}

// TestReaderIdleMemory sends a burst that makes the Reader grow and looks at what it holds when nothing follows.
func TestReaderIdleMemory(t *testing.T) {
	tests := []struct {
		name  string
		delim Delimiter
		frame string
		count int
		extra string // the start of another frame
		most  int
	}{
		{"small frames", length16{}, "\x00\x64" + zeros(100), 1999, "", 4 << 10},
		{"records", length16{}, "\x40\x11" + zeros(16401), 19, "", 4 << 10},
		{"large", length24{}, "\x10\x00\x00" + zeros(1<<20), 1, "", 4 << 10},
		{"large, unannounced", line{}, zeros(1<<20) + "\n", 1, "", 4 << 10},
		{"large, and a bit", line{}, zeros(1<<20) + "\n", 1, "x", 18 << 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r *Reader
			idle := func(p []byte) (int, error) {
				if r.view.full != nil {
					t.Error("the last frame keeps its array alive")
				}
				if len(r.buf.full) > tt.most {
					t.Errorf("holds %d bytes while idle, want %d", len(r.buf.full), tt.most)
				}
				return 0, os.ErrDeadlineExceeded
			}
			stream := strings.Repeat(tt.frame, tt.count) + tt.extra
			r = NewReader(io.MultiReader(strings.NewReader(stream), readFunc(idle)), tt.delim, 2<<20)
			for i := range tt.count {
				if _, err := r.Next(); err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
			}
			_, err := r.Next()
			wantError(t, err, os.ErrDeadlineExceeded)
		})
	}
}

func zeros(n int) string { return strings.Repeat("\x00", n) }

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

type length24 struct{}

func (length24) FrameLen(p []byte) (int, error) {
	if len(p) < 3 {
		return 0, nil
	}
	return 3 + int(p[0])<<16 + int(p[1])<<8 + int(p[2]), nil
}

// counting counts the calls of a Delimiter.
type counting struct {
	Delimiter
	calls int
}

func (c *counting) FrameLen(p []byte) (int, error) {
	c.calls++
	return c.Delimiter.FrameLen(p)
}

// TestReaderIsLinear reads many small frames that came in one read: they must not be moved, nor looked at twice.
func TestReaderIsLinear(t *testing.T) {
	const count = 20_000
	stream := bytes.Repeat([]byte{0, 1, 'x'}, count)
	delim := &counting{Delimiter: length16{}}
	reads := 0
	src := bytes.NewReader(stream)
	r := NewReader(readFunc(func(p []byte) (int, error) { reads++; return src.Read(p) }), delim, 0)
	for i, last := 0, 0; i < count; i++ {
		before := reads
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if reads == before && b.off != last {
			t.Fatalf("frame %d was moved from %d to %d though nothing was read", i, last, b.off)
		}
		last = b.end
	}
	if reads > 3 || delim.calls > count+reads {
		t.Errorf("%d reads and %d calls of the delimiter for %d frames", reads, delim.calls, count)
	}
}

// TestReaderReadsMuch looks whether a read has room for what a socket may have for it, wherever the last frame ended.
func TestReaderReadsMuch(t *testing.T) {
	src := &endless{frame: lengthFrame(make([]byte, 1350)), most: 20_001} // hardly ever ends with a frame
	least := 1 << 20
	r := NewReader(readFunc(func(p []byte) (int, error) {
		if src.reads >= 2 { // the first tells that there is much
			least = min(least, len(p))
		}
		return src.Read(p)
	}), length16{}, 0)
	for src.delivered < 10_000_000 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if least < busyRead-1352 {
		t.Errorf("a read had room for %d bytes only", least)
	}
}

// lateBytes is a LateReader that has to wait before each of the pieces it gives.
type lateBytes struct {
	pieces []string
	waits  func()
}

func (l *lateBytes) Read(p []byte) (int, error) {
	l.waits()
	return l.take(p)
}

func (l *lateBytes) take(p []byte) (int, error) {
	if len(l.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.pieces[0])
	if l.pieces[0] = l.pieces[0][n:]; l.pieces[0] == "" {
		l.pieces = l.pieces[1:]
	}
	return n, nil
}

func (l *lateBytes) ReadLate(room func() []byte, idle func()) (int, error) {
	room() // looks, and finds nothing
	idle()
	l.waits()
	return l.take(room())
}

// TestLateReader reads frames that arrive whole, in pieces, and several at once. The Reader waits without memory where
// no frame has begun, and only there.
func TestLateReader(t *testing.T) {
	var r *Reader
	var held []bool
	src := &lateBytes{pieces: []string{"\x00\x02ab", "\x00\x02c", "d", "\x00\x00\x00\x01e", "\x00\x03fgh\x00"}}
	src.waits = func() { held = append(held, r.buf != nil) }
	r = NewReader(src, length16{}, 0)
	var got []string
	for {
		b, err := r.Next()
		if err != nil {
			wantError(t, err, io.ErrUnexpectedEOF)
			break
		}
		got = append(got, string(b.Bytes()[2:]))
	}
	if fmt.Sprintf("%q", got) != `["ab" "cd" "" "e" "fgh"]` {
		t.Errorf("the frames are %q", got)
	}
	if fmt.Sprint(held) != "[false false true false false true]" {
		t.Errorf("memory is held while it waits: %v", held)
	}
}

// brokenLate claims to have read without asking for memory.
type brokenLate struct{ io.Reader }

func (brokenLate) ReadLate(func() []byte, func()) (int, error) { return 1, nil }

func TestBrokenLateReader(t *testing.T) {
	if _, err := NewReader(brokenLate{}, nil, 0).Next(); err == nil {
		t.Error("a byte has come from nowhere")
	}
}
