package carrier

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/encase-tls/encase/wrap/udp"
)

// A Conn sends and receives frames by a [Device]. It is a net.PacketConn, and a net.Conn if it has a peer, as from
// Device.Dial. All methods may be called at any time by any goroutine.
type Conn struct {
	d       *Device
	local   netip.Addr
	peer    netip.Addr // zero: everybody
	queue   *queue
	touched bool // something was pushed that nobody was woken for; of the goroutine that receives

	until atomic.Pointer[time.Time] // write deadline; nil: none
	last  atomic.Pointer[net.Addr]  // an Addr, of ReadFrom: who has sent most often sends again
}

var (
	_ net.PacketConn = (*Conn)(nil)
	_ net.Conn       = (*Conn)(nil)
)

// A TooBigError says that a frame is longer than the path to its peer carries. It was not sent.
type TooBigError struct {
	Peer netip.Addr
	Size int // of the frame, in bytes
	MTU  int // longest packet that the path carries: that of the device, or what a router has said
}

// Error implements error.
func (e *TooBigError) Error() string {
	return fmt.Sprintf("carrier: a frame of %d bytes is too long for the path to %v, which carries %d", e.Size, e.Peer,
		e.MaxFrame())
}

// MaxFrame returns how many bytes would not be too many.
func (e *TooBigError) MaxFrame() int { return e.MTU - headerLen(e.Peer) }

// Unwrap returns syscall.EMSGSIZE.
func (e *TooBigError) Unwrap() error { return syscall.EMSGSIZE }

// As makes of e, for errors.As, the error that sockets have for this, so that a datagram.Conn learns its MTU. Sockets
// count a header of UDP, which there is none of here.
func (e *TooBigError) As(target any) bool {
	const udpHeader = 8
	t, ok := target.(**udp.TooBigError)
	if ok {
		*t = &udp.TooBigError{Addr: netip.AddrPortFrom(e.Peer, 0), Size: e.Size, MTU: e.MTU + udpHeader, Err: e}
	}
	return ok
}

// ReadFrom waits for a frame, copies it to p and returns its length, and the peer as an Addr. What p has no room for is
// lost. After Close the error wraps net.ErrClosed, after the deadline it is os.ErrDeadlineExceeded.
func (c *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.queue.pop(p)
	if err != nil {
		return 0, nil, err
	}
	last := c.last.Load()
	if last == nil || *last != net.Addr(Addr{from}) {
		last = new(net.Addr)
		*last = Addr{from}
		c.last.Store(last)
	}
	return n, *last, nil
}

// Read is ReadFrom for a Conn that has a peer.
func (c *Conn) Read(p []byte) (int, error) {
	n, _, err := c.queue.pop(p)
	return n, err
}

// WriteTo sends p as one frame. addr is an Addr, a *net.IPAddr or a *net.UDPAddr, whose port is passed over; a Conn
// that has a peer sends to it alone. A frame that is too long is refused with a *TooBigError. An error that wraps
// syscall.ENETDOWN says that the interface is down. That a frame was sent does not mean that it arrives.
func (c *Conn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to := addrOf(addr)
	switch {
	case c.peer.IsValid() && to != c.peer:
		return 0, fmt.Errorf("carrier: %v is not the peer of this Conn, which is %v", addr, c.peer)
	case !isHost(to) || to.Is4() != c.local.Is4():
		return 0, fmt.Errorf("carrier: %v cannot be sent to from %v", addr, c.local)
	}
	return c.write(p, to)
}

// Write is WriteTo for a Conn that has a peer.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.peer.IsValid() {
		return 0, errNoPeer
	}
	return c.write(p, c.peer)
}

var errNoPeer = errors.New("carrier: the Conn has no peer: use WriteTo, or Device.Dial")

func (c *Conn) write(p []byte, to netip.Addr) (int, error) {
	if until := c.until.Load(); until != nil && !time.Now().Before(*until) {
		return 0, os.ErrDeadlineExceeded
	}
	if err := c.d.send(c, p, to); err != nil {
		return 0, err
	}
	return len(p), nil
}

// MTU returns how long a frame may be for any peer, in bytes; the path to one may carry less.
func (c *Conn) MTU() int { return c.d.mtu - headerLen(c.local) }

// LocalAddr returns the address of this end, an Addr.
func (c *Conn) LocalAddr() net.Addr { return Addr{c.local} }

// RemoteAddr returns that of the peer, an Addr, or nil if there is none.
func (c *Conn) RemoteAddr() net.Addr {
	if !c.peer.IsValid() {
		return nil
	}
	return Addr{c.peer}
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.queue.setDeadline(t)
	return nil
}

// SetWriteDeadline implements net.Conn. Nothing that is sent waits, so it matters to what comes after it alone.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		c.until.Store(nil)
	} else {
		c.until.Store(&t)
	}
	return nil
}

// Close ends the Conn, and what waits in it. Its Device goes on.
func (c *Conn) Close() error {
	if !c.queue.end(net.ErrClosed) {
		return net.ErrClosed
	}
	c.d.forget(c)
	return nil
}
