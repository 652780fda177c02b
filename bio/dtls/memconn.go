package dtls

import (
	"net"
	"os"
	"sync"
	"time"
)

const (
	// maxInput is how many bytes may wait for pion to read; more are lost, as in the buffer of a socket.
	maxInput = 64 << 10
	// maxRead is the longest datagram that pion reads.
	maxRead = 8192
)

// A memConn is the network that pion sees: a net.PacketConn in memory. It never blocks a writer. It is the one place
// that decides what of pion's leaves the engine, and after mute nothing does.
type memConn struct {
	local, peer net.Addr
	out         *queue
	notify      func()

	mu       sync.Mutex
	in       [][]byte
	inBytes  int
	lost     uint64
	wake     chan struct{} // a token: in, deadline or closed has changed
	deadline time.Time
	closed   bool
	muted    bool
	sent     trace
	heard    hearing // what was delivered
}

func newMemConn(name string, out *queue, notify func()) *memConn {
	return &memConn{
		local:  memAddr("encase"),
		peer:   memAddr(name),
		out:    out,
		notify: notify,
		wake:   make(chan struct{}, 1),
	}
}

// deliver hands pion a datagram, which must not change any more.
func (c *memConn) deliver(d []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.muted:
		return
	case c.inBytes+len(d) > maxInput:
		c.lost++
		return
	}
	c.heard.listen(d)
	c.in = append(c.in, d)
	c.inBytes += len(d)
	c.changed()
}

// changed wakes the reader.
func (c *memConn) changed() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// mute ends pion's say: when it returns, no byte of pion's can get into the queue any more. What was sent until then is
// returned.
func (c *memConn) mute() trace {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.muted = true
	if !c.sent.serverHello {
		c.sent.heard = c.heard
	}
	return c.sent
}

// saidHello reports whether pion, as a server, has answered a ClientHello with more than a cookie.
func (c *memConn) saidHello() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent.serverHello
}

func (c *memConn) dropped() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// WriteTo implements net.PacketConn. pion calls it in the order in which it seals.
func (c *memConn) WriteTo(p []byte, _ net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.muted || c.closed {
		return len(p), nil
	}
	d := append([]byte(nil), p...)
	c.sent.note(d)
	c.out.push(d)
	c.notify()
	return len(p), nil
}

// ReadFrom implements net.PacketConn. It has one caller at a time.
func (c *memConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		d, wait, err := c.take()
		if d != nil || err != nil {
			return copy(p, d), c.peer, err
		}
		if !wait.IsZero() {
			timer := time.AfterFunc(time.Until(wait), c.changed)
			<-c.wake
			timer.Stop()
		} else {
			<-c.wake
		}
	}
}

// take returns the next datagram, or an error, or neither and the deadline until which to wait.
func (c *memConn) take() (d []byte, wait time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, wait, net.ErrClosed
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return nil, wait, os.ErrDeadlineExceeded
	case len(c.in) == 0:
		return nil, c.deadline, nil
	}
	d, c.in = c.in[0], c.in[1:]
	c.inBytes -= len(d)
	return d, wait, nil
}

// Close implements net.PacketConn.
func (c *memConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.in = true, nil
	c.changed()
	return nil
}

// SetReadDeadline implements net.PacketConn. pion ends a read by a deadline in the past.
func (c *memConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	c.changed()
	return nil
}

// SetDeadline implements net.PacketConn.
func (c *memConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn: a write takes no time.
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr implements net.PacketConn.
func (c *memConn) LocalAddr() net.Addr { return c.local }

// memAddr is the address of an end of a memConn.
type memAddr string

// Network implements net.Addr.
func (memAddr) Network() string { return "memory" }

// String implements net.Addr.
func (a memAddr) String() string { return string(a) }

var _ net.PacketConn = (*memConn)(nil)
