package enginetest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/encase-tls/encase/bio"
)

var lifeRules = []rule{
	{"Idle", 0, checkIdle,
		"An established TLS engine has no goroutine."},
	{"Abort", 0, checkAbort,
		"Abort ends the engine and what it suspended, without an alert; later calls return err. It does not wait."},
	{"TransportEOF", 0, checkTransportEOF,
		"TransportEOF returns nil if the peer had closed with close_notify, and otherwise an error that wraps " +
			"ErrTruncated."},
	{"Panic", quiet, checkPanic,
		"A panic in a callback of the configuration reaches the caller, and ends the engine."},
	{"PanicLater", quiet, checkPanicLater,
		"A panic in a callback of the configuration reaches the caller, and ends the engine."},
	{"Goexit", quiet, checkGoexit,
		"A callback of the configuration that ends its goroutine ends the engine with an error."},
}

// goroutines waits until there are no more than n.
func goroutines(n int) error {
	for start := time.Now(); runtime.NumGoroutine() > n; time.Sleep(time.Millisecond) {
		if time.Since(start) > waiting {
			stacks := make([]byte, 64<<10)
			stacks = stacks[:runtime.Stack(stacks, true)]
			return fmt.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), n, stacks)
		}
	}
	return nil
}

func checkIdle(k *kit) error {
	before := runtime.NumGoroutine()
	l, err := k.open(withTickets)
	if err != nil {
		return err
	}
	for _, e := range l.ends() {
		if err := l.talk(e, noise(1000)); err != nil {
			return err
		}
	}
	err = goroutines(before)
	runtime.KeepAlive(l)
	return err
}

// everyStep runs check after each number of steps that a handshake, fed in small pieces, takes, and once after it.
func (k *kit) everyStep(check func(l *link) error) error {
	for steps := 0; ; steps++ {
		l, err := k.pair()
		if err != nil {
			return err
		}
		l.cut = func(int) int { return 150 }
		for range steps {
			if err := l.nextStep(); err != nil {
				return err
			}
		}
		open := l.client.State().Phase == bio.PhaseOpen && l.server.State().Phase == bio.PhaseOpen
		if err := check(l); err != nil {
			return fmt.Errorf("after %d steps: %w", steps, err)
		}
		if open {
			return nil
		}
		if steps > 1000 {
			return errors.New("a handshake of 1000 steps")
		}
	}
}

// nextStep is a step; where a handshake acts by itself, it waits until that has come to something.
func (l *link) nextStep() error {
	if l.async && (l.client.State().Phase == bio.PhaseHandshake || l.server.State().Phase == bio.PhaseHandshake) {
		_, err := l.advance()
		return err
	}
	_, err := l.step()
	return err
}

var errTest = errors.New("enginetest: this is only a test")

func checkAbort(k *kit) error {
	before := runtime.NumGoroutine()
	return k.everyStep(func(l *link) error {
		for _, e := range l.ends() {
			e.Abort(errTest)
			if err := e.aborted(); err != nil {
				return err
			}
		}
		if err := goroutines(before); err != nil {
			return err
		}
		return errors.Join(l.client.aborted(), l.server.aborted()) // what has unwound leaves nothing, either
	})
}

// aborted checks the calls after Abort(errTest).
func (e *end) aborted() error {
	if s := e.State(); s.Phase != bio.PhaseFailed {
		return fmt.Errorf("the phase of an aborted %s is %v", e.name, s.Phase)
	}
	if out, more := e.Flush(nil, 0); len(out) != 0 || more {
		return fmt.Errorf("Flush of an aborted %s returns %d bytes", e.name, len(out))
	}
	_, st, err := e.Open(nil, noise(10))
	_, _, sealErr := e.Seal(nil, noise(10))
	for _, err := range []error{err, sealErr, e.CloseWrite(), e.TransportEOF()} {
		if !errors.Is(err, errTest) {
			return fmt.Errorf("a call of an aborted %s returns %v, not what Abort was given", e.name, err)
		}
	}
	if st.Out != 0 {
		return fmt.Errorf("an aborted %s has %d bytes of output", e.name, st.Out)
	}
	return nil
}

func checkTransportEOF(k *kit) error {
	before := runtime.NumGoroutine()
	return k.everyStep(func(l *link) error {
		for _, e := range l.ends() {
			if err := e.TransportEOF(); !errors.Is(err, bio.ErrTruncated) {
				return fmt.Errorf("TransportEOF of the %s: %v", e.name, err)
			}
			if _, _, err := e.Open(nil, noise(10)); !errors.Is(err, bio.ErrTruncated) {
				return fmt.Errorf("Open of the %s after TransportEOF: %v", e.name, err)
			}
			if err := e.TransportEOF(); !errors.Is(err, bio.ErrTruncated) {
				return fmt.Errorf("second TransportEOF of the %s: %v", e.name, err)
			}
		}
		return goroutines(before)
	})
}

// checkPanic lets the client panic in the middle of its handshake.
func checkPanic(k *kit) error {
	return k.panics(func(c, _ *bio.Config) {
		c.TLS.VerifyConnection = func(tls.ConnectionState) error { panic(errTest) }
	})
}

// checkPanicLater lets it panic when it stores a session: with TLS 1.3 after the handshake.
func checkPanicLater(k *kit) error {
	return k.panics(func(c, s *bio.Config) {
		withTickets(c, s)
		c.TLS.ClientSessionCache = panickingCache{}
	})
}

type panickingCache struct{}

func (panickingCache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (panickingCache) Put(string, *tls.ClientSessionState)        { panic(errTest) }

func (k *kit) panics(in change) error {
	before := runtime.NumGoroutine()
	l, err := k.pair(in)
	if err != nil {
		return err
	}
	recovered, err := l.stepUntilPanic()
	if recovered != errTest {
		return fmt.Errorf("the caller recovers %v, not the panic of the callback: %w", recovered, err)
	}
	if _, _, err := l.client.Open(nil, nil); err == nil || l.client.State().Phase != bio.PhaseFailed {
		return fmt.Errorf("the engine goes on after the panic: phase %v, %v", l.client.State().Phase, err)
	}
	l.server.Abort(nil)
	return goroutines(before)
}

func (l *link) stepUntilPanic() (recovered any, err error) {
	defer func() { recovered = recover() }()
	return nil, l.settle()
}

func checkGoexit(k *kit) error {
	before := runtime.NumGoroutine()
	l, err := k.pair(func(c, _ *bio.Config) {
		c.TLS.VerifyConnection = func(tls.ConnectionState) error { runtime.Goexit(); return nil }
	})
	if err != nil {
		return err
	}
	if err := l.settle(); err != nil {
		return err
	}
	if l.client.err == nil {
		return errors.New("Open returns no error")
	}
	l.server.Abort(nil)
	return goroutines(before)
}
