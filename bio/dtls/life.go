package dtls

import (
	"errors"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// Flush implements bio.Engine: one datagram at a time. The first Flush of a client starts its handshake, whose
// ClientHello is there a little later: see Ready.
func (e *Engine) Flush(dst []byte, _ int) ([]byte, bool) {
	if e.role == frame.Client && e.phaseIs(bio.PhaseHandshake) {
		e.open.Lock()
		if h := e.shake; h != nil {
			e.start(h)
		}
		e.open.Unlock()
	}
	return e.out.pop(dst)
}

// start lets the handshake run, once. The caller holds e.open.
func (e *Engine) start(h *handshake) {
	if e.failure() != nil || h.started.Swap(true) {
		return
	}
	go func() {
		est, err := h.run()
		e.takeOver(est, err)
	}()
}

// takeOver ends the handshake: pion's part of the engine is gone, and ours begins.
func (e *Engine) takeOver(est *estate, err error) {
	e.open.Lock()
	defer e.open.Unlock()
	e.seal.Lock()
	defer e.seal.Unlock()
	defer e.notify()
	e.stats.InputLost = e.mem.dropped()
	e.shake.cancel(nil)
	e.shake, e.mem = nil, nil
	if err != nil {
		e.screen.early = nil
		if errors.Is(err, errTimeout) || errors.Is(err, errResumedCID) {
			e.forget() // or a peer that cannot go on with what pion resumes would never be reached again
		}
		e.fail(err)
		return
	}
	e.rx, e.tx, e.last = est.rx, est.tx, est.last
	est.rx, est.tx, est.last = nil, nil, nil
	e.done.Store(est)
	if e.setPhase(bio.PhaseOpen) {
		e.event(bio.EventHandshakeDone)
	}
}

// Deadline implements bio.Engine: the handshake has timers of its own, and nothing else needs any.
func (e *Engine) Deadline() (time.Time, bool) { return time.Time{}, false }

// Tick implements bio.Engine: it returns the events that have happened since the last call, and what has ended the
// engine.
func (e *Engine) Tick(time.Time) (bio.Status, error) { return e.status(0), e.failure() }

// Ready implements bio.Notifier.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

func (e *Engine) notify() {
	select {
	case e.ready <- struct{}{}:
	default:
	}
}

// CloseWrite implements bio.Engine. The peer is not sure to hear of it: nobody repeats an alert.
func (e *Engine) CloseWrite() error {
	e.seal.Lock()
	defer e.seal.Unlock()
	switch err := e.writable(); {
	case err == bio.ErrWriteClosed:
		return nil
	case err != nil:
		return err
	}
	e.writeClosed.Store(true)
	if e.peerClosed.Load() {
		e.setPhase(bio.PhaseClosed)
	}
	e.queueAlert(alertWarning, alertCloseNotify)
	return nil
}

// TransportEOF implements bio.Engine.
func (e *Engine) TransportEOF() error {
	e.open.Lock()
	defer e.open.Unlock()
	switch {
	case e.failure() != nil:
		return e.failure()
	case e.peerClosed.Load():
		return nil
	}
	err := e.fail(bio.ErrTruncated)
	e.giveUp()
	return err
}

// Abort implements bio.Engine.
func (e *Engine) Abort(err error) {
	if err == nil {
		err = bio.ErrAborted
	}
	e.fail(err)
	e.out.drop()
	e.open.Lock()
	defer e.open.Unlock()
	e.giveUp()
}

// giveUp makes a handshake that is under way return. The caller holds e.open.
func (e *Engine) giveUp() {
	if e.shake != nil {
		e.shake.cancel(e.failure())
	}
}

func (e *Engine) phaseIs(p bio.Phase) bool { return bio.Phase(e.phase.Load()) == p }

// setPhase changes the phase and reports whether it did; failure is final.
func (e *Engine) setPhase(p bio.Phase) bool {
	for {
		old := e.phase.Load()
		if bio.Phase(old) == bio.PhaseFailed {
			return false
		}
		if e.phase.CompareAndSwap(old, uint32(p)) {
			return true
		}
	}
}

// failure returns what has ended the engine, nil if nothing has.
func (e *Engine) failure() error {
	if err := e.fatal.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends the engine with err, unless something else has ended it before, and returns what has.
func (e *Engine) fail(err error) error {
	e.fatal.CompareAndSwap(nil, &err)
	e.setPhase(bio.PhaseFailed)
	return e.failure()
}
