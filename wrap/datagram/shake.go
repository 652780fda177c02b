package datagram

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A shake is a handshake that is under way, or has not begun.
type shake struct {
	begun   atomic.Bool
	over    atomic.Bool
	done    chan struct{} // closed when it is done or has failed
	told    chan struct{} // closed when the owner has been told
	err     error         // it has failed, after done
	kick    chan struct{} // a token: something may have changed
	refused atomic.Pointer[error]
}

func (s *shake) poke() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// HandshakeContext shakes hands if that has not been done. If ctx ends before it is done, the handshake has failed.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	s := c.shake.Load()
	if s == nil {
		return c.shakeError()
	}
	c.start()
	select {
	case <-s.done:
	case <-ctx.Done():
		c.finish(fmt.Errorf("datagram: handshake: %w", context.Cause(ctx)))
		<-s.done
		return c.failure()
	}
	return s.err
}

// shakeError returns why the handshake has failed, some time ago.
func (c *Conn) shakeError() error {
	if c.open.Load() {
		return nil
	}
	return c.failure()
}

// start begins the handshake, once. A goroutine serves it until it is done.
func (c *Conn) start() {
	s := c.shake.Load()
	if s == nil || s.begun.Load() || !s.begun.CompareAndSwap(false, true) {
		return
	}
	go func() {
		err := c.begin()
		c.out.start(c)
		if err == nil {
			err = c.shakeHands(s)
		}
		switch first := c.shaken(err); {
		case err == nil:
			c.early()
		case !first:
			c.fail(err)
		}
	}()
}

// begin starts the codec.
func (c *Conn) begin() error {
	if c.codec.mach == nil {
		return nil
	}
	if err := c.codec.mach.start(c); err != nil {
		return fmt.Errorf("datagram: codec: %w", err)
	}
	return nil
}

// shakeHands serves an engine until its handshake is done.
func (c *Conn) shakeHands(s *shake) error {
	late := make(<-chan time.Time)
	if limit := c.cfg.handshakeTimeout(); limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	for {
		c.flush()
		if err := c.failure(); err != nil {
			return err
		}
		switch c.eng.State().Phase {
		case bio.PhaseOpen, bio.PhaseClosed:
			c.flush() // the last flight may have come since, and data must not overtake it
			return c.observe()
		case bio.PhaseFailed:
			c.flush() // the alert may have come behind the last
			return c.engineError()
		}
		select {
		case <-c.ready:
		case <-s.kick:
		case <-c.clock():
		case <-late:
			return c.late(s)
		}
		st, _ := c.eng.Tick(time.Now()) // an error shows in the phase
		c.status(st)
	}
}

// clock returns a channel that delivers when the engine wants to know the time, nil if it does not.
func (c *Conn) clock() <-chan time.Time {
	at, ok := c.eng.Deadline()
	if !ok {
		return nil
	}
	return time.After(time.Until(at))
}

// engineError returns why the engine has failed, of which Flush says nothing.
func (c *Conn) engineError() error {
	c.opening.Lock()
	defer c.opening.Unlock()
	_, _, err := c.eng.Open(nil, nil)
	if err == nil {
		err = errors.New("the engine has failed")
	}
	return fmt.Errorf("datagram: %w", err)
}

// late says that the handshake has taken too long, and why if that is known.
func (c *Conn) late(s *shake) error {
	limit := c.cfg.handshakeTimeout()
	if refused := s.refused.Load(); refused != nil {
		return fmt.Errorf("datagram: handshake not done after %v: %w: %w", limit, os.ErrDeadlineExceeded, *refused)
	}
	return fmt.Errorf("datagram: handshake not done after %v: the peer does not answer, or not with what is of use: %w",
		limit, os.ErrDeadlineExceeded)
}

// observe tells a codec that wants to know that DTLS is established.
func (c *Conn) observe() error {
	m := c.codec.mach
	if m == nil {
		return nil
	}
	o, ok := m.mach.(wrap.HandshakeObserver)
	if !ok {
		return nil
	}
	state := c.eng.State().TLS
	err := m.call(c, func(ev []frame.Event) ([]frame.Event, error) { return o.OnHandshake(ev, &state) })
	c.flush()
	return err
}

// shaken ends the handshake. Whoever notices first that it has ended calls it first; others wait until the owner has
// been told.
func (c *Conn) shaken(err error) (first bool) {
	s := c.shake.Load()
	if s == nil {
		return false
	}
	if !s.over.CompareAndSwap(false, true) {
		<-s.told
		return false
	}
	if err == nil {
		c.overhead.Store(int32(c.eng.Overhead()))
		c.open.Store(true)
		c.watch()
	} else {
		c.finish(err)
		c.eng.Abort(err)
	}
	s.err = err
	close(s.done)
	s.poke() // its goroutine may not have noticed
	c.poke()
	if !c.closed.Load() {
		c.owner.shaken(c, err)
	}
	c.shake.Store(nil)
	close(s.told)
	return true
}

// attend sees to what the engine has to say unasked, after a Write: who only writes must hear of worn keys, too.
func (c *Conn) attend() {
	select {
	case <-c.ready:
		st, _ := c.eng.Tick(time.Now()) // an error shows in Seal and Open
		c.status(st)
	default:
	}
}
