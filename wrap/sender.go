package wrap

import (
	"fmt"
	"math"
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

// A sender is the sending half of a Conn. Whoever has frames to send puts them into its queue, under mu, in the order
// in which they were sealed; a goroutine that exists while the queue is not empty moves them to the carrier, as many
// at once as there are. mu is never held during I/O that may wait.
//
//	TLS bytes ─▶ machine ─▶ queue ─▶ batch ─▶ carrier
//	             backlog    '---- stored ---'             what a Write waits for, in bytes
//	                        pushed            gone        frames that have ever passed here
//
// Who moves frames to the carrier. busy is set in all states but the first:
//
//	at rest  ── kick ──▶ sendNow, by whoever kicked: as far as it goes without waiting
//	at rest  ── kick, and more follows at once ──▶ send, a goroutine
//	sendNow  ── all of it has left ──▶ at rest
//	sendNow  ── a rest, or a single frame and no time since the last (gathering) ──▶ send
//	send     ── the queue is empty ──▶ at rest
//
// Over a carrier that does not wait there are no such states: kick moves what it takes.
//
// How it ends. err is set by the first that fails, and is what all later calls return:
//
//	working ── fail: the codec, or what it must hear ──▶ nothing more is queued; what is queued leaves
//	any     ── die: the carrier, or Close and Abort  ──▶ dead: what is queued is dropped
//
// What Close says is lost is application data alone. The frames up to number data end with the last of it; in the
// machine's backlog it stands in front of goodbye bytes of alerts. So all has left when gone has reached data and the
// backlog is down to goodbye.
type sender struct {
	c      *Conn
	lim    frame.Limits // room around TLS bytes in a frame, and the most of them
	most   int          // application data per record
	try    tryCarrier   // nil if the carrier cannot send without waiting
	timed  frame.Timed  // the machine, if it is one; so are the next three
	holds  frame.Backlogger
	awaits frame.Awaiter
	ender  frame.Ender

	mu      sync.Mutex
	ev      []frame.Event // reused
	queue   []*frame.Buf  // to be sent
	spare   []*frame.Buf  // the array that was queue before
	stored  int           // bytes of memory in queue and with the carrier
	answers int           // those of them in queue that the peer has asked for
	pushed  int           // frames that have ever been in queue
	data    int           // so many of them end with the last that holds application data
	gone    int           // so many of them has the carrier taken
	goodbye int           // bytes at the end of what the machine holds back that are no application data
	busy    bool          // somebody is sending
	hearing bool          // somebody receives because the machine must hear
	useless bool          // TLS has failed: nothing will be sent or received but what the machine still has to
	left    time.Time     // when the last frame has left
	vacant  chan struct{} // gets something when there is room again; of size 1, made for the first Write that waits
	wanted  bool          // a Write waits for that
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
	s.awaits, _ = m.(frame.Awaiter)
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

// failed takes in that the handshake has failed: nothing in the machine is application data.
func (s *sender) failed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.useless = true
	s.goodbye = math.MaxInt
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
	s.data = s.pushed
	s.kickMore(n < len(p)) // the first frames leave while the next are sealed
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
	backlog := s.backlogLocked()
	err := eng.CloseWrite()
	if flushErr := s.flightLocked(eng); err == nil {
		err = flushErr
	}
	s.goodbye += max(s.backlogLocked()-backlog, 0)
	s.kick()
	return err
}
