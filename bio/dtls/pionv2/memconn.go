package pionv2

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"
)

// maxInput is how many bytes may wait for pion; more are lost, as in the buffer of a socket.
const maxInput = 64 << 10

// A memConn is the network that pion sees. It decides what of pion's leaves the engine; after mute nothing does.
type memConn struct {
	send func(d []byte)

	mu       sync.Mutex
	in       [][]byte
	inBytes  int
	wake     chan struct{} // a token: in, deadline or closed has changed
	deadline time.Time
	closed   bool
	muted    bool
	sent     trace
}

// A trace is what the datagrams that pion has sent say about its handshake.
type trace struct {
	next  uint64   // epoch‖sequence behind the highest that was used in epoch 1
	last  [][]byte // the newest datagrams from the one with ChangeCipherSpec on
	alert []byte   // the newest unprotected alert
}

func (t *trace) note(d []byte) {
	ends := false
	for p := d; ; {
		r, rest := cut(p)
		if r == nil {
			break
		}
		if p = rest; r.epoch() == 1 {
			t.next = max(t.next, r.number()+1)
		}
		if r.typ() == typeAlert && len(r.body()) == 2 {
			t.alert = r.body()
		}
		ends = ends || r.typ() == typeCCS
	}
	if ends {
		t.last = nil
	}
	if ends || t.last != nil {
		t.last = append(t.last, d)
	}
}

// deliver hands pion a datagram, which must not change any more.
func (c *memConn) deliver(d []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.muted || len(d) == 0 || c.inBytes+len(d) > maxInput {
		return
	}
	c.in = append(c.in, d)
	c.inBytes += len(d)
	c.changed()
}

// mute ends pion's say and returns what it has said.
func (c *memConn) mute() trace {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.muted = true
	return c.sent
}

// changed wakes the reader.
func (c *memConn) changed() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Write implements net.Conn. It never waits.
func (c *memConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.muted && !c.closed {
		d := bytes.Clone(p)
		c.sent.note(d)
		c.send(d)
	}
	return len(p), nil
}

// Read implements net.Conn. It has one caller at a time.
func (c *memConn) Read(p []byte) (int, error) {
	for {
		d, err := c.take()
		if d != nil || err != nil {
			return copy(p, d), err
		}
		<-c.wake
	}
}

// take returns the next datagram, or an error, or neither. Of deadlines it knows those in the past, with which pion
// ends a read.
func (c *memConn) take() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, net.ErrClosed
	case !c.deadline.IsZero():
		return nil, os.ErrDeadlineExceeded
	case len(c.in) == 0:
		return nil, nil
	}
	d := c.in[0]
	c.in = c.in[1:]
	c.inBytes -= len(d)
	return d, nil
}

// Close implements net.Conn.
func (c *memConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.in = true, nil
	c.changed()
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *memConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	c.changed()
	return nil
}

// SetDeadline implements net.Conn.
func (c *memConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn: a write takes no time.
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr implements net.Conn.
func (c *memConn) LocalAddr() net.Addr { return memAddr{} }

// RemoteAddr implements net.Conn.
func (c *memConn) RemoteAddr() net.Addr { return memAddr{} }

// memAddr is the address of both ends. pion would need different ones to keep sessions apart, which it has none of.
type memAddr struct{}

// Network implements net.Addr.
func (memAddr) Network() string { return "memory" }

// String implements net.Addr.
func (memAddr) String() string { return "peer" }

var _ net.Conn = (*memConn)(nil)
