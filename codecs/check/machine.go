package check

import (
	"errors"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

func limitsOfMachine(s *subject) error {
	m := s.machine(s.from)
	first := m.Limits()
	if err := sane(first); err != nil {
		return err
	}
	c, err := s.couple()
	if err != nil {
		return err
	}
	for range 3 {
		if err := c.converse(s.from, short); err != nil {
			return err
		}
		if l := c.ends[s.from].Limits(); l != first {
			return fmt.Errorf("at first %+v, later %+v", first, l)
		}
	}
	return nil
}

func roundTripOfMachine(s *subject) error {
	c, err := s.couple()
	if err != nil {
		return err
	}
	for _, n := range sizes(c.ends[s.from].lim.Max) {
		if n > 0 && n < 6 {
			continue // no whole record
		}
		if err := c.converse(s.from, records(n)); err != nil {
			return err
		}
	}
	return inPieces(s, c)
}

// inPieces sends a flight that is handed over in three parts.
func inPieces(s *subject, c *couple) error {
	e := c.ends[s.from]
	if s.from == frame.Server {
		if err := c.pass(e.peer, short); err != nil {
			return err
		}
	}
	want := e.peer.got + 2*len(short)
	err := errors.Join(c.send(e, short, false), c.send(e, short, false), c.send(e, nil, true))
	if err == nil {
		err = c.await(e.peer, want)
	}
	if err != nil {
		return fmt.Errorf("a flight in three parts: %w", err)
	}
	if e.peer.got != want {
		return fmt.Errorf("a flight in three parts: %d bytes too many arrive", e.peer.got-want)
	}
	return nil
}

func tooLargeForMachine(s *subject) error {
	c, err := s.couple()
	if err != nil {
		return err
	}
	e := c.ends[s.from]
	switch {
	case frame.IsRaw(e.Machine):
		return notApplicable("without frames no payload is too large")
	case e.lim.Max >= maxRefused:
		return notApplicable("a longer payload than Max is too long to try")
	}
	err = c.send(e, make([]byte, e.lim.Max+1), true)
	if err == nil {
		return fmt.Errorf("Send accepts %d bytes with a Max of %d", e.lim.Max+1, e.lim.Max)
	}
	if !errors.Is(err, frame.ErrTooLarge) {
		return fmt.Errorf("the error does not wrap ErrTooLarge: %w", err)
	}
	return nil
}

func retainOfMachine(s *subject) error {
	c, err := s.couple(func(c *couple) { c.poison = true })
	if err != nil {
		return err
	}
	for i := range 8 {
		if err := c.converse(s.from, records(20+30*i)); err != nil {
			return fmt.Errorf("after earlier buffers were overwritten: %w", err)
		}
	}
	return nil
}

func independentMachines(s *subject) error {
	var couples [2]*couple
	for i := range couples {
		var err error
		if couples[i], err = s.couple(); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	for range 8 {
		for _, role := range []frame.Role{frame.Client, frame.Server} {
			if err := inTurns(couples, role); err != nil {
				return fmt.Errorf("two connections in turns: %w", err)
			}
		}
	}
	return atOnce(func(i int) error {
		for range 16 {
			if err := couples[i].converse(s.from, short); err != nil {
				return err
			}
		}
		return nil
	})
}

// inTurns sends on both connections, and receives in the other order.
func inTurns(couples [2]*couple, role frame.Role) error {
	for _, c := range couples {
		if err := c.send(c.ends[role], short, true); err != nil {
			return err
		}
	}
	for i := range couples {
		c := couples[1-i]
		to := c.ends[role.Peer()]
		if err := c.await(to, to.got+len(short)); err != nil {
			return err
		}
	}
	return nil
}

func endOfMachine(s *subject) error {
	c, err := s.couple()
	if err != nil {
		return err
	}
	e := c.ends[s.from]
	if _, ok := e.Machine.(frame.Ender); !ok {
		return notApplicable("the Machine is no Ender")
	}
	if err := c.converse(s.from, short); err != nil {
		return err
	}
	// The end that begins, and then the other, which has had the end of its peer.
	for _, e := range []*end{e, e.peer} {
		if err := c.end(e); err != nil {
			return err
		}
	}
	if !e.peer.done || e.peer.doneErr != nil {
		return fmt.Errorf("after End of its peer the %v reports Done: %t, error: %v",
			e.peer.role, e.peer.done, e.peer.doneErr)
	}
	return nil
}

// end has e say what it has to say at the end, and delivers it.
func (c *couple) end(e *end) error {
	ender, ok := e.Machine.(frame.Ender)
	if !ok {
		return nil
	}
	if err := c.tick(e); err != nil {
		return err
	}
	ev, err := ender.End(e.ev[:0])
	if err := c.handle(e, ev, err); err != nil {
		return fmt.Errorf("End of the %v: %w", e.role, err)
	}
	return c.settle()
}

func clockOfMachine(s *subject) error {
	deaf := false
	c, err := s.couple(func(c *couple) {
		deliver := c.wire
		c.wire = func(p packet) {
			if !deaf {
				deliver(p)
			}
		}
	})
	if err != nil {
		return err
	}
	e := c.ends[s.from]
	if e.timed == nil {
		return notApplicable("the Machine does not act by the clock")
	}
	deaf = true
	if err := c.send(e, short, true); err != nil {
		return err
	}
	for range 50 {
		t, ok := e.timed.Deadline()
		if !ok {
			break
		}
		if t.After(c.now) {
			c.now = t
		}
		if err := c.tick(e); err != nil {
			break // given up
		}
		if next, ok := e.timed.Deadline(); ok && !next.After(c.now) {
			return errors.New("Tick at the Deadline leaves a Deadline that is not later: a busy loop")
		}
	}
	return nil
}
