package datagram

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/udp"
)

// A scratch is what a call needs and no Conn shall keep.
type scratch struct {
	frames  []*frame.Buf
	packets []udp.Packet
	list    [][]byte
	serve   [][]byte // messages for Serve
	view    frame.Buf
	plain   []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) release() {
	clear(s.frames)
	clear(s.packets)
	clear(s.list)
	clear(s.serve)
	s.frames, s.packets, s.list, s.serve = s.frames[:0], s.packets[:0], s.list[:0], s.serve[:0]
	s.view = frame.Buf{}
	scratches.Put(s)
}

// Write sends p as one message. One that is too long is refused with a *bio.TooLongError that tells the limit, and the
// Conn goes on; so it does when a deadline has passed. An empty message is not sent. That a message was sent does not
// mean that it arrives.
func (c *Conn) Write(p []byte) (int, error) {
	err := c.awaitWrite()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	c.writing.Lock()
	err = c.writeLocked(p, c.MTU())
	c.doneWriting()
	c.attend()
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteSide sends p, which is not kept, as traffic of the codec's protocol beside DTLS: what the peer's Config.Side is
// given. What p must be is for the codec to say; see frame.SideSender. Nothing protects it but what the protocol itself
// does. It can be called by Config.Side, and from the beginning of the handshake on. It waits for no room: when there is
// none it returns bio.ErrWantWrite. An error leaves the Conn as it was.
func (c *Conn) WriteSide(p []byte) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	m := c.codec.mach
	if m == nil {
		return errNoSide
	}
	s, ok := m.mach.(frame.SideSender)
	if !ok {
		return errNoSide
	}
	if c.out.full() {
		return bio.ErrWantWrite
	}
	err := m.side(c, s, p)
	c.flush()
	return err
}

var (
	errNoSide   = errors.New("datagram: WriteSide: the codec sends nothing but DTLS (no SendSide)")
	errNotBegun = errors.New("datagram: WriteSide: the handshake has not begun")
)

// Probe sends p as one message although it is longer than MTU: if the peer says, in whatever way, that it has come, the
// path is wider than was thought, and SetMTU may tell so. What the socket itself refuses is a *bio.TooLongError.
// https://www.rfc-editor.org/rfc/rfc8899
func (c *Conn) Probe(p []byte) error {
	err := c.awaitWrite()
	if err != nil || len(p) == 0 {
		return err
	}
	c.writing.Lock()
	defer c.doneWriting()
	return c.writeLocked(p, c.roomIn(maxPayload))
}

// awaitWrite waits until the handshake is done and there is room for a message.
func (c *Conn) awaitWrite() error {
	if c.open.Load() && !c.closed.Load() && c.writer.Load() == nil && !c.busy() {
		return nil
	}
	w := waiterOf(&c.writer)
	c.start()
	for {
		err := c.failure()
		switch {
		case c.closed.Load():
			err = net.ErrClosed
		case w.expired():
			err = os.ErrDeadlineExceeded
		case c.open.Load():
			if err == nil && c.busy() {
				break
			}
			w.poke()   // there may be others
			return nil // what has ended the engine, Seal tells: the peer's close_notify does not
		}
		if err != nil {
			w.poke()
			return err
		}
		w.wait()
	}
}

// Ready reports whether a Write would neither wait nor fail: the handshake is done, and there is room. Over UDP there is
// always room; what the machine itself cannot send yet, it may wait for.
func (c *Conn) Ready() bool { return c.open.Load() && !c.closed.Load() && !c.busy() }

// busy reports whether a Write shall wait.
func (c *Conn) busy() bool { return c.out.full() || c.codec.mach.full() }

// writeLocked sends a message of at most room bytes.
func (c *Conn) writeLocked(p []byte, room int) error {
	s := scratches.Get().(*scratch)
	defer s.release()
	err := c.seal(s, p, room)
	if sent := c.sendFrames(s); err == nil {
		err = c.explain(sent, len(p))
	}
	if err == nil {
		c.wrote(1, len(p))
	}
	return err
}

