package datagram

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// deliver gives c datagrams that were received: data holds one, or if segment is positive many of that length side by
// side, of which the last may be shorter. It is opened in place and not kept. from is where it came from. What c answers
// has been sent, or will be by a Write that is under way, when deliver returns.
func (c *Conn) deliver(data []byte, segment int, from endpoint) {
	if c.closed.Load() || c.failed() {
		return
	}
	c.opening.Lock()
	defer c.opening.Unlock()
	c.start()
	s := scratches.Get().(*scratch)
	defer s.release()
	if segment <= 0 {
		segment = max(len(data), 1)
	}
	c.stats.framesIn.Add(uint64((len(data) + segment - 1) / segment))
	c.stats.wireIn.Add(uint64(len(data)))
	if c.codec.raw() && c.batch != nil && c.cfg.Trace == nil {
		var st bio.Status
		var err error
		s.list, st, err = c.batch.OpenBatch(s.list[:0], data, segment)
		c.opened(s, st, err, from)
		c.serve(s)
		return
	}
	for len(data) > 0 {
		n := min(segment, len(data))
		c.unframe(s, data[:n:n], from)
		data = data[n:]
	}
	c.serve(s)
}

// early delivers what came before the handshake was done.
func (c *Conn) early() {
	c.opening.Lock()
	defer c.opening.Unlock()
	s := scratches.Get().(*scratch)
	defer s.release()
	c.openRecords(s, nil, endpoint{})
	c.serve(s)
}

// failed reports whether nothing that comes can mean anything. After the peer's close_notify something may: it may have
// lost ours.
func (c *Conn) failed() bool {
	err := c.failure()
	return err != nil && err != io.EOF
}

// unframe takes one frame apart.
func (c *Conn) unframe(s *scratch, d []byte, from endpoint) {
	s.view.Borrow(d, 0, len(d))
	if c.codec.mach != nil {
		c.unframeMachine(s, from)
		return
	}
	var framed []byte
	if c.cfg.Trace != nil {
		framed = append(framed, d...) // the codec takes it apart in place
	}
	if c.codec.recv != nil {
		if err := c.codec.recv.Decode(&s.view); err != nil {
			c.refuse(err)
			return
		}
	}
	if c.cfg.Trace != nil {
		c.cfg.Trace(wrap.Trace{Frame: framed, TLS: s.view.Bytes()})
	}
	if s.view.Len() > 0 {
		c.openRecords(s, s.view.Bytes(), from)
	}
}

