package pionv2

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v2"
)

// Alerts. https://www.rfc-editor.org/rfc/rfc5246#section-7.2
const (
	alertWarning     = 1
	alertFatal       = 2
	alertCloseNotify = 0
)

// An Engine is one end of a DTLS 1.2 connection: a bio.Engine and a bio.Notifier. Its handshake has timers and
// goroutines of its own; afterwards there is neither.
type Engine struct {
	tls    *tls.Config
	pion   *pion.Config
	role   frame.Role
	net    *memConn
	out    queue
	ready  chan struct{}
	cancel context.CancelFunc // nil until the handshake has begun

	mu       sync.Mutex
	screen   screen
	tx       *sealer // nil until the handshake is done, as is rx
	rx       *opener
	last     [][]byte // the last flight, for a server, to be repeated when the client repeats its own
	finished bool     // the peer's Finished has come
	repeated bool     // during this call
	tired    bool     // bio.EventRekey has been told
	events   bio.Events
	err      error // what has ended the engine
	state    bio.State
}

func newEngine(cfg *tls.Config, p *pion.Config, role frame.Role) *Engine {
	e := &Engine{tls: cfg, pion: p, role: role, ready: make(chan struct{}, 1)}
	e.net = &memConn{wake: make(chan struct{}, 1), send: func(d []byte) {
		e.out.push(d)
		e.notify()
	}}
	return e
}

// Ready implements bio.Notifier.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

func (e *Engine) notify() {
	select {
	case e.ready <- struct{}{}:
	default:
	}
}

// start lets the handshake run, once. The caller holds e.mu.
func (e *Engine) start() {
	if e.cancel != nil || e.err != nil {
		return
	}
	var ctx context.Context
	ctx, e.cancel = context.WithCancel(context.Background())
	go e.run(ctx)
}

// refuse ends an engine whose handshake failed.
func (e *Engine) refuse(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail(err)
	e.screen = screen{}
	e.notify()
}

// established makes the record layer take over.
func (e *Engine) established(tx *sealer, rx *opener, cs tls.ConnectionState, last [][]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.notify()
	if e.err != nil {
		return
	}
	e.tx, e.rx, e.state.TLS = tx, rx, cs
	if e.role == frame.Server {
		e.last = last
	}
	e.state.Phase = bio.PhaseOpen
	e.events |= bio.EventHandshakeDone
}

// fail ends the engine, unless something has ended it before. The caller holds e.mu.
func (e *Engine) fail(err error) {
	if e.err == nil {
		e.err, e.state.Phase = err, bio.PhaseFailed
	}
	if e.cancel != nil {
		e.cancel()
	}
}

// status returns what there is to say. The caller holds e.mu.
func (e *Engine) status(consumed int) bio.Status {
	st := bio.Status{Consumed: consumed, Out: e.out.size(), Events: e.events}
	e.events = 0
	return st
}

// Open implements bio.Engine. A datagram with several messages yields them one behind the other. Without bytes it
// returns what came before the handshake was done.
func (e *Engine) Open(dst, src []byte) ([]byte, bio.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.err != nil:
		return dst, e.status(0), e.err
	case e.rx == nil:
		e.shakeHands(src)
		return dst, e.status(len(src)), e.err
	}
	e.repeated = false
	for _, r := range e.screen.early {
		dst = e.openDatagram(dst, r)
	}
	e.screen = screen{}
	dst = e.openDatagram(dst, src)
	return dst, e.status(len(src)), e.err
}

func (e *Engine) shakeHands(src []byte) {
	pass := e.screen.pass(src)
	e.net.deliver(pass)
	if e.role == frame.Server && len(pass) > 0 {
		e.start()
	}
}

// openDatagram appends the messages in a datagram to dst.
func (e *Engine) openDatagram(dst, p []byte) []byte {
	for len(p) > 0 && !e.state.PeerClosed && e.err == nil {
		r, rest := cut(p)
		if r == nil {
			break
		}
		p = rest
		out, ok := e.rx.open(dst, r)
		switch content := out[len(dst):]; {
		case !ok:
		case r.typ() == typeData:
			dst = out
		case r.typ() == typeAlert && len(content) == 2:
			e.alerted(content)
		case r.typ() == typeHandshake && len(content) > 0 && content[0] == finishedMessage:
			e.repeat()
		}
	}
	return dst
}

