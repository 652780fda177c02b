package frame

import (
	"errors"
	"fmt"
	"io"
)

const (
	idleRead  = 4 << 10      // what a Reader asks for when little arrives
	busyRead  = 64 << 10     // and when much does
	announced = 18 << 10     // most memory for a frame of which little has come: a TLS record fits
	pooled    = 2 * busyRead // a larger array is let go when little of it is in use

	// DefaultMaxFrame bounds a frame of a Reader that was told no other limit: a TLS flight of 64 KiB and its header.
	DefaultMaxFrame = 68 << 10

	maxEmptyReads = 100
)

var errNegative = errors.New("frame: negative count")

// A LateReader is a stream that needs no memory as long as there is nothing to read.
type LateReader interface {
	io.Reader
	// ReadLate is Read into what room returns. Before it waits it calls idle, which may take that back, and afterwards
	// room again.
	ReadLate(room func() []byte, idle func()) (int, error)
}

// A Reader cuts frames out of a byte stream. Its memory follows what arrives, not what the peer announces. A read asks
// for 4, 18 or 64 KiB, whichever the last one would have fitted, so that a quiet stream waits with little and a busy one
// needs few system calls; beyond that the array doubles when it is full. An unfinished frame stays in the array where it
// began, if that has no more than 128 KiB. Release gives back what is held between frames; while a Reader waits for the
// beginning of a frame it does so itself if the stream is a LateReader. A Reader is not safe for concurrent use.
type Reader struct {
	src   io.Reader
	lazy  *lazySource // src, if it is a LateReader
	delim Delimiter   // nil: whatever arrives is a frame
	max   int
	buf   *Buf  // storage; nil before the first read and after Release
	view  Buf   // what Next lends
	ask   int   // how much the next read asks for
	late  error // came together with data; reported by the next read
	err   error // final
}

// lazySource is what ReadLate needs, made once.
type lazySource struct {
	LateReader
	room func() []byte
	idle func()
}

// NewReader returns a Reader of frames from src. maxFrame bounds their length in bytes, header included; 0 means
// DefaultMaxFrame. With a nil Delimiter whatever arrives is a frame, up to maxFrame bytes of it.
func NewReader(src io.Reader, d Delimiter, maxFrame int) *Reader {
	if maxFrame <= 0 {
		maxFrame = DefaultMaxFrame
	}
	r := &Reader{src: src, delim: d, max: maxFrame, ask: idleRead}
	if lazy, ok := src.(LateReader); ok {
		room := func() []byte {
			r.makeRoom(0)
			return r.buf.full[r.buf.end:]
		}
		r.lazy = &lazySource{lazy, room, r.Release}
	}
	return r
}

// SetDelimiter changes how the bytes that Next has not yet returned are cut; nil means that whatever is there is a
// frame. It does not revive a Reader whose stream was malformed.
func (r *Reader) SetDelimiter(d Delimiter) { r.delim = d }

// Next returns the next frame. It is borrowed: valid, and free to be changed, until the next call of any method. It has
// no tailroom, for the next frames lie there.
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
			r.view.Borrow(r.buf.full[:off+n], off, off+n)
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
		return min(have, r.max), nil
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
func (r *Reader) Buffered() int { return len(r.unread()) }

func (r *Reader) unread() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf.Bytes()
}

// Release gives the Reader's memory back if it holds no unread bytes. The next read takes it again.
func (r *Reader) Release() {
	if r.buf != nil && r.buf.Len() == 0 {
		r.view = Buf{}
		r.buf.Release()
		r.buf = nil
	}
}

// Peek implements [Peeker]. It refuses n beyond the Reader's limit with an error that wraps ErrTooLarge.
func (r *Reader) Peek(n int) ([]byte, error) {
	switch {
	case n < 0:
		return nil, errNegative
	case n > r.max:
		return nil, fmt.Errorf("frame: Peek(%d): the limit is %d: %w", n, r.max, ErrTooLarge)
	case n == 0:
		return nil, nil
	}
	for r.Buffered() < n {
		if err := r.fill(n); err != nil {
			return r.unread(), err
		}
	}
	return r.unread()[:n:n], nil
}

// Discard implements [Peeker]. It returns how many bytes it took, fewer than n with the error that stopped it.
func (r *Reader) Discard(n int) (int, error) {
	if n < 0 {
		return 0, errNegative
	}
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

// Read takes bytes as they are, without regard to frames, and waits only when there are none.
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
	for range maxEmptyReads {
		n, err := r.readSome(want)
		b := r.buf
		if n < 0 || n > 0 && (b == nil || n > b.Tailroom()) {
			return errors.New("frame: the stream's Read returned an impossible count")
		}
		if n > 0 {
			b.end += n
			r.ask = nextAsk(n, b.end == len(b.full) && b.Len() != want)
			r.late = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// readSome reads once. Where no frame has begun, a LateReader waits without memory.
func (r *Reader) readSome(want int) (int, error) {
	if r.lazy != nil && r.Buffered() == 0 {
		return r.lazy.ReadLate(r.lazy.room, r.lazy.idle)
	}
	r.makeRoom(want)
	return r.src.Read(r.buf.full[r.buf.end:])
}

// nextAsk returns how much to ask for after a read of n bytes. full says that it left no room, although the frame may end
// there: more is waiting.
func nextAsk(n int, full bool) int {
	switch {
	case full || n > announced:
		return busyRead
	case n > idleRead:
		return announced
	}
	return idleRead
}

// makeRoom makes the array ready for a read: what is there stays, and moves to the front when that copies no more bytes
// than have been taken, or when there is no other way.
func (r *Reader) makeRoom(want int) {
	have, size, b := r.Buffered(), r.ask, r.buf
	if b == nil || have == 0 && len(b.full) != size {
		r.replace(size)
		return
	}
	size = max(size, r.needed(have, want))
	rest := min(max(want, have+1), len(b.full)) // must fit without another move, if it can
	switch {
	case size > len(b.full) || len(b.full) > pooled && size <= len(b.full)/4:
		r.replace(size)
	case have <= b.off || b.off+rest > len(b.full):
		copy(b.full, b.Bytes())
		b.off, b.end = 0, have
	}
}

// needed returns how long the array must be for one more read. A large frame gets memory as it arrives, not as it is
// announced; doubling keeps the copying linear however few bytes come at once.
func (r *Reader) needed(have, want int) int {
	need := max(have+1, min(want, announced))
	if have < len(r.buf.full) {
		return need
	}
	if want == 0 {
		want = r.max
	}
	return max(need, min(want, 2*have))
}

// replace moves what is there to an array of at least size bytes.
func (r *Reader) replace(size int) {
	r.view = Buf{} // or it would keep the old array alive
	next := Get(0, size)
	if r.buf != nil {
		copy(next.Append(r.buf.Len()), r.buf.Bytes())
		r.buf.Release()
	}
	r.buf = next
}
