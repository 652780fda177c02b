package datagram

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// A machine is a frame.Machine that is no pair of codecs. Its calls must not overlap, so all are made under mu. What it
// wants to be sent waits in frames, in order, for whoever holds the writing lock of the Conn.
type machine struct {
	mu     sync.Mutex
	mach   frame.Machine
	timed  frame.Timed      // mach, if it is one; so are the next two
	holds  frame.Backlogger //
	ender  frame.Ender      //
	ev     []frame.Event    // reused by calls other than Recv
	in     []frame.Event    // reused by Recv
	frames []*frame.Buf
	size   int // bytes of memory in frames
	timer  *time.Timer
	begun  bool
	err    error // why it is of no use any more
}

// maxAnswers is how many bytes of memory a peer may make a machine want to send before any of it is sent.
const maxAnswers = 256 << 10

var (
	errStray = errors.New("datagram: the codec has DTLS bytes that no frame has brought")
	errRaw   = errors.New("datagram: the codec has ended its framing: messages need one")
	errEnded = errors.New("datagram: the codec's protocol has ended")
)

func newMachine(m frame.Machine) *machine {
	w := &machine{mach: m}
	w.timed, _ = m.(frame.Timed)
	w.holds, _ = m.(frame.Backlogger)
	w.ender, _ = m.(frame.Ender)
	return w
}

// start starts the machine.
func (m *machine) start(c *Conn) error {
	return m.call(c, func(ev []frame.Event) ([]frame.Event, error) {
		m.begun = true
		return m.mach.Start(ev)
	})
}

// give gives it a record; b is the machine's from then on.
func (m *machine) give(c *Conn, b *frame.Buf, flush bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tick(); m.err != nil {
		b.Release()
		return m.err
	}
	ev, err := m.mach.Send(m.ev[:0], b, flush)
	m.take(ev, err)
	m.schedule(c)
	return m.err
}

// recv gives it a frame and returns what that means; the events are valid until the next recv.
func (m *machine) recv(c *Conn, b *frame.Buf) (ev []frame.Event, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tick(); m.err != nil {
		return nil, m.err
	}
	all, err := m.mach.Recv(m.in[:0], b)
	ev = all[:0]
	for _, e := range all {
		if e.Kind == frame.Out {
			m.push(e.Buf)
		} else {
			ev = append(ev, e)
		}
	}
	m.in = ev
	m.schedule(c)
	return ev, err
}

// side gives it side traffic.
func (m *machine) side(c *Conn, s frame.SideSender, p []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tick()
	switch {
	case m.err != nil:
		return m.err
	case !m.begun:
		return errNotBegun
	case m.size > maxAnswers:
		return bio.ErrWantWrite
	}
	lim := c.codec.room
	b := frame.Get(lim.Head, len(p)+lim.Tail)
	copy(b.Append(len(p)), p)
	ev, err := s.SendSide(m.ev[:0], b)
	m.take(ev, nil)
	m.schedule(c)
	if err != nil {
		return fmt.Errorf("datagram: WriteSide: %w", err)
	}
	return m.err
}

// end tells it that nothing more will be sent, and stops its clock.
func (m *machine) end(c *Conn) {
	if m.ender != nil && c.open.Load() {
		m.call(c, m.ender.End)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer != nil {
		m.timer.Stop()
	}
	m.ender, m.timed = nil, nil
}

func (m *machine) call(c *Conn, f func([]frame.Event) ([]frame.Event, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.take(f(m.ev[:0]))
		m.schedule(c)
	}
	return m.err
}

// take does what a call other than Recv wants done. It keeps the array of ev.
func (m *machine) take(ev []frame.Event, err error) {
	for _, e := range ev {
		switch e.Kind {
		case frame.Out:
			m.push(e.Buf)
		case frame.In:
			e.Buf.Release()
			err = errStray
		case frame.Side:
			e.Buf.Release()
		case frame.SwitchRaw:
			err = errRaw
		case frame.Done:
			err = orElse(e.Err, errEnded)
		}
	}
	clear(ev)
	m.ev = ev[:0]
	if err != nil && m.err == nil && !errors.Is(err, frame.ErrTooLarge) {
		m.err = err
	}
}

func orElse(err, other error) error {
	if err == nil {
		return other
	}
	return err
}

func (m *machine) push(b *frame.Buf) {
	if m.size > maxAnswers {
		b.Release()
		m.err = bio.ErrTooMuch
		return
	}
	m.frames = append(m.frames, b)
	m.size += b.Cap()
}

// takeFrames appends the frames that wait to list.
func (m *machine) takeFrames(list []*frame.Buf) []*frame.Buf {
	m.mu.Lock()
	defer m.mu.Unlock()
	list = append(list, m.frames...)
	clear(m.frames)
	m.frames, m.size = m.frames[:0], 0
	return list
}

// full reports whether it holds back so much that a Write shall wait.
func (m *machine) full() bool {
	if m == nil || m.holds == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err == nil && m.holds.Backlog() > maxAnswers
}

func (m *machine) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// tick tells a machine with timers the time.
func (m *machine) tick() {
	if m.timed != nil && m.begun && m.err == nil {
		m.take(m.timed.Tick(m.ev[:0], time.Now()))
	}
}

// schedule sets the timer of a machine that has one.
func (m *machine) schedule(c *Conn) {
	if m.timed == nil {
		return
	}
	at, ok := m.timed.Deadline()
	wait := max(time.Until(at), time.Millisecond) // one that is always late shall not take all there is
	switch ok = ok && m.err == nil; {
	case !ok && m.timer != nil:
		m.timer.Stop()
	case ok && m.timer == nil:
		m.timer = time.AfterFunc(wait, func() { m.alarm(c) })
	case ok:
		m.timer.Reset(wait)
	}
}

// alarm is called when its time has come.
func (m *machine) alarm(c *Conn) {
	m.mu.Lock()
	m.tick()
	m.schedule(c)
	err := m.err
	m.mu.Unlock()
	c.flush()
	if err != nil {
		c.fail(err)
	}
	c.poke()
}

// FrameLen implements frame.Delimiter for a machine that does.
func (m *machine) FrameLen(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mach.(frame.Delimiter).FrameLen(p)
}
