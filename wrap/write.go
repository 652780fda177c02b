package wrap

import (
	"net"
	"os"

	"github.com/encase-tls/encase/bio"
)

// Write sends p. A write deadline that passes ends it between records: n bytes were taken and will be sent.
func (c *Conn) Write(p []byte) (n int, err error) {
	if err := c.awaitHandshake(c.writeDeadline.done()); err != nil {
		return 0, deadlineError(err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		if err := c.writable(n > 0); err != nil || len(p) == 0 {
			return n, err
		}
		m, err := c.out.seal(c.eng, p)
		n, p = n+m, p[m:]
		c.stats.plainOut.Add(uint64(m))
		if err != nil && c.closing.Load() {
			err = net.ErrClosed
		}
		if err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// Available returns how many bytes there is room for in the write buffer: so many can be written without waiting. It is 0
// before the handshake is done and when nothing can be written any more.
func (c *Conn) Available() int {
	if !c.open.Load() || c.closing.Load() {
		return 0
	}
	return c.out.available()
}

// writable waits until there is room for a record, or a reason why there never will be. Before that, a codec that
// gathers is told not to wait for more, if it was promised more.
func (c *Conn) writable(promised bool) error {
	for {
		switch {
		case c.closing.Load():
			return net.ErrClosed
		case c.writeDeadline.passed():
			if promised {
				c.out.flush()
			}
			return os.ErrDeadlineExceeded
		}
		room, err := c.out.room()
		if room == nil || err != nil {
			return err
		}
		if promised {
			c.out.flush()
			promised = false
			continue
		}
		if c.polls {
			return bio.ErrWantWrite
		}
		select {
		case <-room:
		case <-c.writeDeadline.done():
		case <-c.quit.Done():
		}
	}
}

// Flush tells a codec that gathers what is written that no more follows for now; Write does so at its end. Over
// Callbacks it also sends what is queued, and returns bio.ErrWantWrite if something still is.
func (c *Conn) Flush() error {
	switch {
	case c.closing.Load():
		return net.ErrClosed
	case c.open.Load():
		return c.out.flush()
	case c.polls:
		return c.out.pollNow()
	}
	return nil // nothing was written
}

// CloseWrite sends close_notify: the peer's Read returns io.EOF. Reading goes on; writing is over.
func (c *Conn) CloseWrite() error {
	if err := c.awaitHandshake(nil); err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.closing.Load() {
		return net.ErrClosed
	}
	return c.out.closeWrite(c.eng)
}
