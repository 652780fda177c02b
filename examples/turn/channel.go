package main

import (
	"net"
	"os"
	"sync"
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// channelRoom is how many bytes of frames may wait for Recv. When it is full, the newest are dropped, over a stream,
// too: one slow reader must stall neither other channels nor the control, and behind the server the network is UDP.
const channelRoom = 256 << 10

// A Channel is the carrier of what is sent to and received from one peer of a [Relay]: one frame is one message of
// ChannelData. The framing is that of Codec, which knows the channel's number.
//
//	channel, err := relay.Bind(ctx, peer)
//	...
//	conn, err := datagram.Client(channel, &datagram.Config{Codec: channel.Codec(), TLS: ...})
//
// When it is closed, its peer may be bound again.
type Channel struct {
	relay  *Relay
	number uint16
	peer   net.Addr
	codec  frame.Maker
	view   frame.Buf // what Recv lends

	mu       sync.Mutex
	changed  sync.Cond // any of the following
	queue    [][]byte
	size     int // bytes in queue
	deadline time.Time
	alarm    *time.Timer
	err      error // why nothing comes any more
}

var _ wrap.Carrier = (*Channel)(nil)

func newChannel(r *Relay, number uint16, peer net.Addr, codec frame.Maker) *Channel {
	c := &Channel{relay: r, number: number, peer: peer, codec: codec}
	c.changed.L = &c.mu
	c.alarm = time.AfterFunc(time.Hour, c.wake)
	c.alarm.Stop()
	return c
}

// wake makes Recv look at the deadline. It takes the lock so as not to come between that look and the waiting.
func (c *Channel) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed.Broadcast()
}

// Codec returns the framing of this channel.
func (c *Channel) Codec() frame.Maker { return c.codec }

// take takes a message, and returns whether there was room.
func (c *Channel) take(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.size+len(p) > channelRoom {
		return false
	}
	c.queue = append(c.queue, append([]byte(nil), p...))
	c.size += len(p)
	c.changed.Signal()
	return true
}

// Recv implements wrap.Carrier.
func (c *Channel) Recv() (*frame.Buf, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			return nil, os.ErrDeadlineExceeded
		case len(c.queue) > 0:
			p := c.queue[0]
			c.queue = c.queue[1:]
			c.size -= len(p)
			c.view.Borrow(p, 0, len(p))
			return &c.view, nil
		case c.err != nil:
			return nil, c.err
		}
		c.changed.Wait()
	}
}

// Send implements wrap.Carrier.
func (c *Channel) Send(frames []*frame.Buf) (int, error) {
	for i, b := range frames {
		if err := c.failure(); err != nil {
			return i, err
		}
		if err := c.relay.send(b.Bytes()); err != nil {
			return i, err
		}
		b.Release()
	}
	return len(frames), nil
}

func (c *Channel) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Limits implements wrap.Carrier. How long a datagram may be on its way behind the server is for Config.MTU to say.
func (c *Channel) Limits() frame.Limits { return frame.Limits{} }

// SetReadDeadline implements wrap.Carrier.
func (c *Channel) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.alarm.Stop(); !t.IsZero() {
		c.alarm.Reset(time.Until(t))
	}
	c.changed.Broadcast()
	return nil
}

// LocalAddr implements wrap.Carrier: it is the relayed address.
func (c *Channel) LocalAddr() net.Addr { return c.relay.Addr() }

// RemoteAddr implements wrap.Carrier: it is the peer's address.
func (c *Channel) RemoteAddr() net.Addr { return c.peer }

// Close implements wrap.Carrier. The Relay goes on.
func (c *Channel) Close() error {
	c.relay.mu.Lock()
	if c.relay.channels[c.number] == c {
		delete(c.relay.channels, c.number)
	}
	c.relay.mu.Unlock()
	c.end(net.ErrClosed)
	return nil
}

// end ends Recv and Send.
func (c *Channel) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = why
	}
	c.alarm.Stop()
	c.changed.Broadcast()
}
