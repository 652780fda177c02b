package wrap

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

const (
	// sealAtOnce is how many bytes of application data are sealed before the sender is told: the first frames leave
	// while the next are sealed. Of the memory for that it is half, or small records could take any amount.
	sealAtOnce = 64 << 10

	// flightPart is how much of a flight goes into one frame at most.
	flightPart = bio.MaxPlaintext + 256

	// answerRoom is for what an established engine says unasked: an alert or the answer to a key update.
	answerRoom = 256

	// maxAnswers is how many bytes of memory a peer may make this end queue without reading them.
	maxAnswers = 128 << 10

	// gathering is how soon after the last frame has left another one is taken for the next of many, and left to the
	// goroutine, which sends what has gathered at once.
	gathering = 5 * time.Microsecond

	// idleQueue is how many frames the array may have had room for that an idle connection keeps.
	idleQueue = 256
)

// A sender is the sending half of a Conn. Whoever has frames to send puts them into its queue, under mu, in the order in
// which they were sealed; a goroutine that exists while the queue is not empty moves them to the carrier, as many at
// once as there are. mu is never held during I/O that may wait.
type sender struct {
	c     *Conn
	lim   frame.Limits // room around TLS bytes in a frame, and the most of them
	most  int          // application data per record
	try   tryCarrier   // nil if the carrier cannot send without waiting
	timed frame.Timed  // the machine, if it is one; so are the next two
	holds frame.Backlogger
	ender frame.Ender

	mu      sync.Mutex
	ev      []frame.Event // reused
	queue   []*frame.Buf  // to be sent
	spare   []*frame.Buf  // the array that was queue before
	stored  int           // bytes of memory in queue and with the carrier
	answers int           // those of them in queue that the peer has asked for
	pushed  int           // frames that have ever been in queue
	gone    int           // those of them that the carrier has taken
	busy    bool          // somebody is sending
	hearing bool          // somebody receives as long as the machine holds something back
	left    time.Time     // when the last frame has left
	vacant  chan struct{} // closed when there is room again; nil if nobody waits
	quiet   chan struct{} // closed when all is sent; nil if nobody waits
	started bool          // the machine is
	ended   bool          // the codec's end is queued
	err     error         // why nothing can be queued any more
	dead    bool          // nor can what is queued be sent
	timer   *time.Timer   // of a frame.Timed
	traced  []byte        // what the next frame holds, for Config.Trace
	run     func()        // (*sender).send, once: starting it allocates nothing
}

func (s *sender) init(c *Conn) {
	s.c = c
	s.run = s.send
	if t, ok := c.carrier.(tryCarrier); ok && t.canTry() {
		s.try = t
	}
}

func (s *sender) fit(m frame.Machine, lim frame.Limits) {
	s.lim = lim
	s.timed, _ = m.(frame.Timed)
	s.holds, _ = m.(frame.Backlogger)
	s.ender, _ = m.(frame.Ender)
}

// opened fits records to frames, now that the overhead of a record is known.
func (s *sender) opened(overhead, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(1, min(bio.MaxPlaintext, s.lim.Max-overhead))
	if most > 0 {
		s.most = min(s.most, most)
	}
}

// seal turns a prefix of p into frames and queues them. What it counts in n is queued, whatever the error.
func (s *sender) seal(eng bio.Engine, p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	overhead, held := eng.Overhead(), s.heldLocked()
	for n < len(p) && n < sealAtOnce && s.heldLocked()-held < 2*sealAtOnce && err == nil {
		var m int
		m, err = s.sealOne(eng, p[n:], overhead)
		n += m
	}
	s.kick()
	if err == nil {
		err = s.err
	}
	return n, err
}

// sealOne turns the beginning of p into a record and queues it.
func (s *sender) sealOne(eng bio.Engine, p []byte, overhead int) (int, error) {
	part := p[:min(len(p), s.most)]
	b := frame.Get(s.lim.Head, len(part)+overhead+s.lim.Tail)
	out, n, err := eng.Seal(b.Tail(), part)
	b.Adopt(out, s.lim.Tail)
	if err != nil {
		b.Release()
		return 0, fmt.Errorf("wrap: %w", err)
	}
	if err := s.frame(b, n == len(p)); err != nil {
		return 0, err
	}
	return n, nil
}

