package bio

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/frame"
)

const (
	// softQueue is how many bytes of answers may wait for Flush before Open takes no more input, and hardQueue how
	// many there may ever be; what one Open of 64 KiB can provoke lies between them.
	softQueue = 16 << 10
	hardQueue = 128 << 10
)

// tlsEngine drives an unmodified tls.Conn over a memConn.
//
// The handshake of crypto/tls cannot be resumed once it has returned, so it runs on a goroutine that is suspended while
// it waits for input, and that ends with it. Afterwards tls.Conn.Read can be called again after an error that is
// temporary, and nothing but the caller's own calls remains.
type tlsEngine struct {
	conn *tls.Conn
	mem  memConn
	role frame.Role

	open   sync.Mutex                // held by whoever drives the handshake or reads
	shake  atomic.Pointer[handshake] // nil before the start and after the end
	events Events                    // since the last Status; guarded by open
	least  int                       // fewest bytes that a record adds to its plaintext; guarded by open

	phase  atomic.Uint32
	closed struct{ read, write atomic.Bool }
	fatal  atomic.Pointer[error] // what has ended the engine
	over   atomic.Int32          // Overhead
}

// Open implements Engine.
func (e *tlsEngine) Open(dst, src []byte) ([]byte, Status, error) {
	e.open.Lock()
	defer e.open.Unlock()
	switch {
	case e.failure() != nil:
		return dst, e.status(0), e.failure()
	case e.closed.read.Load():
		return dst, e.status(len(src)), nil // what follows close_notify counts for nothing
	case e.phaseIs(PhaseOpen) && e.mem.queued() >= softQueue:
		return dst, e.status(0), nil
	}
	returned := false
	defer func() {
		if e.mem.in = nil; !returned { // a callback has panicked: the state of crypto/tls is anybody's guess
			e.fail(e.blame(errUnwound))
		}
	}()
	e.mem.in = src
	var err error
	if !e.handshakeDone() {
		err = e.advance()
	}
	if err == nil && e.handshakeDone() {
		dst, err = e.read(dst)
	}
	returned = true
	if err != nil {
		err = e.fail(err)
	}
	return dst, e.status(len(src) - len(e.mem.in)), err
}

// read appends all application data that the input holds to dst.
func (e *tlsEngine) read(dst []byte) ([]byte, error) {
	for len(e.mem.in) > 0 {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(len(e.mem.in)+e.mem.partial, MaxPlaintext))
		}
		room := cap(dst) - len(dst)
		n, err := e.conn.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		for err == nil && len(dst) == cap(dst) && room < e.mem.whole-e.least { // the record may hold more
			dst = slices.Grow(dst, MaxPlaintext)
			n, err = e.conn.Read(dst[len(dst):cap(dst)])
			dst = dst[:len(dst)+n]
		}
		if err = e.readError(err); err != nil {
			return dst, err
		}
		if e.mem.queued() > hardQueue {
			return dst, ErrTooMuch
		}
	}
	if e.mem.answered() {
		e.events |= EventKeysUpdated // nothing else makes an established connection answer and live
	}
	return dst, nil
}

// readError takes in what tls.Conn.Read returned, and returns it if it is the end.
func (e *tlsEngine) readError(err error) error {
	switch err {
	case nil, errWantRead:
		return nil
	case io.EOF: // only close_notify: memConn never ends
		e.closed.read.Store(true)
		e.events |= EventPeerClosed
		e.mem.in = nil
		if e.closed.write.Load() {
			e.setPhase(PhaseClosed)
		}
		return nil
	}
	return e.blame(err)
}

// Seal implements Engine.
func (e *tlsEngine) Seal(dst, p []byte) ([]byte, int, error) {
	if err := e.writable(); err != nil {
		return dst, 0, err
	}
	if e.closed.write.Load() {
		return dst, 0, ErrWriteClosed
	}
	p = p[:min(len(p), MaxPlaintext)]
	if len(p) <= longestAnswer {
		return e.sealShort(dst, p)
	}
	e.mem.record = dst
	n, err := e.conn.Write(p)
	out := e.mem.record
	e.mem.record = nil
	if err != nil { // of an alert that went before: nothing was written
		return dst, 0, e.fail(e.blame(err))
	}
	return out, n, nil
}

// sealShort seals what cannot be told from an answer by its length.
func (e *tlsEngine) sealShort(dst, p []byte) ([]byte, int, error) {
	e.mem.collect(dst)
	n, err := e.conn.Write(p)
	if err != nil {
		e.mem.keep(0) // the alert that this may be about is not lost
		return dst, 0, e.fail(e.blame(err))
	}
	return e.mem.collected(min(n, 1)), n, nil
}

