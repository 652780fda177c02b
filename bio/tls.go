package bio

import (
	"cmp"
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
	// MaxPlaintext is the most application data, in bytes, in one record.
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
	MaxPlaintext = 16384

	recordHeaderLen = 5
	recordAlert     = 21

	// softQueue is how many bytes of answers may wait for Flush before Open takes no more input, and hardQueue how
	// many there may ever be; what one Open of 64 KiB can provoke lies between them.
	softQueue = 16 << 10
	hardQueue = 128 << 10
)

func init() {
	var suites []uint16
	for _, s := range tls.CipherSuites() {
		suites = append(suites, s.ID)
	}
	Register(Stack{
		Name:         "tls",
		Versions:     []uint16{tls.VersionTLS12, tls.VersionTLS13},
		CipherSuites: suites,
		New:          TLS,
	})
}

// TLS returns a Maker of engines over crypto/tls, TLS 1.2 and 1.3. They implement [Chooser].
func TLS(cfg *Config) (Maker, error) {
	if cfg == nil || cfg.TLS == nil {
		return nil, errors.New("bio: TLS needs Config.TLS")
	}
	shared := cfg.TLS.Clone() // once: clones of a Config that has no ticket keys yet would each make their own
	shared.DynamicRecordSizingDisabled = true
	peer := memAddr(cmp.Or(cfg.Peer, "peer"))
	return func(role frame.Role) (Engine, error) {
		e := &tlsEngine{mem: memConn{peer: peer}}
		switch {
		case role == frame.Client && shared.ServerName == "" && !shared.InsecureSkipVerify:
			return nil, errors.New("bio: a TLS client needs Config.TLS.ServerName, the name in the peer's certificate")
		case role == frame.Client:
			e.conn = tls.Client(&e.mem, clientConfig(shared, e))
		case cfg.ChooseLate:
			e.conn = tls.Server(&e.mem, e.chooseLate(shared))
		default:
			e.conn = tls.Server(&e.mem, shared)
		}
		e.role = role
		return e, nil
	}, nil
}

// clientConfig lets e see when a session is stored.
func clientConfig(shared *tls.Config, e *tlsEngine) *tls.Config {
	if shared.ClientSessionCache == nil {
		return shared
	}
	c := shared.Clone()
	c.ClientSessionCache = ticketWatch{shared.ClientSessionCache, e}
	return c
}

type ticketWatch struct {
	tls.ClientSessionCache
	e *tlsEngine
}

func (w ticketWatch) Put(key string, s *tls.ClientSessionState) {
	w.ClientSessionCache.Put(key, s)
	if s != nil {
		w.e.events |= EventTicket
	}
}

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
	err    error                     // why Open fails; guarded by open

	seal   sync.Mutex // held by Seal, Flush, CloseWrite
	phase  atomic.Uint32
	closed struct{ read, write atomic.Bool }
	abort  atomic.Pointer[error]
	over   atomic.Int32
}

// Open implements Engine.
func (e *tlsEngine) Open(dst, src []byte) ([]byte, Status, error) {
	e.open.Lock()
	defer e.open.Unlock()
	if err := e.failure(); err != nil {
		return dst, e.status(0), err
	}
	if e.phaseIs(PhaseOpen) && e.mem.queued() >= softQueue {
		return dst, e.status(0), nil
	}
	e.mem.in = src
	if !e.handshakeDone() {
		if err := e.advance(); err != nil {
			e.fail(err)
		}
	}
	if e.err == nil && e.handshakeDone() {
		dst = e.read(dst)
	}
	st := e.status(len(src) - len(e.mem.in))
	e.mem.in = nil
	return dst, st, e.err
}

// read appends all application data that the input holds to dst.
func (e *tlsEngine) read(dst []byte) []byte {
	before := e.mem.wrote()
	for e.err == nil && !e.closed.read.Load() && len(e.mem.in) > 0 {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(len(e.mem.in)+e.mem.partial, MaxPlaintext))
		}
		n, err := e.conn.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		for err == nil && len(dst) == cap(dst) { // the record may hold more
			dst = slices.Grow(dst, MaxPlaintext)
			n, err = e.conn.Read(dst[len(dst):cap(dst)])
			dst = dst[:len(dst)+n]
		}
		e.readError(err)
	}
	if e.err == nil && e.mem.wrote() != before {
		e.events |= EventKeysUpdated // nothing else makes an established TLS 1.3 connection answer
	}
	if e.err == nil && e.mem.queued() > hardQueue {
		e.fail(ErrTooMuch)
	}
	return dst
}

