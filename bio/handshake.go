package bio

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
)

// A handshake is a call of tls.Conn.HandshakeContext that is suspended whenever it wants what is not there yet. Driver
// and call take turns: exactly one of them runs, handed over by two channels.
type handshake struct {
	resume  chan struct{}   // driver to call
	suspend chan suspension // call to driver
	done    chan struct{}   // closed when the call has returned or was unwound
	ctx     context.Context // ends when the driver gives up
	cancel  context.CancelFunc

	err    error // of the call, after done
	panics any   // what a callback of the configuration panicked with, after done

	choosing bool // suspended for a choice
	hello    *tls.ClientHelloInfo
	chosen   bool        // Choose or Reject was called
	choice   *tls.Config // with Choose
	reject   error       // with Reject
}

// A suspension is why the call waits.
type suspension uint8

const (
	forInput suspension = iota
	forChoice
)

var (
	errUnwound = errors.New("a callback of the TLS configuration has panicked or ended its goroutine")

	errClosedEarly = errors.New("the peer closed TLS (close_notify) during the handshake")
)

// advance runs the handshake until it is suspended again or done. The caller holds e.open.
func (e *tlsEngine) advance() error {
	h := e.shake.Load()
	switch {
	case h == nil:
		h = newHandshake()
		e.shake.Store(h)
		if e.failure() != nil {
			h.cancel() // Abort did not see h
		}
		e.mem.wait = func() error { return h.await(forInput) }
		go h.run(e.conn)
	case h.choosing && !h.chosen:
		return nil
	default:
		select {
		case h.resume <- struct{}{}:
		case <-h.done:
		}
	}
	select {
	case why := <-h.suspend:
		e.suspended(h, why)
		return nil
	case <-h.done:
		return e.finish(h)
	}
}

func (e *tlsEngine) suspended(h *handshake, why suspension) {
	h.choosing = why == forChoice
	if h.choosing {
		e.events |= EventClientHello
		e.setPhase(PhaseChoosing)
		return
	}
	e.setPhase(PhaseHandshake)
}

// finish takes the result of a handshake that has returned.
func (e *tlsEngine) finish(h *handshake) error {
	e.shake.Store(nil)
	e.mem.wait = nil
	h.cancel()
	switch {
	case h.panics != nil:
		e.fail(e.blame(errUnwound))
		panic(h.panics)
	case e.failure() != nil:
		return e.failure()
	case errors.Is(h.err, io.EOF): // only close_notify, which is alert 0: memConn never ends
		return &AlertError{Err: errClosedEarly}
	case h.err != nil:
		return e.blame(h.err)
	}
	e.mem.answered() // those were flights
	cs := e.conn.ConnectionState()
	least, most := overhead(&cs)
	e.least, e.mem.established = least, true
	e.over.Store(int32(most)) // from here on Seal may run
	e.setPhase(PhaseOpen)
	e.events |= EventHandshakeDone
	return nil
}

// unwind makes a suspended call return. It may be called at any time.
func (e *tlsEngine) unwind() {
	if h := e.shake.Load(); h != nil {
		h.cancel()
	}
}

func newHandshake() *handshake {
	h := &handshake{
		resume:  make(chan struct{}),
		suspend: make(chan suspension),
		done:    make(chan struct{}),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// run is the goroutine of the call.
func (h *handshake) run(conn *tls.Conn) {
	h.err = errUnwound // stays if a callback calls runtime.Goexit
	defer close(h.done)
	defer func() { h.panics = recover() }()
	h.err = conn.HandshakeContext(h.ctx)
}

// await suspends the call; it returns when there is something to go on with, or an error when there never will be.
func (h *handshake) await(why suspension) error {
	select {
	case h.suspend <- why:
	case <-h.ctx.Done():
		return ErrAborted
	}
	select {
	case <-h.resume:
		return nil
	case <-h.ctx.Done():
		return ErrAborted
	}
}

// chooseLate is the GetConfigForClient of a server that lets its user choose: it suspends the handshake.
func chooseLate(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	h := hello.Conn.(*memConn).engine.shake.Load()
	h.hello = hello
	if err := h.await(forChoice); err != nil {
		return nil, err
	}
	return h.choice, h.reject
}

// ClientHello implements Chooser.
func (e *tlsEngine) ClientHello() *tls.ClientHelloInfo {
	e.open.Lock()
	defer e.open.Unlock()
	if h := e.shake.Load(); h != nil {
		return h.hello
	}
	return nil
}

// Choose implements Chooser.
func (e *tlsEngine) Choose(cfg *tls.Config) error {
	if cfg == nil {
		return errors.New("bio: Choose needs a configuration")
	}
	return e.decide(fitting(cfg), nil)
}

// Reject implements Chooser.
func (e *tlsEngine) Reject(err error) error {
	if err == nil {
		err = errors.New("bio: the server has no configuration for this client")
	}
	return e.decide(nil, err)
}

func (e *tlsEngine) decide(cfg *tls.Config, reject error) error {
	e.open.Lock()
	defer e.open.Unlock()
	h := e.shake.Load()
	if h == nil || !h.choosing || h.chosen {
		return errors.New("bio: Choose and Reject are for the time after EventClientHello, once")
	}
	h.choice, h.reject, h.chosen = cfg, reject, true
	e.setPhase(PhaseHandshake)
	return nil
}
