package wrap

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// sealAtOnce is how many bytes of application data are sealed before the sender is told: the first frames leave while
// the next are sealed.
const sealAtOnce = 64 << 10

// A sender is the sending half of a Conn. Whoever has frames to send puts them into its queue, under mu, in the order in
// which they were sealed; a goroutine that exists while the queue is not empty moves them to the carrier, as many at
// once as there are. mu is never held during I/O.
type sender struct {
	c               *Conn
	head, tail, max int // room around TLS bytes in a frame, and the most of them
	most            int // application data per record

	mu     sync.Mutex
	ev     []frame.Event // reused
	queue  []*frame.Buf  // to be sent
	spare  []*frame.Buf  // the array that was queue before
	stored int           // bytes of memory in queue and with the carrier
	busy   bool          // the goroutine runs
	vacant chan struct{} // closed when there is room again; nil if nobody waits
	quiet  chan struct{} // closed when all is sent; nil if nobody waits
	ended  bool          // close_notify and the codec's end are queued
	err    error         // why nothing can be sent any more
	timer  *time.Timer   // of a frame.Timed
	traced []byte        // what the next frame holds, for Config.Trace
	run    func()        // (*sender).send, once: starting it allocates nothing
}

func (s *sender) init(c *Conn) {
	s.c = c
	s.run = s.send
}

// opened fits records to frames, now that the overhead of a record is known.
func (s *sender) opened(overhead, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(1, min(bio.MaxPlaintext, s.max-overhead))
	if most > 0 {
		s.most = min(s.most, most)
	}
}

// seal turns a prefix of p into frames and queues them.
func (s *sender) seal(eng bio.Engine, p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	overhead := eng.Overhead()
	for n < len(p) && n < sealAtOnce && s.err == nil {
		part := p[n:min(len(p), n+s.most)]
		b := frame.Get(s.head, len(part)+overhead+s.tail)
		out, m, err := eng.Seal(b.Tail(), part)
		b.Adopt(out, s.tail)
		if err != nil {
			b.Release()
			return n, fmt.Errorf("wrap: %w", err)
		}
		n += m
		if err := s.frame(b, n == len(p)); err != nil {
			return n, err
		}
	}
	s.kick()
	return n, s.err
}

// flushEngine queues what the engine has to say: a flight, a ticket, an alert.
func (s *sender) flushEngine(eng bio.Engine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushLocked(eng)
}

func (s *sender) flushLocked(eng bio.Engine) error {
	for more := true; more; {
		var out []byte
		b := frame.Get(s.head, min(s.max, flightPart)+s.tail)
		out, more = eng.Flush(b.Tail(), min(s.max, flightPart))
		b.Adopt(out, s.tail)
		if b.Len() == 0 {
			b.Release()
			break
		}
		if err := s.frame(b, !more); err != nil {
			return err
		}
	}
	s.kick()
	return s.err
}

// flightPart is how much of a flight goes into one frame at most.
const flightPart = bio.MaxPlaintext + 256

// frame gives TLS bytes to the machine, in parts if they exceed a frame: that happens when a key update that the reader
// answered got in between.
func (s *sender) frame(b *frame.Buf, flush bool) error {
	for b.Len() > s.max {
		part := frame.Get(s.head, s.max+s.tail)
		copy(part.Append(s.max), b.Bytes())
		b.TrimFront(s.max)
		if err := s.give(part, false); err != nil {
			b.Release()
			return err
		}
	}
	return s.give(b, flush)
}

// give gives TLS bytes that fit a frame to the machine, and queues what that makes of them.
func (s *sender) give(b *frame.Buf, flush bool) error {
	if s.c.cfg.Trace != nil {
		s.traced = append([]byte(nil), b.Bytes()...) // the codec changes it in place
	}
	if s.c.raw.Load() {
		return s.take(append(s.ev[:0], frame.Event{Kind: frame.Out, Buf: b}), nil)
	}
	if err := s.tick(); err != nil {
		b.Release()
		return err
	}
	ev, err := s.c.mach.Send(s.ev[:0], b, flush)
	return s.take(ev, err)
}

// flush tells the machine that a flight has ended.
func (s *sender) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && !s.c.raw.Load() {
		ev, err := s.c.mach.Send(s.ev[:0], nil, true)
		if err := s.take(ev, err); err != nil {
			return err
		}
	}
	s.kick()
	if s.c.polls && s.err == nil && len(s.queue) > 0 {
		return bio.ErrWantWrite
	}
	return s.err
}

// recv gives a frame to a machine that does not bear calls that overlap.
func (s *sender) recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.tick(); err != nil {
		return ev, err
	}
	ev, err := s.c.mach.Recv(ev, b)
	rest := ev[:0]
	for _, e := range ev {
		if e.Kind == frame.Out {
			s.push(e.Buf)
		} else {
			rest = append(rest, e)
		}
	}
	s.schedule()
	s.kick()
	return rest, err
}

// dispatch takes in events of a call that was made without the lock.
func (s *sender) dispatch(ev []frame.Event, err error, kick bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.take(ev, err)
	if kick {
		s.kick()
	}
	return err
}

