package check

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/encase-tls/encase/frame"
)

var (
	errQuiet   = errors.New("data does not arrive: nothing is under way, and no Machine has a Deadline")
	errEndless = fmt.Errorf("data has not arrived after %d frames", maxSteps)
)

const maxSteps = 20000

// settle delivers packets until none is under way. The clock stands still.
func (c *couple) settle() error {
	for range maxSteps {
		if len(c.queue) == 0 {
			return nil
		}
		if err := c.deliver(); err != nil {
			return err
		}
	}
	return errEndless
}

// await delivers packets, and moves the clock when none is under way, until e has got n bytes in all.
func (c *couple) await(e *end, n int) error {
	for range maxSteps {
		if e.got >= n {
			return c.settle()
		}
		if err := c.step(); err != nil {
			return err
		}
	}
	return errEndless
}

// step delivers one packet, or moves the clock to the next Deadline.
func (c *couple) step() error {
	if len(c.queue) > 0 {
		return c.deliver()
	}
	var next *end
	var at time.Time
	for _, e := range c.ends {
		if e.timed == nil {
			continue
		}
		if t, ok := e.timed.Deadline(); ok && (next == nil || t.Before(at)) {
			next, at = e, t
		}
	}
	if next == nil {
		return errQuiet
	}
	if at.After(c.now) {
		c.now = at
	}
	return c.tick(next)
}

// pass sends payload from e to its peer and reports when it does not arrive as it was.
func (c *couple) pass(e *end, payload []byte) error {
	had := len(e.peer.delivered)
	want := e.peer.got + len(payload)
	if err := c.send(e, payload, true); err != nil {
		return err
	}
	if err := c.await(e.peer, want); err != nil {
		return fmt.Errorf("payload of %d bytes: %w", len(payload), err)
	}
	if c.count {
		return nil
	}
	if got := bytes.Join(e.peer.delivered[had:], nil); !bytes.Equal(got, payload) {
		return fmt.Errorf("payload of %d bytes arrives as %d others", len(payload), len(got))
	}
	return nil
}

// converse has from send payload, and the other end a short one: the client first, as in TLS.
func (c *couple) converse(from frame.Role, payload []byte) error {
	payloads := [2][]byte{short, short}
	payloads[from] = payload
	for role, e := range c.ends {
		if err := c.pass(e, payloads[role][:min(len(payloads[role]), e.lim.Max)]); err != nil {
			return err
		}
	}
	return nil
}

// short is a small TLS record.
var short = records(24)

// records returns TLS records of n bytes together, 6 at least: a Machine may want to see where records begin.
func records(n int) []byte {
	var p []byte
	for n -= len(p); n >= 6; {
		size := min(n, 5+1<<14)
		if rest := n - size; rest > 0 && rest < 6 {
			size -= 6
		}
		p = append(p, 23, 3, 3, byte((size-5)>>8), byte(size-5))
		for i := range size - 5 {
			p = append(p, byte(i*7+i>>8))
		}
		n -= size
	}
	return p
}
