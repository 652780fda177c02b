package wrap

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// The queue of a sender and those who empty it. What ends in Locked, and what is called without a lock, is called
// under mu.

// push queues a frame.
func (s *sender) push(b *frame.Buf) {
	if s.err != nil {
		b.Release()
		return
	}
	if s.c.cfg.Trace != nil {
		s.c.cfg.Trace(Trace{Sent: true, Frame: b.Bytes(), TLS: s.traced})
		s.traced = nil
	}
	s.queue = append(s.queue, b)
	s.stored += b.Cap()
	s.pushed++
	s.c.stats.framesOut.Add(1)
	s.c.stats.wireOut.Add(uint64(b.Len()))
}

// kick makes what is queued leave. It may let go of mu for a while.
func (s *sender) kick() { s.kickMore(false) }

// kickMore is kick; more says that more follows at once.
func (s *sender) kickMore(more bool) {
	switch {
	case len(s.queue) == 0 || s.busy:
	case s.c.polls:
		s.poll()
	default:
		s.busy = true
		if !more {
			s.sendNow()
		}
		if len(s.queue) > 0 {
			go s.run()
		} else {
			s.idle()
		}
	}
	s.hearLocked()
}

// sendNow sends from here what the carrier takes without waiting. To hand it over to a goroutine would cost more than a
// frame, and take time of another processor; but where single frames follow each other closely, that gathers them.
func (s *sender) sendNow() {
	if s.try == nil || len(s.queue) == 1 && time.Since(s.left) < gathering {
		return
	}
	batch, size := s.takeQueue()
	s.mu.Unlock()
	sent := s.try.try(batch)
	s.mu.Lock()
	rest := batch[sent:]
	left := 0
	for _, b := range rest {
		left += b.Cap()
	}
	if len(rest) > 0 && !s.dead {
		s.queue = slices.Insert(s.queue, 0, rest...)
	} else {
		for _, b := range rest {
			b.Release()
		}
	}
	s.sent(batch, sent, size-left, nil)
	if s.dead {
		s.stored -= left
	}
}

// send is the goroutine: it moves what is queued to the carrier until nothing is.
func (s *sender) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		batch, size := s.takeQueue()
		s.mu.Unlock()
		n, err := s.c.carrier.Send(batch)
		s.mu.Lock()
		if n < len(batch) && err == nil {
			err = io.ErrShortWrite
		}
		for _, b := range batch[n:] {
			b.Release()
		}
		s.sent(batch, n, size, err)
	}
	s.idle()
}

// takeQueue empties the queue and returns what was in it, and how much memory that is.
func (s *sender) takeQueue() (batch []*frame.Buf, size int) {
	batch = s.queue
	s.queue, s.spare = s.spare[:0], nil
	s.answers = 0
	for _, b := range batch {
		size += b.Cap()
	}
	return batch, size
}

// sent takes in that the carrier has taken n frames of batch, which was size bytes of memory, and perhaps failed.
func (s *sender) sent(batch []*frame.Buf, n, size int, err error) {
	s.gone += n
	clear(batch)
	s.spare = batch[:0]
	s.stored -= size
	if err != nil {
		s.die(fmt.Errorf("wrap: carrier: %w", err))
	}
	s.wake()
}

// idle takes in that all is sent.
func (s *sender) idle() {
	s.busy = false
	s.left = time.Now()
	if cap(s.queue) > idleQueue || cap(s.spare) > idleQueue {
		s.queue, s.spare = nil, nil
	}
	s.wake()
}

// poll moves what is queued to a carrier that does not wait.
func (s *sender) poll() {
	size := s.stored
	n, err := s.c.carrier.Send(s.queue)
	s.gone += n
	s.queue = slices.Delete(s.queue, 0, n)
	for _, b := range s.queue {
		size -= b.Cap()
	}
	s.stored -= size
	if len(s.queue) == 0 {
		s.answers = 0
	}
	if err != nil && !errors.Is(err, bio.ErrWantWrite) {
		s.die(fmt.Errorf("wrap: carrier: %w", err))
	}
}

// pollNow does what there is to do over a carrier that does not wait. It returns bio.ErrWantWrite if that is not all.
func (s *sender) pollNow() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	s.kick()
	if s.err == nil && len(s.queue) > 0 {
		return bio.ErrWantWrite
	}
	return s.err
}

// fail makes it known that nothing can be queued any more. What is queued still leaves, if it can.
func (s *sender) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.wake()
}

// wake wakes a Write that waits, if there is room for it or no hope, and a Close, if all is sent or nothing more can
// be.
func (s *sender) wake() {
	if s.wanted && (s.err != nil || s.heldLocked() <= s.c.cfg.writeBuffer()/2) {
		s.wanted = false
		select {
		case s.vacant <- struct{}{}:
		default: // it is full: a Write before did not wait for so long
		}
	}
	if s.quiet != nil && s.isQuiet() {
		close(s.quiet)
		s.quiet = nil
	}
}

// isQuiet reports whether nothing is on its way, nor will be.
func (s *sender) isQuiet() bool {
	return !s.busy && (s.err != nil || s.backlogLocked() == 0 && !s.awaitsLocked())
}

// die makes it known that nothing can be sent any more.
func (s *sender) die(err error) {
	s.dead = true
	for _, b := range s.queue {
		s.stored -= b.Cap()
		b.Release()
	}
	clear(s.queue)
	s.queue = s.queue[:0]
	s.fail(err)
}

// room returns nil if there is room for more, and otherwise a channel that gets something when there may be. One
// goroutine at a time waits for it: Write, which holds its lock. To wait allocates nothing.
func (s *sender) room() (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c.polls {
		s.kick()
	}
	if s.err != nil || s.heldLocked() < s.c.cfg.writeBuffer() {
		return nil, s.err
	}
	if s.vacant == nil {
		s.vacant = make(chan struct{}, 1)
	}
	s.wanted = true
	return s.vacant, nil
}

// available returns how much may be held before a Write waits, in bytes of memory.
func (s *sender) available() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0
	}
	return max(s.c.cfg.writeBuffer()-s.heldLocked(), 0)
}

// heldLocked returns how much is not yet with the carrier, in bytes of memory.
func (s *sender) heldLocked() int { return s.stored + s.backlogLocked() }

// delivered reports whether the carrier has taken all application data, and why no more can be sent, if that is so.
func (s *sender) delivered() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deliveredLocked(), s.err
}

func (s *sender) deliveredLocked() bool { return s.gone >= s.data && s.backlogLocked() <= s.goodbye }

// drain waits until all is with the carrier, at most until then. It does not wait for a carrier that does not.
func (s *sender) drain(until time.Time) {
	s.mu.Lock()
	wait := time.Until(until)
	if s.isQuiet() || wait <= 0 || s.c.polls {
		s.mu.Unlock()
		return
	}
	if s.quiet == nil {
		s.quiet = make(chan struct{})
	}
	quiet := s.quiet
	s.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-quiet:
	case <-timer.C:
	}
}

// refused takes in that the network says that the peer is gone. Anybody could say so: it counts for nothing as long as
// the connection is in use, or there is data that the peer may yet take.
func (s *sender) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c.closing.Load() && s.deliveredLocked() {
		s.fail(errRefused)
	}
}

var errRefused = errors.New("wrap: the network says that the peer is gone")

// abandon drops what is queued; later calls return err.
func (s *sender) abandon(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.die(err)
}

// pending reports whether something waits for a carrier that does not wait.
func (s *sender) pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) > 0
}
