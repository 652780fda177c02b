package check

import (
	"errors"
	"fmt"
	"math"
	"runtime"

	"github.com/encase-tls/encase/frame"
)

func noAllocOfCodec(s *subject) error {
	if raceEnabled {
		return notApplicable("the race detector allocates")
	}
	send, recv := s.codecs()
	d, _ := recv.(frame.Delimiter)
	l := send.Limits()
	n := min(l.Max, 1350)
	full := make([]byte, l.Head+n+l.Tail)
	var b frame.Buf
	round := func() {
		b.Borrow(full, l.Head, l.Head+n)
		if send.Encode(&b) != nil {
			return
		}
		if d != nil {
			d.FrameLen(b.Bytes())
		}
		recv.Decode(&b)
	}
	for range 3 {
		round()
	}
	if k := mallocs(20, round); k > 0 {
		return fmt.Errorf("%d allocations to encode and decode %d bytes", k, n)
	}
	return nil
}

func rejectNoAllocOfCodec(s *subject) error {
	if raceEnabled {
		return notApplicable("the race detector allocates")
	}
	frames, err := s.samples()
	if err != nil {
		return err
	}
	for p := range s.noise(frames, 200) {
		if err := refuseCheaply(s, p); err != nil {
			return err
		}
	}
	return nil
}

// refuseCheaply measures what a new codec allocates when it refuses p, if it does.
func refuseCheaply(s *subject, p []byte) error {
	_, recv := s.codecs()
	full := make([]byte, len(p))
	var b frame.Buf
	err := cheap("Decode", func() error {
		copy(full, p)
		b.Borrow(full, 0, len(full))
		return recv.Decode(&b)
	})
	if d, ok := recv.(frame.Delimiter); ok && err == nil {
		err = cheap("FrameLen", func() error { _, err := d.FrameLen(p); return err })
	}
	return err
}

// cheap reports the allocations of f, which is named name, if it returns an error.
func cheap(name string, f func() error) error {
	var refusal error
	if panics := guard(func() error { refusal = f(); return nil }); panics != nil || refusal == nil {
		return nil
	}
	if k := mallocs(10, func() { f() }); k > 0 {
		return fmt.Errorf("%d allocations when %s says %q; make the error once, for all connections", k, name, refusal)
	}
	return nil
}

func noAllocOfMachine(s *subject) error {
	if raceEnabled {
		return notApplicable("the race detector allocates")
	}
	c, err := s.couple(func(c *couple) { c.count = true })
	if err != nil {
		return err
	}
	payload := records(1350)
	round := func() { err = errors.Join(err, c.converse(s.from, payload)) }
	for range 8 {
		round()
	}
	k := mallocs(20, round)
	if err == nil && k > 0 {
		err = fmt.Errorf("%d allocations to carry %d bytes there and a few back", k, len(payload))
	}
	return err
}

func rejectNoAllocOfMachine(s *subject) error {
	if raceEnabled {
		return notApplicable("the race detector allocates")
	}
	frames, c, err := s.session()
	if err != nil {
		return err
	}
	d, _ := c.ends[s.from.Peer()].Machine.(frame.Delimiter)
	for p := range s.noise(frames, 40) {
		if d != nil {
			err = cheap("FrameLen", func() error { _, err := d.FrameLen(p); return err })
		}
		if err == nil {
			err = s.refusedCheaply(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refusedCheaply measures what new Machines allocate when they refuse p, if they do. A Machine that has refused a frame
// once may do so in another way the second time: each gets p once.
func (s *subject) refusedCheaply(p []byte) error {
	const calls, tries = 2, 5
	var fresh []*end
	for range 1 + calls*tries {
		_, c, err := s.session()
		if err != nil {
			return err
		}
		fresh = append(fresh, c.ends[s.from.Peer()])
	}
	full := make([]byte, len(p))
	var first error
	recv := func() {
		e := fresh[0]
		fresh = fresh[1:]
		copy(full, p)
		e.lent.Borrow(full, 0, len(full))
		e.ev, first = e.Recv(e.ev[:0], &e.lent)
		for _, v := range e.ev {
			if v.Buf != nil {
				v.Buf.Release()
			}
		}
	}
	if panics := guard(func() error { recv(); return nil }); panics != nil || first == nil {
		return nil
	}
	if k := mallocs(calls, recv); k > 0 {
		return fmt.Errorf("%d allocations when Recv says %q; make the error once, for all connections", k, first)
	}
	return nil
}

// mallocs returns how many heap objects a call of f makes, rounded down over the number of calls. Other goroutines may
// allocate meanwhile: the least of several tries counts.
func mallocs(calls int, f func()) int {
	var before, after runtime.MemStats
	least := math.MaxInt
	for range 5 {
		runtime.ReadMemStats(&before)
		for range calls {
			f()
		}
		runtime.ReadMemStats(&after)
		least = min(least, int(after.Mallocs-before.Mallocs)/calls)
		if least == 0 {
			break
		}
	}
	return least
}
