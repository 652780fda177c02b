package wrap

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A deadline can be waited for in a select. It is safe for concurrent use.
type deadline struct {
	mu    sync.Mutex
	at    time.Time // zero: never
	timer *time.Timer
	over  chan struct{} // closed when the time has come
}

func newDeadline() *deadline { return &deadline{over: make(chan struct{})} }

// set moves the deadline; the zero time means never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.over // its function is running: let it close this channel, not the next one
	}
	d.at, d.timer = t, nil
	past := isClosed(d.over)
	wait := time.Until(t)
	switch {
	case t.IsZero():
		if past {
			d.over = make(chan struct{})
		}
	case wait <= 0:
		if !past {
			close(d.over)
		}
	default:
		if past {
			d.over = make(chan struct{})
		}
		over := d.over
		d.timer = time.AfterFunc(wait, func() { close(over) })
	}
}

// done returns a channel that is closed when the deadline has passed.
func (d *deadline) done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

func (d *deadline) time() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *deadline) passed() bool { return isClosed(d.done()) }

// closedNow is for what shall not wait.
var closedNow = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

type deadliner interface{ SetReadDeadline(t time.Time) error }

var errNoDeadline = errors.New("wrap: the stream has no read deadline")

// readerOf returns what to read from rwc with, and how to interrupt that.
func readerOf(rwc io.ReadWriteCloser) (io.Reader, deadliner) {
	if d, ok := rwc.(deadliner); ok && d.SetReadDeadline(time.Time{}) == nil {
		if late := lateReader(rwc); late != nil {
			return late, d
		}
		return rwc, d
	}
	r := &deadlineReader{src: rwc, deadline: newDeadline()}
	return r, r
}

// A deadlineReader gives read deadlines to a reader that has none: a goroutine reads, and the reader's own Read waits
// for it or for the deadline. What arrives after a deadline is kept for the next Read.
type deadlineReader struct {
	src      io.Reader
	deadline *deadline

	// Used by one Read at a time.
	pending chan struct{} // closed when the goroutine's Read has returned; nil if none is under way
	got     *frame.Buf
	err     error
	filled  bool // the last read left no room: more is waiting
}

const quietRead, busyRead = 4 << 10, 64 << 10

// SetReadDeadline may be called at any time.
func (r *deadlineReader) SetReadDeadline(t time.Time) error {
	r.deadline.set(t)
	return nil
}

func (r *deadlineReader) Read(p []byte) (int, error) {
	if r.deadline.passed() {
		return 0, os.ErrDeadlineExceeded
	}
	if r.pending == nil && r.got == nil { // in this order: got is the goroutine's while something is pending
		r.start()
	}
	if r.pending != nil {
		select {
		case <-r.pending:
			r.pending = nil
		case <-r.deadline.done():
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(p, r.got.Bytes())
	if r.got.TrimFront(n); r.got.Len() > 0 {
		return n, nil
	}
	err := r.err
	r.got.Release()
	r.got, r.err = nil, nil
	return n, err
}

// start begins a read. Its goroutine owns got, err and filled until it closes pending.
func (r *deadlineReader) start() {
	size := quietRead
	if r.filled {
		size = busyRead
	}
	done := make(chan struct{})
	r.pending = done
	go func() {
		b := frame.Get(0, size)
		n, err := r.src.Read(b.Append(size))
		n = min(max(n, 0), size)
		b.TrimBack(size - n)
		r.got, r.err, r.filled = b, err, n == size
		close(done)
	}()
}
