package datagram

import (
	"errors"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// Serve hands the messages to handle instead of leaving them for Read: first those that wait, then those of each
// datagram, or of several that were received at once, in the order in which they came. It saves a copy of each message
// and the switch to another goroutine: handle is called by whoever receives, one call at a time, and must not wait. The
// messages are valid during the call, and may be changed.
//
// Serve returns what Read would return at the end, or handle's error, which ends the Conn for whoever uses it: Close is
// left to call. handle is not called any more then. Serve is for a Conn without Config.Handler, and called once at a
// time.
func (c *Conn) Serve(handle func(messages [][]byte) error) error {
	if c.cfg.Handler != nil {
		return errServe
	}
	c.opening.Lock()
	if err := c.serveWaiting(handle); err != nil {
		c.opening.Unlock()
		c.fail(err)
		return err
	}
	c.served = handle
	c.opening.Unlock()
	err := c.WaitRead()
	c.opening.Lock()
	c.served = nil
	c.opening.Unlock()
	return err
}

var errServe = errors.New("datagram: Serve: Config.Handler takes the messages already")

// serveWaiting hands over the messages that wait for Read.
func (c *Conn) serveWaiting(handle func(messages [][]byte) error) error {
	b := frame.Get(0, bio.MaxPlaintext)
	defer b.Release()
	room := b.Append(bio.MaxPlaintext)
	for {
		c.mu.Lock()
		n, ok := c.queue.pop(room)
		c.mu.Unlock()
		if !ok {
			c.out.taken()
			return nil
		}
		if err := handle([][]byte{room[:n:n]}); err != nil {
			return err
		}
	}
}

// gatherServed keeps messages for serve. They lie in what was received, but if the engine or the codec has them in
// memory that it uses again.
func (c *Conn) gatherServed(s *scratch) {
	for _, m := range s.list {
		if len(m) > 0 {
			s.serve = append(s.serve, m)
		}
	}
	if c.batch == nil || c.codec.mach != nil {
		c.serve(s)
	}
}

// serve hands over what was gathered. It is called with opening locked.
func (c *Conn) serve(s *scratch) {
	if len(s.serve) == 0 || c.served == nil {
		return
	}
	if !c.closed.Load() && !c.failed() {
		if err := c.served(s.serve); err != nil {
			c.fail(err)
		}
	}
	clear(s.serve)
	s.serve = s.serve[:0]
}