func (c *Conn) unframeMachine(s *scratch, from endpoint) {
	if c.cfg.Trace != nil {
		c.cfg.Trace(wrap.Trace{Frame: s.view.Bytes()})
	}
	ev, err := c.codec.mach.recv(c, &s.view)
	c.flush()
	for _, e := range ev {
		switch e.Kind {
		case frame.In:
			c.openRecords(s, e.Buf.Bytes(), from)
		case frame.Side:
			if c.cfg.Side != nil {
				c.cfg.Side(c, e.Buf.Bytes())
			}
		case frame.SwitchRaw:
			err = errRaw
		case frame.Done:
			c.carrierEnded(orElse(e.Err, io.EOF))
		}
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
	if err == nil {
		err = c.codec.mach.failure()
	}
	if err != nil {
		c.refuse(err)
	}
	c.writer.Load().poke() // it may hold back less now
}

// refuse takes in that a frame was refused. That ends a stream, of which nobody knows where it goes on; a datagram,
// which anybody may have sent, is dropped.
func (c *Conn) refuse(err error) {
	malformed := errors.Is(err, frame.ErrMalformed)
	if malformed {
		c.stats.malformed.Add(1)
	}
	if c.codec.stream || !malformed {
		c.fail(fmt.Errorf("datagram: from %v: %w", c.RemoteAddr(), err))
	}
}

// openRecords gives the engine the records of one datagram.
func (c *Conn) openRecords(s *scratch, records []byte, from endpoint) {
	var st bio.Status
	var err error
	if c.batch != nil {
		s.list, st, err = c.batch.OpenBatch(s.list[:0], records, 0)
	} else {
		s.plain, st, err = c.eng.Open(s.plain[:0], records)
		if s.list = s.list[:0]; len(s.plain) > 0 {
			s.list = append(s.list, s.plain)
		}
	}
	c.opened(s, st, err, from)
}

// opened deals with what the engine has made of datagrams.
func (c *Conn) opened(s *scratch, st bio.Status, err error, from endpoint) {
	if c.shake.Load() != nil && c.eng.State().Phase == bio.PhaseOpen {
		c.shaken(nil) // before anybody hears of a message
	}
	if st.Events.Has(bio.EventNewest) {
		c.heardFrom(from) // before a Handler answers
	}
	if len(s.list) > 0 {
		c.take(s)
	}
	if len(s.list) > 0 || st.Events != 0 {
		c.note(heard)
	}
	c.status(st)
	if err != nil {
		c.fail(fmt.Errorf("datagram: %w", err))
	}
}

// take hands messages to whoever wants them.
func (c *Conn) take(s *scratch) {
	var count, size int
	for _, m := range s.list {
		if len(m) > 0 {
			count++
			size += len(m)
		}
	}
	c.stats.messagesIn.Add(uint64(count))
	c.stats.plainIn.Add(uint64(size))
	if empty := len(s.list) - count; empty > 0 {
		c.stats.empty.Add(uint64(empty))
	}
	switch {
	case c.cfg.Handler != nil:
		c.handle(s.list)
	case c.served != nil:
		c.gatherServed(s)
	default:
		c.keep(s.list)
	}
}

func (c *Conn) handle(messages [][]byte) {
	for _, m := range messages {
		if len(m) > 0 && !c.closed.Load() {
			c.cfg.Handler(c, m)
		}
	}
}

// keep queues messages for Read.
func (c *Conn) keep(messages [][]byte) {
	c.mu.Lock()
	limit, kept := c.cfg.queue(), false
	if c.codec.stream {
		limit = math.MaxInt // receiving waits before it is too much
	}
	for _, m := range messages {
		switch {
		case len(m) == 0 || c.closed.Load():
		case c.queue.push(m, limit):
			kept = true
		default:
			c.stats.dropped.Add(1)
		}
	}
	c.mu.Unlock()
	if kept {
		c.reader.Load().poke()
	}
}

// status deals with what the engine says besides messages.
func (c *Conn) status(st bio.Status) {
	if st.Out > 0 {
		c.flush()
	}
	if st.Events == 0 {
		return
	}
	if st.Events.Has(bio.EventRekey) {
		c.tell(Event{Kind: EventRekey})
	}
	if st.Events.Has(bio.EventPeerClosed) {
		c.finish(io.EOF)
		if c.cfg.Handler != nil {
			c.shut(io.EOF)
		}
	}
}

// heardFrom takes in that the peer has sent its newest record from an address.
func (c *Conn) heardFrom(from endpoint) {
	old := c.to.Load()
	if old == nil || old.addr == from.addr || !from.addr.IsValid() {
		return
	}
	to := from // or each call would allocate
	c.to.Store(&to)
	c.owner.moved(c, *old, from)
	c.tell(Event{Kind: EventMoved, From: old.addr, To: from.addr})
}

// fail ends the connection with an error. Close is left to call.
func (c *Conn) fail(err error) {
	c.finish(err)
	if c.cfg.Handler != nil && c.open.Load() {
		c.shut(err)
	}
}

// carrierEnded takes in that nothing more will be received, for a reason; io.EOF is none. Whether that is an end in good
// order DTLS knows.
func (c *Conn) carrierEnded(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if err = c.eng.TransportEOF(); err == nil {
			err = io.EOF
		}
	}
	if err != io.EOF {
		err = fmt.Errorf("datagram: carrier: %w", err)
	}
	c.fail(err)
}
