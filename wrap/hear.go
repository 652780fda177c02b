package wrap

import (
	"fmt"
	"time"
)

// A machine that holds something back until it hears from its peer, a frame.Backlogger, must hear it whether there is
// a Read or not: a user who only writes would wait for ever. If it is a frame.Timed besides, its peer has a clock,
// too, and may give this end up because a user was slow to read: it must hear the peer at any time. When TLS has failed,
// be it in the handshake, the machine may still have to bring the peer the alert: it hears until it holds nothing back,
// and a frame.Awaiter until it awaits nothing.
//
// Only one receives at a time: first the goroutine of the handshake, and then who has put something into Conn.reading, a
// Read or the goroutine that hears, which exists while sender.hearing is set.
//
//	no goroutine ── kick, a Read that has taken all: mustHear ──▶ waits for its turn
//	waits        ── no Read under way ──▶ mustHear? receives one frame : no goroutine
//	receives     ── a frame, or a Read wants its turn ──▶ waits, behind that Read
//	receives     ── the carrier or the protocol has ended (deaf), Close has waited long enough ──▶ no goroutine
//	receives     ── maxHeard bytes are kept ──▶ no goroutine, until a Read has taken them
//
// The carrier's read deadline is what interrupts a receiver, and armLocked sets it for all of them:
//
//	                           in use           Read wants its turn    Close waits    closed
//	a Read receives            its deadline     its deadline           past           past
//	the goroutine receives     none             past                   end of Linger  past
//
// What it hears while TLS is well goes the way of a Read, and what is data is kept. Once TLS has failed (readErr is set
// and not io.EOF), frames go to the machine and no further.

// maxHeard is how many bytes of data may be kept while nobody reads.
const maxHeard = 64 << 10

// hear is a goroutine that receives while nobody reads, and keeps the data. It exists as long as the machine must hear.
func (c *Conn) hear() {
	for more := true; more; {
		c.lockReading(nil, nil)
		if more = c.out.goOnHearing(c.failedTLS()); more {
			if more = c.hearFrame(); !more {
				c.out.stopHearing(c.whyDeaf())
			}
		}
		c.unlockReading()
	}
}

// hearFrame receives a frame and keeps the data in it. It returns false if there is nothing more to hear for now.
func (c *Conn) hearFrame() bool {
	if c.closing.Load() {
		c.dropPlain()
	}
	if c.deaf != nil || c.plain != nil && c.plain.Len() >= maxHeard {
		return false
	}
	before := c.readErr // the end of the peer's data is not that of its frames
	c.setListening(true)
	c.step(nil)
	c.setListening(false)
	if before != nil {
		c.readErr = before
	}
	return c.deaf == nil && !c.lingered()
}

// whyDeaf returns why nothing more will come, nil if something may. When Close has waited long enough, that is for it
// to say.
func (c *Conn) whyDeaf() error {
	if c.lingered() {
		return nil
	}
	return c.deaf
}

// setListening says who waits for the carrier: one who hears, or one who reads.
func (c *Conn) setListening(on bool) {
	c.arming.Lock()
	defer c.arming.Unlock()
	c.listening = on
	c.armLocked()
}

// want says that a Read waits for its turn, or no longer does.
func (c *Conn) want(reads int) {
	c.arming.Lock()
	defer c.arming.Unlock()
	if c.wanting += reads; c.listening {
		c.armLocked()
	}
}

// lingered reports whether the time is over that Close waits.
func (c *Conn) lingered() bool {
	c.arming.Lock()
	defer c.arming.Unlock()
	return c.aborted || !c.linger.IsZero() && !time.Now().Before(c.linger)
}

// hear makes sure that the peer is heard if it must be.
func (s *sender) hear() {
	if s.holds == nil && s.awaits == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hearLocked()
}

func (s *sender) hearLocked() {
	if !s.hearing && !s.c.polls && s.mustHear() && isClosed(s.c.shaken) {
		s.hearing = true
		go s.c.hear()
	}
}

func (s *sender) mustHear() bool {
	switch {
	case s.holds == nil && s.awaits == nil, s.err != nil, s.c.over.Load() != nil, s.c.raw.Load():
		return false
	case s.backlogLocked() > 0:
		return true
	case s.useless || s.c.closing.Load():
		return s.awaitsLocked()
	}
	return s.holds != nil && s.timed != nil
}

// goOnHearing reports whether the goroutine that hears is still needed; if not, it must end. failed says that TLS has.
func (s *sender) goOnHearing(failed bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.useless = s.useless || failed
	s.hearing = s.mustHear()
	return s.hearing
}

// stopHearing says that the goroutine that hears ends. It is called by it, while it is the one that reads. With a cause,
// nothing more will come: then a machine that depends on it cannot send either.
func (s *sender) stopHearing(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hearing = false
	if cause != nil {
		s.fail(fmt.Errorf("wrap: the codec cannot send without hearing the peer: %w", cause))
	}
}

// backlog returns how many bytes the machine holds back.
func (s *sender) backlog() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backlogLocked()
}

func (s *sender) backlogLocked() int {
	if s.holds == nil || s.c.raw.Load() {
		return 0
	}
	return s.holds.Backlog()
}

// awaitsLocked reports whether the machine awaits something of its peer.
func (s *sender) awaitsLocked() bool {
	return s.awaits != nil && s.started && !s.c.raw.Load() && s.awaits.Awaits()
}
