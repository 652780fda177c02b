package frame

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
)

// FuzzReader runs a program of calls over a stream that is cut at will, and compares each with what a plain slice of
// the whole stream says.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x00\x03abc\x00\x00\x00\x01x"), []byte{1, 0, 5, 9}, []byte{0, 0, 0, 0})
	f.Add([]byte("hello\nworld\n\x00\x02ab\x03rest"), []byte{3, 255, 2}, []byte{0x11, 0, 0, 0x10, 0, 0x13, 0, 0x14, 0})
	f.Add([]byte("\xff\xffendless"), []byte{8}, []byte{0x32, 0x24, 0x13, 0})
	f.Add(bytes.Repeat([]byte("\x01\x00line\n"), 2000), []byte{200, 40}, bytes.Repeat([]byte{0, 0x72, 0, 0x23}, 40))
	f.Add([]byte("\x05abcd"), []byte{}, []byte{0x12, 0, 0x15, 0, 0})
	f.Fuzz(func(t *testing.T, stream, cuts, program []byte) {
		const limit = 300
		o := &oracle{rest: stream, limit: limit}
		r := NewReader(&cut{stream: stream, cuts: cuts}, nil, limit)
		for _, op := range program[:min(len(program), 500)] {
			arg := int(op >> 4)
			switch op & 7 {
			case 0, 6, 7:
				o.checkNext(t, r)
			case 1:
				d := fuzzDelimiters[arg%len(fuzzDelimiters)]
				o.delim = d
				r.SetDelimiter(d)
			case 2:
				o.checkPeek(t, r, arg*21)
			case 3:
				o.checkDiscard(t, r, arg*arg)
			case 4:
				o.checkRead(t, r, arg)
			case 5:
				r.Release()
			}
			if held := len(o.rest); r.Buffered() > held {
				t.Fatalf("%d bytes buffered of %d that are left", r.Buffered(), held)
			}
		}
	})
}

var fuzzDelimiters = []Delimiter{
	length16{},
	line{},
	nil,
	fixed{n: 7},
	fixed{n: 0},
	fixed{n: -3},
	fixed{n: 301},
	fixed{err: ErrMalformed},
	length24{},
}

// cut gives a stream in pieces. A zero among the cuts is a timeout, an odd one brings its error together with the data.
type cut struct {
	stream, cuts []byte
	turn         int
}

func (c *cut) Read(p []byte) (int, error) {
	n := len(c.stream)
	var err error
	if len(c.cuts) > 0 {
		n = int(c.cuts[c.turn%len(c.cuts)])
		c.turn++
		if c.turn > 2*len(c.cuts) && n == 0 {
			n = 1 // enough timeouts
		}
		if n%2 == 1 && c.turn < 2*len(c.cuts) || n == 0 {
			err = os.ErrDeadlineExceeded
		}
	}
	n = copy(p, c.stream[:min(n, len(c.stream))])
	c.stream = c.stream[n:]
	if len(c.stream) == 0 && (err == nil || n == 0) {
		err = io.EOF
	}
	return n, err
}

// oracle knows the rest of the stream and the frames in it, without buffers.
type oracle struct {
	rest  []byte
	delim Delimiter
	limit int
	dead  bool
}

// frame returns the length of the next frame, or why there is none.
func (o *oracle) frame() (int, error) {
	if o.dead {
		return 0, ErrMalformed
	}
	for have := 1; have <= len(o.rest); have++ {
		n, err := o.delim.FrameLen(o.rest[:have])
		switch {
		case err != nil || n < 0 || n > o.limit || n == 0 && have >= o.limit:
			o.dead = true
			return 0, ErrMalformed
		case n > len(o.rest):
			return 0, io.ErrUnexpectedEOF
		case n > 0:
			return n, nil
		}
	}
	if len(o.rest) == 0 {
		return 0, io.EOF
	}
	return 0, io.ErrUnexpectedEOF
}

func (o *oracle) checkNext(t *testing.T, r *Reader) {
	b, err := nextPatiently(r)
	if o.delim == nil && !o.dead {
		if len(o.rest) == 0 {
			if err != io.EOF {
				t.Fatalf("at the end: %v", err)
			}
			return
		}
		if err != nil || b.Len() == 0 || b.Len() > o.limit {
			t.Fatalf("without delimiter: %v", err)
		}
		o.take(t, b.Bytes())
		return
	}
	n, want := o.frame()
	if !errors.Is(err, want) {
		t.Fatalf("Next: %v, want %v", err, want)
	}
	if want != nil {
		return
	}
	if b.Len() != n {
		t.Fatalf("Next: frame of %d bytes, want %d", b.Len(), n)
	}
	o.take(t, b.Bytes())
	b.Prepend(b.Headroom()) // the frame and what lies before it are free to be changed
	clear(b.Bytes())
}

func (o *oracle) take(t *testing.T, p []byte) {
	if !bytes.HasPrefix(o.rest, p) {
		t.Fatalf("%q is not what follows in the stream", p)
	}
	o.rest = o.rest[len(p):]
}

func (o *oracle) checkPeek(t *testing.T, r *Reader, n int) {
	p, err := r.Peek(n)
	for errors.Is(err, os.ErrDeadlineExceeded) {
		p, err = r.Peek(n)
	}
	switch {
	case n > o.limit:
		wantError(t, err, ErrTooLarge)
	case n > len(o.rest):
		if err != io.EOF || !bytes.Equal(p, o.rest) {
			t.Fatalf("Peek(%d): %d bytes of %d, %v", n, len(p), len(o.rest), err)
		}
	case err != nil || !bytes.Equal(p, o.rest[:n]):
		t.Fatalf("Peek(%d): %q, %v", n, p, err)
	}
}

func (o *oracle) checkDiscard(t *testing.T, r *Reader, n int) {
	want := min(n, len(o.rest))
	got, err := r.Discard(n)
	for errors.Is(err, os.ErrDeadlineExceeded) {
		var more int
		more, err = r.Discard(n - got)
		got += more
	}
	if got != want || got < n && err != io.EOF || got == n && err != nil {
		t.Fatalf("Discard(%d): %d, %v, want %d", n, got, err, want)
	}
	o.rest = o.rest[want:]
}

func (o *oracle) checkRead(t *testing.T, r *Reader, n int) {
	p := make([]byte, n)
	got, err := r.Read(p)
	for errors.Is(err, os.ErrDeadlineExceeded) {
		got, err = r.Read(p)
	}
	switch {
	case n > 0 && len(o.rest) == 0:
		if got != 0 || err != io.EOF {
			t.Fatalf("Read at the end: %d, %v", got, err)
		}
	case err != nil || n > 0 && got == 0:
		t.Fatalf("Read(%d): %d, %v", n, got, err)
	}
	o.take(t, p[:got])
}
