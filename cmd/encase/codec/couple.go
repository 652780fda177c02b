package codec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A couple is a client and a server in memory, joined by a queue of frames.
type couple struct {
	ends  [2]frame.Machine
	timed [2]frame.Timed // nil: not by the clock
	queue []transfer
	next  int // in queue
	ev    []frame.Event
	lent  frame.Buf
	got   int // bytes of TLS that have arrived
	sent  int // bytes of frames
	now   time.Time
}

// A transfer is a frame on its way, or TLS bytes behind the last frame.
type transfer struct {
	to  frame.Role
	buf *frame.Buf
}

// meeting is how long two ends in memory may take to come to terms.
const meeting = 5 * time.Second

// newCouple makes both ends, and has them hold their dialogue and start.
func (d *description) newCouple() (*couple, error) {
	c := &couple{now: time.Now()}
	for role := range c.ends {
		m, err := d.maker(frame.Role(role))
		if err != nil {
			return nil, err
		}
		c.ends[role] = m
		c.timed[role], _ = m.(frame.Timed)
	}
	if err := c.meet(); err != nil {
		return nil, fmt.Errorf("the dialogue before the frames: %w", err)
	}
	for role, m := range c.ends {
		ev, err := m.Start(c.ev[:0])
		if err := c.handle(frame.Role(role), ev, err); err != nil {
			return nil, err
		}
	}
	return c, c.settle()
}

// peeker is one end of a pipe as a dialogue needs it.
type peeker struct {
	*bufio.Reader
	net.Conn
}

func (p peeker) Read(b []byte) (int, error) { return p.Reader.Read(b) }

// meet holds the dialogue if both ends have one.
func (c *couple) meet() error {
	client, ok := c.ends[frame.Client].(frame.Preamble)
	server, both := c.ends[frame.Server].(frame.Preamble)
	if !ok || !both {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), meeting)
	defer cancel()
	near, far := net.Pipe()
	stop := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer stop()
	served := make(chan error, 1)
	go func() { served <- server.Exchange(ctx, peeker{bufio.NewReader(far), far}, frame.Server) }()
	err := client.Exchange(ctx, peeker{bufio.NewReader(near), near}, frame.Client)
	if err != nil {
		near.Close()
	}
	return errors.Join(err, <-served)
}

// handle takes what an end wants done.
func (c *couple) handle(role frame.Role, ev []frame.Event, err error) error {
	c.ev = ev
	for _, e := range ev {
		switch e.Kind {
		case frame.Out:
			c.sent += e.Buf.Len()
			c.queue = append(c.queue, transfer{role.Peer(), e.Buf})
			continue
		case frame.In:
			c.got += e.Buf.Len()
		}
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
	return err
}

func (c *couple) tick(role frame.Role) error {
	if c.timed[role] == nil {
		return nil
	}
	ev, err := c.timed[role].Tick(c.ev[:0], c.now)
	return c.handle(role, ev, err)
}

// fill returns a Buf with payload for the client to send.
func (c *couple) fill(payload []byte) *frame.Buf {
	l := c.ends[frame.Client].Limits()
	b := frame.Get(l.Head, len(payload)+l.Tail)
	copy(b.Append(len(payload)), payload)
	return b
}

// send has the client send b.
func (c *couple) send(b *frame.Buf) error {
	if err := c.tick(frame.Client); err != nil {
		return err
	}
	ev, err := c.ends[frame.Client].Send(c.ev[:0], b, true)
	return c.handle(frame.Client, ev, err)
}

// settle delivers frames until there are none.
func (c *couple) settle() error {
	for ; c.next < len(c.queue); c.next++ {
		t := c.queue[c.next]
		if err := c.tick(t.to); err != nil {
			return err
		}
		p := t.buf.Bytes()
		c.lent.Borrow(p, 0, len(p))
		ev, err := c.ends[t.to].Recv(c.ev[:0], &c.lent)
		err = c.handle(t.to, ev, err)
		t.buf.Release()
		if err != nil {
			return err
		}
	}
	c.queue, c.next = c.queue[:0], 0
	return nil
}

var errQuiet = errors.New("the payload does not arrive; such a protocol cannot be measured without its peer")

// arrive delivers frames, and moves the clock when there are none, until n bytes have arrived in all.
func (c *couple) arrive(n int) error {
	for range 10000 {
		if err := c.settle(); err != nil || c.got >= n {
			return err
		}
		if !c.wait() {
			return errQuiet
		}
		for _, role := range [...]frame.Role{frame.Client, frame.Server} {
			if err := c.tick(role); err != nil {
				return err
			}
		}
	}
	return errQuiet
}

// wait moves the clock to the next deadline, and reports whether there is one.
func (c *couple) wait() bool {
	var at time.Time
	for _, t := range c.timed {
		if t == nil {
			continue
		}
		if next, ok := t.Deadline(); ok && (at.IsZero() || next.Before(at)) {
			at = next
		}
	}
	if at.After(c.now) {
		c.now = at
	}
	return !at.IsZero()
}

// measureCouple measures what it costs to get a payload of n bytes from one Machine to another.
func (d *description) measureCouple(n int, span time.Duration) ([]cost, error) {
	c, err := d.newCouple()
	if err != nil {
		return nil, err
	}
	payload := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(payload)
	var encode, decode measurement
	var before, middle, after runtime.MemStats
	rounds, began := 0, time.Now()
	for ; time.Since(began) < 2*span; rounds++ {
		b := c.fill(payload)
		runtime.ReadMemStats(&before)
		start := time.Now()
		if err := c.send(b); err != nil {
			return nil, err
		}
		sent := time.Now()
		runtime.ReadMemStats(&middle)
		resumed := time.Now()
		if err := c.arrive((rounds + 1) * n); err != nil {
			return nil, err
		}
		took := time.Since(resumed)
		runtime.ReadMemStats(&after)
		encode.ns += float64(sent.Sub(start))
		decode.ns += float64(took)
		encode.allocs += float64(middle.Mallocs - before.Mallocs)
		decode.allocs += float64(after.Mallocs - middle.Mallocs)
	}
	each := func(m measurement) measurement {
		return measurement{m.ns / float64(rounds), m.allocs / float64(rounds)}
	}
	return []cost{
		d.cost("encode", n, c.sent/rounds, each(encode)), d.cost("decode", n, c.sent/rounds, each(decode)),
	}, nil
}
