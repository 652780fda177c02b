package bio

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// ErrWantRead and ErrWantWrite say that a call would have to wait: for bytes from the peer, or for room for bytes to
// it. Call again when there are some; nothing was lost, and the arguments need not be the same. [Memory], [PairEnd] and
// [Session] return them, and a Session expects them from what it reads and writes. Both are net.Errors that say they
// are temporary, which is what lets crypto/tls itself survive them.
var (
	ErrWantRead  error = errWantRead
	ErrWantWrite error = wantWrite{}
)

type wantWrite struct{}

func (wantWrite) Error() string   { return "bio: room for output wanted" }
func (wantWrite) Timeout() bool   { return true }
func (wantWrite) Temporary() bool { return true }

var _ net.Error = wantWrite{}

// DefaultMemory is how many bytes a Memory holds if it is told no other number: one record of the greatest length and
// some, as OpenSSL's BIO pair.
const DefaultMemory = 17 << 10

// A Memory is a queue of bytes in memory, what OpenSSL calls a memory BIO, but bounded. It is safe for concurrent use.
// Its memory is given back whenever it is empty.
type Memory struct {
	mu      sync.Mutex
	changed sync.Cond // with mu; at every change that a waiter may wait for
	data    []byte
	limit   int
	ended   bool // the writing end has closed
	gone    bool // the reading end has closed
}

// NewMemory returns a Memory that holds at most limit bytes, DefaultMemory if limit is 0.
func NewMemory(limit int) *Memory {
	if limit <= 0 {
		limit = DefaultMemory
	}
	m := &Memory{limit: limit}
	m.changed.L = &m.mu
	return m
}

// Read moves bytes to p. If there are none it returns ErrWantRead, or io.EOF after CloseWrite. It never waits.
func (m *Memory) Read(p []byte) (int, error) { return m.read(p, nil) }

// Write takes as much of p as there is room for. If that is not all, it returns ErrWantWrite. It never waits.
func (m *Memory) Write(p []byte) (int, error) { return m.write(p, nil) }

// Pending returns how many bytes can be read.
func (m *Memory) Pending() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.data)
}

// Room returns how many bytes can be written.
func (m *Memory) Room() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit - len(m.data)
}

// CloseWrite says that no more bytes will be written: Read returns io.EOF after the last.
func (m *Memory) CloseWrite() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	m.changed.Broadcast()
	return nil
}

// CloseRead says that nobody will read: what is there is dropped, and Write returns io.ErrClosedPipe.
func (m *Memory) CloseRead() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone, m.data = true, nil
	m.changed.Broadcast()
	return nil
}

// read waits until d ends; a nil d waits for nothing.
func (m *Memory) read(p []byte, d *deadline) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		switch {
		case m.gone:
			return 0, io.ErrClosedPipe
		case d.over():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(m.data) > 0:
			n := copy(p, m.data)
			if m.data = m.data[n:]; len(m.data) == 0 {
				m.data = nil
			}
			m.changed.Broadcast()
			return n, nil
		case m.ended:
			return 0, io.EOF
		case d == nil:
			return 0, ErrWantRead
		}
		m.changed.Wait()
	}
}

// write waits until d ends; a nil d waits for nothing.
func (m *Memory) write(p []byte, d *deadline) (done int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		switch {
		case m.gone || m.ended:
			return done, io.ErrClosedPipe
		case d.over():
			return done, os.ErrDeadlineExceeded
		}
		if n := min(len(p), m.limit-len(m.data)); n > 0 {
			m.data = append(m.data, p[:n]...)
			done, p = done+n, p[n:]
			m.changed.Broadcast()
		}
		if len(p) == 0 {
			return done, nil
		}
		if d == nil {
			return done, ErrWantWrite
		}
		m.changed.Wait()
	}
}

// Pair returns two connected ends with a buffer of limit bytes in each direction (0: DefaultMemory), what OpenSSL calls
// a BIO pair. Each end is a net.Conn. Calls wait, within the deadlines, until SetNonblock says otherwise.
func Pair(limit int) (a, b *PairEnd) {
	ab, ba := NewMemory(limit), NewMemory(limit)
	return newPairEnd(ba, ab, "a"), newPairEnd(ab, ba, "b")
}

// A PairEnd is one end of a Pair. It is safe for concurrent use.
type PairEnd struct {
	in, out     *Memory
	name        memAddr
	mu          sync.Mutex // guards nonblock
	nonblock    bool
	read, write deadline
}

func newPairEnd(in, out *Memory, name string) *PairEnd {
	e := &PairEnd{in: in, out: out, name: memAddr("pair-" + name)}
	e.read.m, e.write.m = in, out
	return e
}

// SetNonblock makes Read and Write return ErrWantRead and ErrWantWrite instead of waiting.
func (e *PairEnd) SetNonblock(on bool) {
	e.mu.Lock()
	e.nonblock = on
	e.mu.Unlock()
}

// waits returns d, or nil in non-blocking mode.
func (e *PairEnd) waits(d *deadline) *deadline {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.nonblock {
		return nil
	}
	return d
}

// Read implements net.Conn.
func (e *PairEnd) Read(p []byte) (int, error) { return e.in.read(p, e.waits(&e.read)) }

// Write implements net.Conn.
func (e *PairEnd) Write(p []byte) (int, error) { return e.out.write(p, e.waits(&e.write)) }

// Pending returns how many bytes Read can return now (BIO_ctrl_pending).
func (e *PairEnd) Pending() int { return e.in.Pending() }

// WriteGuarantee returns how many bytes Write can take now (BIO_ctrl_get_write_guarantee).
func (e *PairEnd) WriteGuarantee() int { return e.out.Room() }

// CloseWrite makes the other end read io.EOF after what is there (BIO_shutdown_wr).
func (e *PairEnd) CloseWrite() error { return e.out.CloseWrite() }

// Close ends both directions: the other end reads what is there, then io.EOF.
func (e *PairEnd) Close() error {
	e.SetDeadline(time.Time{}) // nothing waits for it any more
	e.out.CloseWrite()
	return e.in.CloseRead()
}

// LocalAddr implements net.Conn.
func (e *PairEnd) LocalAddr() net.Addr { return e.name }

// RemoteAddr implements net.Conn.
func (e *PairEnd) RemoteAddr() net.Addr { return memAddr("pair") }

// SetDeadline implements net.Conn.
func (e *PairEnd) SetDeadline(t time.Time) error {
	e.read.set(t)
	e.write.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (e *PairEnd) SetReadDeadline(t time.Time) error { e.read.set(t); return nil }

// SetWriteDeadline implements net.Conn.
func (e *PairEnd) SetWriteDeadline(t time.Time) error { e.write.set(t); return nil }

// A deadline ends the waiting on a Memory; it is guarded by that Memory's lock. nil never ends it.
type deadline struct {
	m      *Memory
	passed bool
	timer  *time.Timer // of the deadline to come, nil if there is none
}

func (d *deadline) over() bool { return d != nil && d.passed }

func (d *deadline) set(t time.Time) {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	left := time.Until(t)
	d.timer, d.passed = nil, !t.IsZero() && left <= 0
	if left > 0 {
		d.start(left)
	}
	d.m.changed.Broadcast()
}

// start makes the deadline pass after left, unless it is changed before; the caller holds the lock.
func (d *deadline) start(left time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.m.mu.Lock()
		defer d.m.mu.Unlock()
		if d.timer == timer {
			d.passed = true
			d.m.changed.Broadcast()
		}
	})
	d.timer = timer
}
