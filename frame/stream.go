package frame

import (
	"errors"
	"fmt"
	"io"
	"net"
)

const (
	idleRead = 4 << 10  // what a Reader asks for when little arrives
	busyRead = 64 << 10 // and when its last read was filled

	// DefaultMaxFrame bounds a frame of a Reader that was told no other limit: a TLS flight of 64 KiB and its header.
	DefaultMaxFrame = 68 << 10

	maxEmptyReads = 100
)

// A Reader cuts frames out of a byte stream. Whatever lengths the peer announces, it holds at most the longest frame it
// was told to accept, and never more than twice what has arrived plus a read of 64 KiB; between frames it holds 4 KiB.
// It is not safe for concurrent use.
type Reader struct {
	src    io.Reader
	delim  Delimiter // nil: whatever arrives is a frame
	max    int
	buf    *Buf  // storage; nil before the first read and after Release
	view   Buf   // what Next lends
	filled bool  // the last read left no room: more is waiting
	late   error // came together with data; reported by the next read
	err    error // final
}

// NewReader returns a Reader of frames from src. maxFrame bounds their length in bytes, header included; 0 means
// DefaultMaxFrame. With a nil Delimiter whatever arrives is a frame.
func NewReader(src io.Reader, d Delimiter, maxFrame int) *Reader {
	if maxFrame <= 0 {
		maxFrame = DefaultMaxFrame
	}
	return &Reader{src: src, delim: d, max: maxFrame}
}

// SetDelimiter changes how the bytes that Next has not yet returned are cut.
func (r *Reader) SetDelimiter(d Delimiter) { r.delim = d }

// Next returns the next frame. It is borrowed: valid, and free to be changed, until the next call of any method.
//
// At the end of the stream Next returns io.EOF, or io.ErrUnexpectedEOF inside a frame. Errors of the delimiter, and
// frames longer than the limit, wrap ErrMalformed and are final. After any other error of the stream, such as a
// timeout, nothing is lost and Next may be called again.
func (r *Reader) Next() (*Buf, error) {
	if r.err != nil {
		return nil, r.err
	}
	for {
		n, err := r.frameLen()
		if err != nil {
			r.err = err
			return nil, err
		}
		if n > 0 && n <= r.Buffered() {
			off := r.buf.off
			r.view.Borrow(r.buf.full, off, off+n)
			r.buf.off += n
			return &r.view, nil
		}
		if err := r.fill(n); err != nil {
			if err == io.EOF && r.Buffered() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// frameLen returns the length of the frame at the front of the buffer, 0 if that cannot be told yet.
func (r *Reader) frameLen() (int, error) {
	have := r.Buffered()
	if have == 0 || r.delim == nil {
		return have, nil
	}
	n, err := r.delim.FrameLen(r.buf.Bytes())
	switch {
	case err != nil:
		return 0, err
	case n < 0 || n > r.max:
		return 0, fmt.Errorf("%w: the peer announces %d bytes, at most %d are accepted", ErrMalformed, n, r.max)
	case n == 0 && have >= r.max:
		return 0, fmt.Errorf("%w: no end of the frame within %d bytes", ErrMalformed, r.max)
	}
	return n, nil
}

// Buffered returns how many bytes have been read from the stream and not been taken.
func (r *Reader) Buffered() int {
	if r.buf == nil {
		return 0
	}
	return r.buf.Len()
}

// Release gives the Reader's memory back if it holds no unread bytes. The next read takes it again.
func (r *Reader) Release() {
	if r.buf != nil && r.buf.Len() == 0 {
		r.buf.Release()
		r.buf = nil
	}
}

// Peek implements [Peeker]. n must not exceed the Reader's limit.
func (r *Reader) Peek(n int) ([]byte, error) {
	if n > r.max {
		return nil, fmt.Errorf("frame: Peek(%d): the limit is %d: %w", n, r.max, ErrTooLarge)
	}
	for r.Buffered() < n {
		if err := r.fill(n); err != nil {
			if r.buf == nil {
				return nil, err
			}
			return r.buf.Bytes(), err
		}
	}
	if n == 0 {
		return nil, nil
	}
	return r.buf.Bytes()[:n], nil
}

// Discard implements [Peeker].
func (r *Reader) Discard(n int) (int, error) {
	for done := 0; ; {
		m := min(n-done, r.Buffered())
		if m > 0 {
			r.buf.TrimFront(m)
		}
		if done += m; done == n {
			return n, nil
		}
		if err := r.fill(0); err != nil {
			return done, err
		}
	}
}

// Read takes bytes as they are, without regard to frames.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.Buffered() == 0 {
		if err := r.fill(0); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf.Bytes())
	r.buf.TrimFront(n)
	return n, nil
}

// fill reads at least one more byte. want is the length that the contents will have in the end, 0 if unknown.
func (r *Reader) fill(want int) error {
	if err := r.late; err != nil {
		r.late = nil
		return err
	}
	r.makeRoom(want)
	b := r.buf
	for range maxEmptyReads {
		n, err := r.src.Read(b.full[b.end:])
		if n < 0 || n > b.Tailroom() {
			return errors.New("frame: the stream's Read returned an impossible count")
		}
		b.end += n
		r.filled = n > 0 && b.end == len(b.full)
		if n > 0 {
			r.late = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom makes the array ready for a read: what is there stays, in front, and more room follows as it is needed.
func (r *Reader) makeRoom(want int) {
	have := r.Buffered()
	size := idleRead
	if r.filled {
		size = busyRead
	}
	// A large frame gets memory as it arrives, not as it is announced.
	need := min(max(want, have+1), max(busyRead, 2*have))
	switch b := r.buf; {
	case b == nil || have == 0 && len(b.full) != size:
		r.replace(size)
	case have == 0:
		b.off, b.end = 0, 0
	case b.off+need <= len(b.full):
		// There is room behind.
	case need <= len(b.full) && size <= len(b.full):
		copy(b.full, b.Bytes())
		b.off, b.end = 0, have
	default:
		r.replace(max(size, need))
	}
}

// replace moves what is there to an array of at least size bytes.
func (r *Reader) replace(size int) {
	next := Get(0, size)
	if r.buf != nil {
		copy(next.Append(r.buf.Len()), r.buf.Bytes())
		r.buf.Release()
	}
	r.buf = next
}

// A Writer puts frames into a byte stream, several of them with one system call where the stream can do that (writev on
// TCP and Unix sockets). It is not safe for concurrent use.
type Writer struct {
	dst    io.Writer
	vec    [][]byte // reused
	unsent net.Buffers
}

// NewWriter returns a Writer of frames to dst.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// Write writes frames in order and releases each that is written. It returns how many were; after an error, frames[sent:]
// are still the caller's, and the first of them has lost the part that was written, so that a later Write can go on.
func (w *Writer) Write(frames []*Buf) (sent int, err error) {
	w.vec = w.vec[:0]
	for _, b := range frames {
		w.vec = append(w.vec, b.Bytes())
	}
	w.unsent = w.vec
	n, err := w.unsent.WriteTo(w.dst)
	clear(w.vec)
	for _, b := range frames {
		if n < int64(b.Len()) || err != nil && n == 0 {
			b.TrimFront(int(n))
			break
		}
		n -= int64(b.Len())
		b.Release()
		sent++
	}
	if err == nil && sent < len(frames) {
		err = io.ErrShortWrite
	}
	return sent, err
}
