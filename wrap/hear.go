package wrap

import "io"

// A machine that holds something back until it hears from its peer, a frame.Backlogger, must hear it whether there is a
// Read or not: a user who only writes would wait for ever.

// maxHeard is how many bytes of data may be kept while nobody reads.
const maxHeard = 64 << 10

// hear is a goroutine for a machine that must hear its peer before it can send what it holds back: an acknowledgement,
// or its turn. It receives while nobody reads, and exists while something is held back.
func (c *Conn) hear() {
	for c.out.holdsBack() {
		c.lockReading(nil, nil)
		more := c.hearFrame()
		if !more {
			c.out.stopHearing()
		}
		c.unlockReading()
		if !more {
			return
		}
	}
}

// hearFrame receives a frame and keeps the data in it. It returns false if there is nothing more to hear for now.
func (c *Conn) hearFrame() bool {
	if c.closing.Load() {
		c.dropPlain()
	}
	before := c.readErr // the end of the peer's data is not that of its frames
	if c.deaf || before != nil && before != io.EOF || c.plain != nil && c.plain.Len() >= maxHeard {
		return false
	}
	c.setListening(true)
	_, err := c.step(nil)
	c.setListening(false)
	if before != nil {
		c.readErr = before
	}
	return err == nil || err == io.EOF
}

// hear makes sure that the peer is heard while the machine holds something back.
func (s *sender) hear() {
	if s.holds == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hearLocked()
}

func (s *sender) hearLocked() {
	if s.holds != nil && !s.hearing && s.c.open.Load() && !s.c.polls && s.mustHear() {
		s.hearing = true
		go s.c.hear()
	}
}

func (s *sender) mustHear() bool {
	return s.err == nil && s.c.over.Load() == nil && s.backlogLocked() > 0
}

// holdsBack reports whether the goroutine that hears is still needed; if not, it must end.
func (s *sender) holdsBack() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hearing = s.mustHear()
	return s.hearing
}

// stopHearing says that the goroutine that hears ends. It is called by it, while it is the one that reads.
func (s *sender) stopHearing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hearing = false
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
