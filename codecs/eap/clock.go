package eap

import (
	"time"

	"github.com/encase-tls/encase/frame"
)

// pollAfter is how long an end that has the turn and nothing to say keeps it. It does not hold for the handshake of
// TLS, which always has something to say.
const pollAfter = 5 * time.Second

// What a clock waits for.
type waiting uint8

const (
	nothing waiting = iota
	answer          // of the other end
	speech          // of this end
)

// A clock says when something has to be done though nothing comes. Before the first Tick no time is known: at is zero
// then, which lies in the past, and the first Tick sets it.
type clock struct {
	waiting waiting
	at      time.Time
	after   time.Duration // at is that much later than it was set
	left    time.Duration // answer: until the other end is given up, after at
}

func (c *clock) stop() { c.waiting = nothing }

func (c *clock) set(what waiting, now time.Time, after, left time.Duration) {
	*c = clock{waiting: what, after: after, left: left}
	if !now.IsZero() {
		c.at = now.Add(after)
	}
}

// await waits for the other end. A server repeats its request, unless somebody else does.
func (m *Machine) await() {
	if m.role == frame.Server && !m.o.Backend {
		first := min(m.o.Repeat, m.o.Timeout)
		m.clock.set(answer, m.now, first, m.o.Timeout-first)
		return
	}
	m.clock.set(answer, m.now, m.o.Timeout, 0)
}

// poll waits for this end to say something, and then says nothing.
func (m *Machine) poll() { m.clock.set(speech, m.now, pollAfter, 0) }

// Deadline implements [frame.Timed].
func (m *Machine) Deadline() (time.Time, bool) { return m.clock.at, m.clock.waiting != nothing }

// Tick implements [frame.Timed].
func (m *Machine) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	m.now = now
	c := &m.clock
	if c.at.IsZero() {
		c.at = now.Add(c.after)
	}
	switch {
	case c.waiting == nothing || now.Before(c.at):
		return ev, nil
	case c.waiting == speech:
		return m.sendTLS(ev, 0, 0, nil), nil
	case c.left <= 0:
		return m.fail(ev, ErrSilent), nil
	}
	next := min(2*c.after, c.left)
	c.set(answer, now, next, c.left-next)
	return m.again(ev), nil
}
