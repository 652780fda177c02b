package datagram

import (
	"sync/atomic"

	"github.com/encase-tls/encase/wrap/udp"
)

// Stats counts what a Conn has done, and what it has let pass. What its engine counts, such as replays and forged
// records, Conn.Engine tells.
type Stats struct {
	MessagesIn, MessagesOut uint64
	PlainIn, PlainOut       uint64 // bytes of messages
	FramesIn, FramesOut     uint64
	WireIn, WireOut         uint64 // bytes of frames

	Malformed uint64 // frames that the codec refused
	Empty     uint64 // messages without content, which are not delivered
	Dropped   uint64 // messages that found the queue full
	Unsent    uint64 // datagrams that the network refused to take

	// Socket is what the socket of a Conn that Dial has made counts. It is zero for others: see Listener.Stats.
	Socket udp.Stats
}

type counters struct {
	messagesIn, messagesOut, plainIn, plainOut, framesIn, framesOut, wireIn, wireOut atomic.Uint64

	malformed, empty, dropped, unsent atomic.Uint64
}

// Stats returns the counters. They are read one after the other.
func (c *Conn) Stats() Stats {
	s := Stats{
		MessagesIn: c.stats.messagesIn.Load(), MessagesOut: c.stats.messagesOut.Load(),
		PlainIn: c.stats.plainIn.Load(), PlainOut: c.stats.plainOut.Load(),
		FramesIn: c.stats.framesIn.Load(), FramesOut: c.stats.framesOut.Load(),
		WireIn: c.stats.wireIn.Load(), WireOut: c.stats.wireOut.Load(),
		Malformed: c.stats.malformed.Load(), Empty: c.stats.empty.Load(),
		Dropped: c.stats.dropped.Load(), Unsent: c.stats.unsent.Load(),
	}
	if d, ok := c.out.(*dialed); ok {
		s.Socket = d.sock.Stats()
	}
	return s
}
