package datagram

import (
	"net/netip"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/udp"
)

// How a Conn and what surrounds it fit together:
//
//	socket ─▶ who receives ─▶ Conn.deliver ─▶ queue ─▶ Read
//	                              │
//	socket ◀──── output ◀─────────┴──────────────────── Write
//	                              └─▶ owner: handshake done, moved, closed
//
// Who receives makes a Conn with newConn, gives it each datagram with deliver, which opens it in place, and calls look
// every now and then. It makes no difference which goroutine does: calls of deliver wait for each other.

// An output sends what Conns have for their peers. It may be shared by all Conns of a socket, and is safe for concurrent
// use.
type output interface {
	// limits returns the room that frames need around them, and the longest frame; Max is 0 for "any".
	limits() frame.Limits
	// start is called once, when the handshake of c begins: there is something to receive for.
	start(c *Conn)
	// send sends frames of c, in order, and releases them, whatever the error. It may wait for a socket, never for a
	// peer. An error that wraps net.ErrClosed is the end of the output; a *udp.TooBigError and any other say that
	// something was not sent.
	send(c *Conn, frames []*frame.Buf) error
	// full reports whether a Write shall wait; Conn.poke says that it need not any more.
	full() bool
	// taken says that a Read has made room in the queue of c.
	taken()
	// end is called by Close, once, after the last frame. It may wait for that to leave.
	end(c *Conn) error
}

// A gatherer is an output that sends many datagrams which lie side by side at once.
type gatherer interface {
	output
	// sendPackets sends packets, whose addresses it fills in, and keeps nothing.
	sendPackets(c *Conn, packets []udp.Packet) error
}

// An owner is told what becomes of a Conn. Its methods must not wait; they may be called from any goroutine, also from
// within deliver and look.
type owner interface {
	// says sees each datagram of the handshake, its records without the frame, before it is sent. It is called with a
	// lock held and must not use c.
	says(c *Conn, records []byte)
	// shaken tells that the handshake is done, or why it has failed: then Close is left to call. It is called once,
	// unless Close comes first, and no message is delivered before it returns. When it is done, c.localCID is what the
	// peer's records carry.
	shaken(c *Conn, err error)
	// moved tells that the peer has sent its newest record from another address: c sends there from now on.
	moved(c *Conn, from, to endpoint)
	// closed tells that c was closed, by Close, by look or, with Config.Handler, by the peer: deliver does nothing any
	// more.
	closed(c *Conn)
}

// An endpoint is where a peer is, and by which address of this host it knows us; that is invalid if it is not known.
type endpoint struct {
	addr  netip.AddrPort
	local netip.Addr
}

// nobody is the owner of a Conn that has none.
type nobody struct{}

func (nobody) says(*Conn, []byte)              {}
func (nobody) shaken(*Conn, error)             {}
func (nobody) moved(*Conn, endpoint, endpoint) {}
func (nobody) closed(*Conn)                    {}