// take queues the frames among ev, which it keeps the array of.
func (s *sender) take(ev []frame.Event, err error) error {
	for _, e := range ev {
		switch e.Kind {
		case frame.Out:
			s.push(e.Buf)
		case frame.SwitchRaw:
			s.c.raw.Store(true)
		}
	}
	clear(ev)
	s.ev = ev[:0]
	s.schedule()
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("wrap: codec: %w", err)
	}
	return s.err
}

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
	s.c.stats.framesOut.Add(1)
	s.c.stats.wireOut.Add(uint64(b.Len()))
}

// kick makes what is queued leave.
func (s *sender) kick() {
	switch {
	case len(s.queue) == 0 || s.busy || s.err != nil:
	case s.c.polls:
		s.poll()
	default:
		s.busy = true
		go s.run()
	}
}

// send is the goroutine: it moves what is queued to the carrier until nothing is.
func (s *sender) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && s.err == nil {
		batch := s.queue
		s.queue, s.spare = s.spare[:0], nil
		size := 0
		for _, b := range batch {
			size += b.Cap()
		}
		s.mu.Unlock()
		sent, err := s.c.carrier.Send(batch)
		s.mu.Lock()
		for _, b := range batch[sent:] {
			b.Release()
		}
		clear(batch)
		s.spare = batch[:0]
		s.sent(size, err)
	}
	s.busy = false
	if s.quiet != nil {
		close(s.quiet)
		s.quiet = nil
	}
}

// poll moves what is queued to a carrier that does not wait.
func (s *sender) poll() {
	size := s.stored
	sent, err := s.c.carrier.Send(s.queue)
	n := copy(s.queue, s.queue[sent:])
	clear(s.queue[n:])
	s.queue = s.queue[:n]
	for _, b := range s.queue {
		size -= b.Cap()
	}
	if err == bio.ErrWantWrite {
		err = nil
	}
	s.sent(size, err)
}

// sent takes in that the carrier has taken size bytes of memory, or has failed.
func (s *sender) sent(size int, err error) {
	s.stored -= size
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("wrap: carrier: %w", err)
		s.dropQueue()
	}
	if s.vacant != nil && (s.err != nil || s.stored <= s.c.cfg.writeBuffer()/2) {
		close(s.vacant)
		s.vacant = nil
	}
}

func (s *sender) dropQueue() {
	for _, b := range s.queue {
		s.stored -= b.Cap()
		b.Release()
	}
	clear(s.queue)
	s.queue = s.queue[:0]
}

// room returns nil if there is room for more, and otherwise a channel that is closed when there may be.
func (s *sender) room() (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polling() {
		s.poll()
	}
	held := s.stored
	if b, ok := s.c.mach.(frame.Backlogger); ok {
		held += b.Backlog()
	}
	if s.err != nil || held < s.c.cfg.writeBuffer() {
		return nil, s.err
	}
	if s.vacant == nil {
		s.vacant = make(chan struct{})
	}
	return s.vacant, nil
}

func (s *sender) polling() bool { return s.c.polls && len(s.queue) > 0 && s.err == nil }

func (s *sender) backlog() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored
}

// closeWrite queues close_notify, and with end also what the codec says at the end.
func (s *sender) closeWrite(eng bio.Engine, end bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := eng.CloseWrite()
	if flushErr := s.flushLocked(eng); err == nil {
		err = flushErr
	}
	if e, ok := s.c.mach.(frame.Ender); ok && end && !s.ended && !s.c.raw.Load() && s.err == nil {
		s.ended = true
		ev, endErr := e.End(s.ev[:0])
		if endErr = s.take(ev, endErr); err == nil {
			err = endErr
		}
		s.kick()
	}
	return err
}

// drain waits until all is sent, at most for limit.
func (s *sender) drain(limit time.Duration) {
	s.mu.Lock()
	if !s.busy || limit <= 0 {
		s.mu.Unlock()
		return
	}
	if s.quiet == nil {
		s.quiet = make(chan struct{})
	}
	quiet := s.quiet
	s.mu.Unlock()
	timer := time.NewTimer(limit)
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
	if s.err == nil {
		s.err = err
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.dropQueue()
	s.sent(0, net.ErrClosed)
}

// tick tells a machine with timers the time.
func (s *sender) tick() error {
	t, ok := s.c.mach.(frame.Timed)
	if !ok {
		return nil
	}
	ev, err := t.Tick(s.ev[:0], time.Now())
	return s.take(ev, err)
}

// schedule sets the timer of a machine that has one.
func (s *sender) schedule() {
	t, ok := s.c.mach.(frame.Timed)
	if !ok || s.err != nil {
		return
	}
	at, ok := t.Deadline()
	switch {
	case !ok && s.timer != nil:
		s.timer.Stop()
	case ok && s.timer == nil:
		s.timer = time.AfterFunc(time.Until(at), s.alarm)
	case ok:
		s.timer.Reset(time.Until(at))
	}
}

// alarm is called when the machine's time has come.
func (s *sender) alarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.tick() == nil {
		s.kick()
	}
}