// readError takes in what tls.Conn.Read returned.
func (e *tlsEngine) readError(err error) {
	switch err {
	case nil, errWantRead:
	case io.EOF: // only close_notify: memConn never ends
		e.closed.read.Store(true)
		e.events |= EventPeerClosed
		e.mem.in = nil // nothing after it counts
		if e.closed.write.Load() {
			e.setPhase(PhaseClosed)
		}
	default:
		e.fail(e.blame(err))
	}
}

// Seal implements Engine.
func (e *tlsEngine) Seal(dst, p []byte) ([]byte, int, error) {
	e.seal.Lock()
	defer e.seal.Unlock()
	switch {
	case e.abort.Load() != nil:
		return dst, 0, *e.abort.Load()
	case e.closed.write.Load():
		return dst, 0, ErrWriteClosed
	case !e.handshakeDone():
		return dst, 0, ErrNotOpen
	}
	p = p[:min(len(p), MaxPlaintext)]
	e.mem.sealInto(dst)
	n, err := e.conn.Write(p)
	out := e.mem.sealed()
	if err != nil {
		return out, n, e.blame(err)
	}
	return out, n, nil
}

// Flush implements Engine.
func (e *tlsEngine) Flush(dst []byte, limit int) ([]byte, bool) {
	if e.role == frame.Client && e.phaseIs(PhaseHandshake) {
		e.start()
	}
	e.seal.Lock()
	defer e.seal.Unlock()
	return e.mem.flush(dst, limit)
}

// start makes a client's handshake produce its ClientHello.
func (e *tlsEngine) start() {
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
	e.seal.Lock()
	defer e.seal.Unlock()
	switch {
	case e.abort.Load() != nil:
		return *e.abort.Load()
	case e.closed.write.Load():
		return nil
	case !e.handshakeDone():
		return ErrNotOpen
	}
	e.closed.write.Store(true)
	if e.closed.read.Load() {
		e.setPhase(PhaseClosed)
	}
	if err := e.conn.CloseWrite(); err != nil {
		return e.blame(err)
	}
	return nil
}

// TransportEOF implements Engine.
func (e *tlsEngine) TransportEOF() error {
	e.open.Lock()
	defer e.open.Unlock()
	if e.closed.read.Load() {
		return nil
	}
	if err := e.failure(); err != nil {
		return err
	}
	e.fail(ErrTruncated)
	e.unwind()
	return e.err
}

// Abort implements Engine.
func (e *tlsEngine) Abort(err error) {
	if err == nil {
		err = ErrAborted
	}
	e.abort.CompareAndSwap(nil, &err)
	e.setPhase(PhaseFailed)
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

// failure returns why Open cannot go on.
func (e *tlsEngine) failure() error {
	if e.err == nil {
		if err := e.abort.Load(); err != nil {
			e.err = *err
		}
	}
	return e.err
}

func (e *tlsEngine) fail(err error) {
	if e.failure() == nil {
		e.err = err
	}
	e.setPhase(PhaseFailed)
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
		return fmt.Errorf("bio: the peer does not speak TLS here: %s (first bytes % x)", header.Msg, header.RecordHeader)
	}
	return fmt.Errorf("bio: %w", err)
}

// overhead returns the bytes that a record adds to its plaintext.
func overhead(cs *tls.ConnectionState) int {
	const (
		tls13   = recordHeaderLen + 1 + 16 // content type, tag
		gcm12   = recordHeaderLen + 8 + 16 // explicit nonce, tag
		chacha  = recordHeaderLen + 16
		cbcMost = recordHeaderLen + 16 + 32 + 16 // IV, MAC, padding
	)
	if cs.Version == tls.VersionTLS13 {
		return tls13
	}
	switch cs.CipherSuite {
	case tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return chacha
	case tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
		return gcm12
	}
	return cbcMost
}

var (
	_ Engine  = (*tlsEngine)(nil)
	_ Chooser = (*tlsEngine)(nil)
)
