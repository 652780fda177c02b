package check

import (
	"bytes"
	"fmt"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A couple is a client and a server Machine joined by a link, with a clock that only the couple sets. In steady
// state it allocates nothing of its own, so that what the Machines allocate can be measured.
type couple struct {
	ends  [2]*end // by role
	now   time.Time
	queue []packet // under way, oldest first
	taken packet   // off the queue, being delivered
	spare [][]byte // arrays for packets

	count  bool                  // only count what is delivered, and take payloads from the pools
	poison bool                  // overwrite buffers after their last use
	wire   func(p packet)        // puts a frame that was sent into the queue, or does not
	arrive func(p *packet) error // looks at a frame before it is delivered, and may change it
}

// A packet is a frame under way or, after SwitchRaw, TLS bytes.
type packet struct {
	to  *end
	p   []byte
	raw bool
}

// An end is one Machine of a couple.
type end struct {
	frame.Machine
	role  frame.Role
	timed frame.Timed // nil: not by the clock
	lim   frame.Limits
	peer  *end

	delivered [][]byte // what In held, unless only counted
	got       int      // bytes of all In
	raw       bool     // SwitchRaw has come
	done      bool     // Done has come
	doneErr   error    // and what it said
	lent      frame.Buf
	last      []byte // what Recv had last
	ev        []frame.Event
}

// A refusal is an error of a Machine's Recv.
type refusal struct {
	by  *end
	err error
}

func (r *refusal) Error() string { return fmt.Sprintf("Recv of the %v: %v", r.by.role, r.err) }
func (r *refusal) Unwrap() error { return r.err }

// couple makes a client and a server, holds their dialogue if they have one, starts both and delivers what results.
func (s *subject) couple(options ...func(*couple)) (*couple, error) {
	c := &couple{now: time.Unix(1e9, 0)}
	c.wire = func(p packet) { c.queue = append(c.queue, p) }
	for _, o := range options {
		o(c)
	}
	for _, role := range []frame.Role{frame.Client, frame.Server} {
		m := s.machine(role)
		c.ends[role] = &end{Machine: m, role: role, lim: m.Limits()}
		c.ends[role].timed, _ = m.(frame.Timed)
	}
	c.ends[0].peer, c.ends[1].peer = c.ends[1], c.ends[0]
	if err := meet(c.ends[0].Machine, c.ends[1].Machine); err != nil {
		return nil, err
	}
	for _, e := range c.ends {
		if err := c.tick(e); err != nil {
			return nil, err
		}
		ev, err := e.Start(e.ev[:0])
		if err := c.handle(e, ev, err); err != nil {
			return nil, fmt.Errorf("Start of the %v: %w", e.role, err)
		}
	}
	return c, c.settle()
}

// tick tells e the time.
func (c *couple) tick(e *end) error {
	if e.timed == nil {
		return nil
	}
	ev, err := e.timed.Tick(e.ev[:0], c.now)
	if err := c.handle(e, ev, err); err != nil {
		return fmt.Errorf("Tick of the %v: %w", e.role, err)
	}
	return nil
}

// send hands e a payload in exactly the room that its Limits ask for. A nil payload is no Buf.
func (c *couple) send(e *end, payload []byte, flush bool) error {
	if e.raw {
		c.queue = append(c.queue, packet{e.peer, append(c.array(), payload...), true})
		return nil
	}
	if err := c.tick(e); err != nil {
		return err
	}
	var b *frame.Buf
	switch {
	case payload == nil:
	case c.count:
		b = frame.Get(e.lim.Head, len(payload)+e.lim.Tail)
		copy(b.Append(len(payload)), payload)
	default:
		b = frame.NewBuf(e.lim.Head, payload, e.lim.Tail)
	}
	ev, err := e.Send(e.ev[:0], b, flush)
	if err := c.handle(e, ev, err); err != nil {
		return fmt.Errorf("Send of the %v, %d bytes: %w", e.role, len(payload), err)
	}
	return nil
}

// deliver gives the oldest packet to its receiver.
func (c *couple) deliver() error {
	p := &c.taken
	*p = c.queue[0]
	c.queue = append(c.queue[:0], c.queue[1:]...)
	if p.raw {
		if !p.to.raw {
			return fmt.Errorf("the %v has not ended its framing when its peer has", p.to.role)
		}
		c.in(p.to, p.p)
		c.spare = append(c.spare, p.p)
		return nil
	}
	if c.arrive != nil {
		if err := c.arrive(p); err != nil {
			return err
		}
	}
	return c.recv(p.to, p.p)
}

// recv gives e the frame p, which the couple owns from now on.
func (c *couple) recv(e *end, p []byte) error {
	if err := c.tick(e); err != nil {
		return err
	}
	if c.poison {
		overwrite(e.last)
	}
	if e.last != nil {
		c.spare = append(c.spare, e.last)
	}
	e.last = p
	e.lent.Borrow(p, 0, len(p))
	ev, err := e.Recv(e.ev[:0], &e.lent)
	if err != nil {
		err = &refusal{e, err}
	}
	return c.handle(e, ev, err)
}

// handle does what e wants done. err is what e said with it, and is returned before other errors.
func (c *couple) handle(e *end, ev []frame.Event, err error) error {
	e.ev = ev
	for _, v := range ev {
		if wrong := c.handleOne(e, v); err == nil {
			err = wrong
		}
	}
	return err
}

func (c *couple) handleOne(e *end, v frame.Event) error {
	switch v.Kind {
	case frame.Out, frame.In, frame.Side:
		if v.Buf == nil {
			return fmt.Errorf("an event %v of the %v has no Buf", v.Kind, e.role)
		}
		defer v.Buf.Release()
	case frame.SwitchRaw:
		e.raw = true
	case frame.Done:
		e.done, e.doneErr = true, v.Err
	default:
		return fmt.Errorf("unknown event %d of the %v", v.Kind, e.role)
	}
	switch v.Kind {
	case frame.Out:
		c.wire(packet{to: e.peer, p: append(c.array(), v.Buf.Bytes()...)})
		if c.poison {
			overwrite(v.Buf.Bytes())
		}
	case frame.In:
		c.in(e, v.Buf.Bytes())
	}
	return nil
}

// in notes TLS bytes that e has received.
func (c *couple) in(e *end, p []byte) {
	e.got += len(p)
	if !c.count {
		e.delivered = append(e.delivered, bytes.Clone(p))
	}
}

// array returns an empty slice to append to.
func (c *couple) array() []byte {
	n := len(c.spare)
	if n == 0 {
		return make([]byte, 0, 2048)
	}
	p := c.spare[n-1]
	c.spare = c.spare[:n-1]
	return p[:0]
}
