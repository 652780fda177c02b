package datagram

import (
	"io"
	"net"
	"os"
)

// Read returns one message. If p is too short for it, Read fills p and returns io.ErrShortBuffer, and the rest is lost;
// the Conn goes on. After the peer's close_notify it returns io.EOF; what came before is returned before.
func (c *Conn) Read(p []byte) (n int, err error) {
	if _, err = c.readSome(func(q *queue) int { n, _ = q.pop(p); return 1 }); err != nil {
		return 0, err
	}
	return fits(n, p)
}

// fits returns what Read does for a message of n bytes.
func fits(n int, p []byte) (int, error) {
	if n > len(p) {
		return len(p), io.ErrShortBuffer
	}
	return n, nil
}

// ReadBatch waits for a message and returns as many as are there and have room: the first goes to messages[0], up to its
// capacity, whose length is set, and so on. n messages are returned; io.ErrShortBuffer says that the last of them was
// too long for its slice.
func (c *Conn) ReadBatch(messages [][]byte) (n int, err error) {
	if len(messages) == 0 {
		return 0, nil
	}
	var short error
	n, err = c.readSome(func(q *queue) (n int) {
		for n < len(messages) && short == nil && !q.empty() {
			m := messages[n][:cap(messages[n])]
			var size int
			size, _ = q.pop(m)
			size, short = fits(size, m)
			messages[n] = m[:size]
			n++
		}
		return n
	})
	if err == nil {
		err = short
	}
	return n, err
}

// WaitRead waits until there is a message, or an error that Read would return, and takes nothing: who has many Conns
// need not have a buffer for each that is silent.
func (c *Conn) WaitRead() error {
	_, err := c.readSome(func(*queue) int { return 1 })
	return err
}

// readSome waits until there are messages and lets take have the queue, which is locked and not empty.
func (c *Conn) readSome(take func(q *queue) int) (n int, err error) {
	if n, err = c.tryRead(take); n > 0 || err != nil {
		return n, err
	}
	w := waiterOf(&c.reader)
	c.start()
	for {
		if n, err = c.tryRead(take); n > 0 || err != nil {
			return n, err
		}
		w.wait()
	}
}

// tryRead returns 0, nil if a Read has to wait. Others that wait are woken if there is something for them, too.
func (c *Conn) tryRead(take func(q *queue) int) (n int, err error) {
	w := c.reader.Load()
	expired := w.expired()
	c.mu.Lock()
	switch {
	case c.closed.Load():
		err = orElse(c.err, net.ErrClosed)
	case expired:
		err = os.ErrDeadlineExceeded
	case !c.queue.empty():
		n = take(&c.queue)
	default:
		err = c.err
	}
	more := err != nil || n > 0 && (!c.queue.empty() || c.err != nil)
	c.mu.Unlock()
	if more {
		w.poke()
	}
	if n > 0 {
		c.out.taken()
	}
	return n, err
}
