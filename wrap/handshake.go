package wrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// Handshake shakes hands if that has not been done.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext shakes hands if that has not been done. If ctx ends before it is done, the connection is closed, as
// with crypto/tls. After an error the peer may still be about to get an alert: Close waits for that.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	err := c.awaitHandshake(ctx.Done())
	if err == errInterrupted {
		err = context.Cause(ctx)
		c.abort(fmt.Errorf("wrap: handshake: %w", err))
		<-c.shaken
	}
	if err == nil && c.polls && !c.settled.Load() { // the last flight must leave: the peer waits for it
		err = c.out.pollNow()
		c.settled.Store(err == nil)
	}
	return err
}

var errInterrupted = errors.New("wrap: interrupted")

// awaitHandshake starts the handshake if need be and waits for it, or until stop.
func (c *Conn) awaitHandshake(stop <-chan struct{}) error {
	if c.open.Load() {
		return nil
	}
	if c.polls {
		return c.pollHandshake()
	}
	c.shaking.Do(func() { go c.handshake() })
	select {
	case <-c.shaken:
		return c.failed
	case <-stop:
	}
	if isClosed(c.shaken) {
		return c.failed
	}
	return errInterrupted
}

// handshake is the goroutine of the handshake.
func (c *Conn) handshake() {
	limit := c.cfg.handshakeTimeout()
	if limit == 0 {
		c.finishHandshake(c.shake())
		return
	}
	timer := time.AfterFunc(limit, func() { c.abort(c.late(limit)) })
	err := c.shake()
	if !timer.Stop() {
		<-c.quit.Done() // and its cause is the result: the carrier is closed, or will be at once
	}
	c.finishHandshake(err)
}

// late says that the handshake has taken too long, and why if that is known.
func (c *Conn) late(limit time.Duration) error {
	if _, err := c.out.delivered(); err != nil {
		return fmt.Errorf("wrap: handshake not done after %v: %w: %w", limit, os.ErrDeadlineExceeded, err)
	}
	if c.eng != nil && c.eng.State().Phase == bio.PhaseChoosing {
		return fmt.Errorf("wrap: handshake not done after %v: Config.Choose takes too long: %w",
			limit, os.ErrDeadlineExceeded)
	}
	return fmt.Errorf("wrap: handshake not done after %v: the peer is slow or speaks another protocol: %w",
		limit, os.ErrDeadlineExceeded)
}

// pollHandshake goes on with the handshake over a carrier that does not wait.
func (c *Conn) pollHandshake() error {
	c.lockReading(nil, nil)
	defer c.unlockReading()
	if isClosed(c.shaken) {
		return c.failed
	}
	err := c.shake()
	switch {
	case err == bio.ErrWantRead && c.out.pending():
		return bio.ErrWantWrite // the peer waits for that before it says more
	case err == bio.ErrWantRead:
		return err
	}
	c.shaking.Do(func() { c.finishHandshake(err) })
	return c.failed
}

func (c *Conn) finishHandshake(err error) {
	if cause := context.Cause(c.quit); cause != nil {
		err = cause
	}
	if err != nil {
		c.failed = err
		c.readErr = err
		c.out.failed()
	} else {
		c.out.opened(c.eng.Overhead(), c.cfg.MaxRecord)
		c.open.Store(true)
		c.armRead()
	}
	close(c.shaken)
	c.out.hear()
}

// shake holds the preambles and drives the engine until it is open. It can be called again after bio.ErrWantRead.
func (c *Conn) shake() error {
	if !c.started {
		if err := c.preambles(); err != nil {
			return err
		}
		if err := c.out.start(); err != nil {
			return err
		}
		c.started = true
	}
	for {
		if err := c.out.flight(c.eng); err != nil {
			return err
		}
		switch c.eng.State().Phase {
		case bio.PhaseHandshake:
		case bio.PhaseChoosing:
			if err := c.choose(); err != nil {
				return err
			}
			continue
		case bio.PhaseFailed:
			return c.engineError()
		default:
			return c.observe()
		}
		if _, err := c.step(nil); err != nil && c.eng.State().Phase != bio.PhaseOpen {
			return err // else the peer has closed already, which Read will tell
		}
	}
}

// engineError returns why the engine has failed, of which Flush says nothing.
func (c *Conn) engineError() error {
	if _, _, err := c.eng.Open(nil, nil); err != nil {
		return err
	}
	return errors.New("wrap: the TLS engine has failed")
}

// observe tells a machine that wants to know that TLS is established.
func (c *Conn) observe() error {
	o, ok := c.mach.(HandshakeObserver)
	if !ok {
		return nil
	}
	state := c.eng.State().TLS
	return c.out.machine(func(ev []frame.Event) ([]frame.Event, error) { return o.OnHandshake(ev, &state) })
}

// preambles holds the dialogues before the first frame.
func (c *Conn) preambles() error {
	list := c.cfg.Preambles
	if p, ok := c.mach.(frame.Preamble); ok {
		list = append(list[:len(list):len(list)], p)
	}
	if len(list) == 0 {
		return nil
	}
	bytes, ok := c.carrier.(byteCarrier)
	if !ok || c.polls {
		return errors.New("wrap: a preamble needs a stream that can wait")
	}
	ctx := frame.WithServerName(c.quit, c.cfg.TLS.ServerName)
	for _, p := range list {
		err := p.Exchange(ctx, bytes.peeker(), c.role)
		switch {
		case errors.Is(err, io.EOF): // not wrapped: it would pass for an end in good order
			return fmt.Errorf("wrap: preamble: %w: %v", bio.ErrTruncated, err)
		case err != nil:
			return fmt.Errorf("wrap: preamble: %w", err)
		}
	}
	return nil
}

// choose asks the configuration for a choice and tells the engine.
func (c *Conn) choose() error {
	eng, ok := c.eng.(bio.Chooser)
	if !ok {
		return fmt.Errorf("wrap: stack %q cannot choose late", c.cfg.Stack)
	}
	cfg, err := c.cfg.Choose(c.quit, eng.ClientHello())
	if err == nil && cfg != nil {
		err = eng.Choose(limited(cfg, c.mach, c.role))
	} else {
		err = eng.Reject(err)
	}
	if err == nil {
		rest := c.held
		c.held = nil
		_, err = c.openAll(nil, rest)
	}
	return err
}

// deadlineError turns "interrupted" into the error that net.Conn prescribes.
func deadlineError(err error) error {
	if err == errInterrupted {
		return os.ErrDeadlineExceeded
	}
	return err
}