// alerted takes an authentic alert.
func (e *Engine) alerted(alert []byte) {
	switch {
	case alert[1] == alertCloseNotify:
		e.state.PeerClosed = true
		e.events |= bio.EventPeerClosed
		e.closeIfBoth()
	case alert[0] == alertFatal:
		e.fail(&bio.AlertError{Alert: tls.AlertError(alert[1])})
	}
}

func (e *Engine) closeIfBoth() {
	if e.state.PeerClosed && e.state.WriteClosed {
		e.state.Phase = bio.PhaseClosed
	}
}

// repeat sends the last flight again, byte for byte, if the peer repeats its Finished: it has lost ours.
// https://www.rfc-editor.org/rfc/rfc6347#section-4.2.4
func (e *Engine) repeat() {
	if e.finished && !e.repeated {
		e.repeated = true
		for _, d := range e.last {
			e.out.push(d)
		}
	}
	e.finished = true
}

// Seal implements bio.Engine: one message, one record, one datagram.
func (e *Engine) Seal(dst, p []byte) ([]byte, int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.writable() != nil:
		return dst, 0, e.writable()
	case len(p) > MaxMessage:
		return dst, 0, &bio.TooLongError{Len: len(p), Limit: MaxMessage}
	case len(p) == 0:
		return dst, 0, nil
	case e.tx.sealed() >= maxRecords:
		return dst, 0, ErrWornOut
	}
	if !e.tired && e.tx.sealed() >= maxRecords/8*7 {
		e.tired = true
		e.events |= bio.EventRekey
		e.notify()
	}
	return e.tx.seal(dst, typeData, p), len(p), nil
}

// writable returns why nothing can be sealed. The caller holds e.mu.
func (e *Engine) writable() error {
	switch {
	case e.err != nil:
		return e.err
	case e.tx == nil:
		return bio.ErrNotOpen
	case e.state.WriteClosed:
		return bio.ErrWriteClosed
	}
	return nil
}

// Flush implements bio.Engine: one datagram at a time. The first Flush of a client starts its handshake, whose
// ClientHello is there a little later: see Ready.
func (e *Engine) Flush(dst []byte, _ int) (out []byte, more bool) {
	if e.role == frame.Client {
		e.mu.Lock()
		e.start()
		e.mu.Unlock()
	}
	return e.out.pop(dst)
}

// Deadline implements bio.Engine: the handshake has timers of its own, and nothing else needs any.
func (e *Engine) Deadline() (time.Time, bool) { return time.Time{}, false }

// Tick implements bio.Engine: it returns the events that have happened, and what has ended the engine.
func (e *Engine) Tick(time.Time) (bio.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status(0), e.err
}

// CloseWrite implements bio.Engine. The peer is not sure to hear of it: nobody repeats an alert.
func (e *Engine) CloseWrite() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch err := e.writable(); {
	case err == bio.ErrWriteClosed:
		return nil
	case err != nil:
		return err
	}
	e.state.WriteClosed = true
	e.closeIfBoth()
	e.out.push(e.tx.seal(nil, typeAlert, []byte{alertWarning, alertCloseNotify}))
	return nil
}

// TransportEOF implements bio.Engine.
func (e *Engine) TransportEOF() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil && !e.state.PeerClosed {
		e.fail(bio.ErrTruncated)
	}
	return e.err
}

// Abort implements bio.Engine.
func (e *Engine) Abort(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		err = bio.ErrAborted
	}
	e.fail(err)
	e.net.mute()
	e.out.drop()
}

// Overhead implements bio.Engine: the bytes that Seal adds to every message.
func (e *Engine) Overhead() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tx == nil {
		return 0
	}
	return overhead
}

// State implements bio.Engine. State.TLS has no exporter.
func (e *Engine) State() bio.State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

var (
	_ bio.Engine   = (*Engine)(nil)
	_ bio.Notifier = (*Engine)(nil)
)
