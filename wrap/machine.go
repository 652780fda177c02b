package wrap

import (
	"errors"
	"fmt"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// What a sender has to do with the frame.Machine. Its calls must not overlap, so all of them are made under mu, but for
// Recv and FrameLen of a pair of codecs.

// frame gives TLS bytes to the machine, in parts if they exceed a frame: that happens when a key update that the reader
// answered got in between.
func (s *sender) frame(b *frame.Buf, flush bool) error {
	for b.Len() > s.lim.Max {
		part := frame.Get(s.lim.Head, s.lim.Max+s.lim.Tail)
		copy(part.Append(s.lim.Max), b.Bytes())
		b.TrimFront(s.lim.Max)
		if err := s.give(part, false); err != nil {
			b.Release()
			return err
		}
	}
	return s.give(b, flush)
}

// give gives TLS bytes that fit a frame to the machine, and queues what that makes of them.
func (s *sender) give(b *frame.Buf, flush bool) error {
	raw := s.c.raw.Load()
	if s.c.cfg.Trace != nil && (raw || s.c.paired) {
		s.traced = append([]byte(nil), b.Bytes()...) // the codec changes it in place
	}
	if raw {
		s.push(b)
		return s.err
	}
	if s.tick(); s.err != nil {
		b.Release()
		return s.err
	}
	s.take(s.c.mach.Send(s.ev[:0], b, flush))
	return s.err
}

// flush tells the machine that a flight has ended.
func (s *sender) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	if s.err == nil && !s.c.raw.Load() && !s.ended {
		s.take(s.c.mach.Send(s.ev[:0], nil, true))
	}
	s.kick()
	if s.c.polls && s.err == nil && len(s.queue) > 0 {
		return bio.ErrWantWrite
	}
	return s.err
}

// start starts the machine.
func (s *sender) start() error {
	return s.machine(func(ev []frame.Event) ([]frame.Event, error) {
		s.started = true
		return s.c.mach.Start(ev)
	})
}

// end queues what the codec says at the end.
func (s *sender) end() {
	if s.ender != nil {
		s.machine(func(ev []frame.Event) ([]frame.Event, error) {
			if !s.started || s.ended || s.c.raw.Load() {
				return ev, nil
			}
			s.ended = true
			return s.ender.End(ev)
		})
	}
}

// machine makes a call of the machine that is not made often.
func (s *sender) machine(call func([]frame.Event) ([]frame.Event, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.take(call(s.ev[:0]))
	}
	s.kick()
	return s.err
}

// recv gives a frame to the machine and queues what it answers.
func (s *sender) recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tick(); s.c.over.Load() != nil {
		return ev, nil // the next Recv of the carrier tells
	}
	stored, backlog := s.stored, s.backlogLocked()
	ev, err := s.c.mach.Recv(ev, b)
	ev = s.keepFrames(ev)
	switch {
	case s.backlogLocked() < backlog: // what was held back has left: that is no answer
		if backlog > s.goodbye {
			s.data = s.pushed
		}
	case err == nil:
		err = s.answered(s.stored - stored)
	}
	s.schedule()
	s.kick()
	s.wake()
	return ev, err
}

// guarded is the Delimiter of a machine whose calls must not overlap.
type guarded struct {
	s *sender
	d frame.Delimiter
}

// FrameLen implements frame.Delimiter.
func (g *guarded) FrameLen(p []byte) (int, error) {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	return g.d.FrameLen(p)
}

// keepFrames queues the frames among ev and returns the rest. A switch to raw that no TLS bytes precede holds for other
// goroutines at once; else the engine's answer to those must still be framed.
func (s *sender) keepFrames(ev []frame.Event) []frame.Event {
	rest := ev[:0]
	in := false
	for _, e := range ev {
		switch e.Kind {
		case frame.Out:
			s.push(e.Buf)
			continue
		case frame.In:
			in = true
		case frame.SwitchRaw:
			if !in {
				s.c.raw.Store(true)
			}
		}
		rest = append(rest, e)
	}
	return rest
}

// take does what a call other than Recv wants done. It keeps the array of ev.
func (s *sender) take(ev []frame.Event, err error) {
	for _, e := range ev {
		switch e.Kind {
		case frame.Out:
			s.push(e.Buf)
		case frame.SwitchRaw:
			s.c.raw.Store(true)
		case frame.Done:
			s.over(e.Err)
		case frame.In:
			e.Buf.Release()
			err = errStray
		case frame.Side:
			e.Buf.Release()
		}
	}
	clear(ev)
	s.ev = ev[:0]
	if err != nil {
		s.fail(fmt.Errorf("wrap: codec: %w", err))
	}
	s.schedule()
}

var errStray = errors.New("the frame.Machine has TLS bytes that no frame has brought")

// over ends the connection for a machine that has ended of itself, such as one that has retransmitted in vain: a Read
// that waits returns. An orderly end, err is nil, ends only that.
func (s *sender) over(err error) {
	if err != nil {
		err = fmt.Errorf("wrap: codec: %w", err)
		s.fail(err)
	}
	if s.c.over.CompareAndSwap(nil, &err) {
		s.c.armRead()
	}
}

// tick tells a machine with timers the time.
func (s *sender) tick() {
	if s.timed == nil || !s.started || s.c.raw.Load() || s.err != nil {
		return
	}
	ev, err := s.timed.Tick(s.ev[:0], time.Now())
	s.take(ev, nil)
	if err != nil {
		s.over(err)
	}
}

// schedule sets the timer of a machine that has one. Over a carrier that does not wait, its user's calls are the clock.
func (s *sender) schedule() {
	if s.timed == nil || s.c.polls {
		return
	}
	at, ok := s.timed.Deadline()
	switch ok = ok && s.err == nil && !s.c.raw.Load(); {
	case !ok && s.timer != nil:
		s.timer.Stop()
	case ok && s.timer == nil:
		s.timer = time.AfterFunc(inFuture(at), s.alarm)
	case ok:
		s.timer.Reset(inFuture(at))
	}
}

// inFuture returns the time until at, but not so little that a machine which is always late takes all there is.
func inFuture(at time.Time) time.Duration { return max(time.Until(at), time.Millisecond) }

// alarm is called when the machine's time has come.
func (s *sender) alarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	s.kick()
	s.wake()
}