// writable returns why nothing can be sealed.
func (e *tlsEngine) writable() error {
	if err := e.failure(); err != nil {
		return err
	}
	if !e.handshakeDone() {
		return ErrNotOpen
	}
	return nil
}

// Flush implements Engine.
func (e *tlsEngine) Flush(dst []byte, limit int) ([]byte, bool) {
	if e.role == frame.Client && e.phaseIs(PhaseHandshake) {
		e.start()
	}
	return e.mem.flush(dst, limit)
}

// start makes a client's handshake produce its ClientHello.
func (e *tlsEngine) start() {
	if e.shake.Load() != nil {
		return // and Open, which may be under way, takes as long as it likes
	}
	e.open.Lock()
	defer e.open.Unlock()
	if e.shake.Load() == nil && e.failure() == nil && !e.handshakeDone() {
		if err := e.advance(); err != nil {
			e.fail(err)
		}
	}
}

// Deadline implements Engine: TLS over a stream has no timers.
func (e *tlsEngine) Deadline() (time.Time, bool) { return time.Time{}, false }

// Tick implements Engine.
func (e *tlsEngine) Tick(time.Time) (Status, error) {
	e.open.Lock()
	defer e.open.Unlock()
	return e.status(0), e.failure()
}

// CloseWrite implements Engine.
func (e *tlsEngine) CloseWrite() error {
	if err := e.writable(); err != nil {
		return err
	}
	if e.closed.write.Swap(true) {
		return nil
	}
	if e.closed.read.Load() {
		e.setPhase(PhaseClosed)
	}
	e.mem.collect(nil)
	err := e.conn.CloseWrite()
	e.mem.keep(1)
	if err != nil {
		return e.fail(e.blame(err))
	}
	return nil
}

// TransportEOF implements Engine.
func (e *tlsEngine) TransportEOF() error {
	e.open.Lock()
	defer e.open.Unlock()
	switch {
	case e.failure() != nil:
		return e.failure()
	case e.closed.read.Load():
		return nil
	}
	err := e.fail(ErrTruncated)
	e.mem.mute()
	e.unwind()
	return err
}

// Abort implements Engine.
func (e *tlsEngine) Abort(err error) {
	if err == nil {
		err = ErrAborted
	}
	e.fail(err)
	e.mem.drop()
	e.unwind()
}

// Overhead implements Engine.
func (e *tlsEngine) Overhead() int { return int(e.over.Load()) }

// State implements Engine.
func (e *tlsEngine) State() State {
	s := State{
		Phase:       Phase(e.phase.Load()),
		PeerClosed:  e.closed.read.Load(),
		WriteClosed: e.closed.write.Load(),
	}
	if e.handshakeDone() {
		s.TLS = e.conn.ConnectionState() // would wait for a suspended handshake
	}
	return s
}

func (e *tlsEngine) handshakeDone() bool  { return e.over.Load() != 0 }
func (e *tlsEngine) phaseIs(p Phase) bool { return Phase(e.phase.Load()) == p }

// setPhase changes the phase; failure is final.
func (e *tlsEngine) setPhase(p Phase) {
	for {
		old := e.phase.Load()
		if Phase(old) == PhaseFailed || e.phase.CompareAndSwap(old, uint32(p)) {
			return
		}
	}
}

// failure returns what has ended the engine, nil if nothing has.
func (e *tlsEngine) failure() error {
	if err := e.fatal.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends the engine with err, unless something else has ended it before, and returns what has.
func (e *tlsEngine) fail(err error) error {
	e.fatal.CompareAndSwap(nil, &err)
	e.setPhase(PhaseFailed)
	return e.failure()
}

func (e *tlsEngine) status(consumed int) Status {
	st := Status{Consumed: consumed, Out: e.mem.queued(), Events: e.events}
	e.events = 0
	return st
}

// blame turns an error of crypto/tls into one that says whose fault it was.
func (e *tlsEngine) blame(err error) error {
	if alert, ok := alertOf(err, "remote error"); ok {
		return &AlertError{Alert: alert, Err: err}
	}
	if alert, ok := alertOf(err, "local error"); ok {
		return &AlertError{Sent: true, Alert: alert, Err: err}
	}
	var certificate *tls.CertificateVerificationError
	if code, ok := e.mem.alert(); ok || errors.As(err, &certificate) {
		return &AlertError{Sent: true, Alert: code, Err: err}
	}
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		return fmt.Errorf("bio: the peer does not speak TLS here (first bytes % x): %w", header.RecordHeader, err)
	}
	return fmt.Errorf("bio: %w", err)
}

var (
	_ Engine  = (*tlsEngine)(nil)
	_ Chooser = (*tlsEngine)(nil)
)