// seal makes frames of a message of at most room bytes.
func (c *Conn) seal(s *scratch, p []byte, room int) error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case len(p) > room:
		return &bio.TooLongError{Len: len(p), Limit: room}
	}
	lim := c.codec.room
	b := frame.Get(lim.Head, len(p)+int(c.overhead.Load())+lim.Tail)
	out, _, err := c.eng.Seal(b.Tail(), p)
	b.Adopt(out, lim.Tail)
	if err != nil {
		b.Release()
		return fmt.Errorf("datagram: %w", err)
	}
	if err = c.frame(s, b, true); err != nil {
		return fmt.Errorf("datagram: codec: %w", err)
	}
	return nil
}

// wrote counts messages.
func (c *Conn) wrote(messages, bytes int) {
	c.stats.messagesOut.Add(uint64(messages))
	c.stats.plainOut.Add(uint64(bytes))
	c.note(spoke)
}

// explain makes of the refusal to send a message what its sender is told.
func (c *Conn) explain(err error, length int) error {
	if err == errNarrow {
		return &bio.TooLongError{Len: length, Limit: c.MTU()}
	}
	return err
}

// errNarrow says that a datagram was longer than the path allows; c.mtu is what it allows now.
var errNarrow = errors.New("datagram: the path is narrower than was thought")

// sendFrames sends what is in s.frames.
func (c *Conn) sendFrames(s *scratch) error {
	if len(s.frames) == 0 {
		return nil
	}
	var size int
	for _, b := range s.frames {
		size += b.Len()
	}
	c.stats.framesOut.Add(uint64(len(s.frames)))
	c.stats.wireOut.Add(uint64(size))
	err := c.out.send(c, s.frames)
	clear(s.frames)
	s.frames = s.frames[:0]
	return c.judge(err)
}

// judge says what an error of the output means to the Conn.
func (c *Conn) judge(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	c.stats.unsent.Add(1)
	if s := c.shake.Load(); s != nil {
		refusal := err // or each call would allocate
		s.refused.Store(&refusal)
	}
	var big *udp.TooBigError
	if errors.As(err, &big) {
		c.narrow(big)
		return errNarrow
	}
	return nil // a datagram is lost, as others are
}

// flush sends what the engine and the codec have to say. It never waits for a Write that is under way: that sends it,
// too, when it is done.
func (c *Conn) flush() {
	c.waiting.Store(true)
	if c.writing.TryLock() {
		c.doneWriting()
	}
}

// doneWriting gives the writing lock back, after what waits for it is done.
func (c *Conn) doneWriting() {
	for {
		for c.waiting.Load() {
			c.waiting.Store(false)
			c.flushLocked()
		}
		c.writing.Unlock()
		if c.narrowed.Load() && c.narrowed.Swap(false) {
			c.tell(Event{Kind: EventMTU, MTU: c.MTU()})
		}
		if !c.waiting.Load() || !c.writing.TryLock() {
			return
		}
	}
}

// flushLocked sends what the engine and the codec have to say.
func (c *Conn) flushLocked() {
	const room = 1400 // most datagrams of a handshake fit
	s := scratches.Get().(*scratch)
	defer s.release()
	lim := c.codec.room
	for more := true; more; {
		var out []byte
		b := frame.Get(lim.Head, room+lim.Tail)
		out, more = c.eng.Flush(b.Tail(), 0)
		b.Adopt(out, lim.Tail)
		if b.Len() == 0 {
			b.Release()
			break
		}
		if !c.open.Load() {
			c.owner.says(c, b.Bytes())
		}
		if c.frame(s, b, !more) != nil {
			c.stats.unsent.Add(1)
		}
		c.sendFrames(s)
	}
	c.drainLocked(s)
}

// drainLocked sends what the codec has to say.
func (c *Conn) drainLocked(s *scratch) {
	if c.codec.mach != nil {
		c.takeFrames(s)
		c.sendFrames(s)
	}
}