// flight queues what the engine has to say: a flight, a ticket, an alert, an answer.
func (s *sender) flight(eng bio.Engine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.stored
	err := s.flightLocked(eng)
	if err == nil && s.c.open.Load() {
		err = s.answered(s.stored - before)
	}
	s.kick()
	return err
}

func (s *sender) flightLocked(eng bio.Engine) error {
	most := min(s.lim.Max, flightPart)
	room := most
	if s.c.open.Load() {
		room = min(most, answerRoom)
	}
	for more := true; more; {
		var out []byte
		b := frame.Get(s.lim.Head, room+s.lim.Tail)
		out, more = eng.Flush(b.Tail(), most)
		b.Adopt(out, s.lim.Tail)
		if b.Len() == 0 {
			b.Release()
			break
		}
		if err := s.frame(b, !more); err != nil {
			return err
		}
	}
	return s.err
}

// answered takes in that the peer has made this end queue size bytes of memory. One that asks and does not read is
// refused; what the user writes does not count, or a peer that is slow to read could not ask at all.
func (s *sender) answered(size int) error {
	if s.answers += max(size, 0); s.answers > maxAnswers {
		return bio.ErrTooMuch
	}
	return nil
}

// closeWrite queues close_notify.
func (s *sender) closeWrite(eng bio.Engine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := eng.CloseWrite()
	if flushErr := s.flightLocked(eng); err == nil {
		err = flushErr
	}
	s.kick()
	return err
}

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
func (s *sender) kick() {
	switch {
	case len(s.queue) == 0 || s.busy:
	case s.c.polls:
		s.poll()
	default:
		s.busy = true
		if s.sendNow(); len(s.queue) > 0 {
			go s.run()
		} else {
			s.idle()
		}
	}
	s.hearLocked()
}

// sendNow sends a single frame from here as far as the carrier takes it without waiting. To hand it over to a goroutine
// would cost more than the frame; but where frames follow each other closely, that gathers them.
func (s *sender) sendNow() {
	if s.try == nil || len(s.queue) != 1 || time.Since(s.left) < gathering {
		return
	}
	batch, size := s.takeQueue()
	b := batch[0]
	s.mu.Unlock()
	s.try.try(b)
	s.mu.Lock()
	if b.Len() > 0 && !s.dead {
		s.queue = slices.Insert(s.queue, 0, b)
		s.spare = batch[:0]
		return
	}
	done := 1 - min(b.Len(), 1)
	b.Release()
	s.sent(batch, done, size, nil)
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

// wake wakes a Write that waits, if there is room for it or no hope, and a Close, if all is sent or nothing more can be.
func (s *sender) wake() {
	if s.vacant != nil && (s.err != nil || s.heldLocked() <= s.c.cfg.writeBuffer()/2) {
		close(s.vacant)
		s.vacant = nil
	}
	if s.quiet != nil && s.isQuiet() {
		close(s.quiet)
		s.quiet = nil
	}
}

// isQuiet reports whether nothing is on its way, nor will be.
func (s *sender) isQuiet() bool { return !s.busy && (s.backlogLocked() == 0 || s.err != nil) }

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

// room returns nil if there is room for more, and otherwise a channel that is closed when there may be.
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
		s.vacant = make(chan struct{})
	}
	return s.vacant, nil
}

// heldLocked returns how much is not yet with the carrier, in bytes of memory.
func (s *sender) heldLocked() int { return s.stored + s.backlogLocked() }

// mark returns how many frames have been queued so far: sentTo tells when they have left. err is why no more can be.
func (s *sender) mark() (frames int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushed, s.err
}

// sentTo reports whether the carrier has taken all frames up to a mark, and the machine holds nothing back. err is why no
// more can be.
func (s *sender) sentTo(mark int) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone >= mark && s.backlogLocked() == 0, s.err
}

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

// abandon drops what is queued; later calls return err.
func (s *sender) abandon(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.die(err)
}
