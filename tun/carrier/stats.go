package carrier

import "sync/atomic"

// Stats counts what a Device has done, and what it has let pass.
type Stats struct {
	Received, ReceivedBytes uint64 // frames that were for somebody, and their bytes
	Sent, SentBytes         uint64

	Malformed  uint64 // packets that are none, or whose header has a wrong checksum
	Fragments  uint64 // parts of packets, which are not put together: nobody sends frames that need it
	BadSource  uint64 // packets from what is no address of a host, or from this end itself
	Other      uint64 // packets of other protocols, and ICMP that is not about frames of this end
	Unexpected uint64 // frames for an address that nobody listens to, or of a stranger for one that has a peer
	Full       uint64 // frames that found the queue of their Conn full

	Narrowed    uint64 // times that ICMP has said that the path to a peer is narrower than was thought
	Unreachable uint64 // times that ICMP has said that a frame did not arrive; it changes nothing
	TooBig      uint64 // frames that were refused with a *TooBigError
	Unsent      uint64 // frames that the kernel did not take
}

type counters struct {
	received, receivedBytes, sent, sentBytes                 atomic.Uint64
	malformed, fragments, badSource, other, unexpected, full atomic.Uint64
	narrowed, unreachable, tooBig, unsent                    atomic.Uint64
}

// Stats returns the counters. They are read one after the other.
func (d *Device) Stats() Stats {
	c := &d.stats
	return Stats{
		Received: c.received.Load(), ReceivedBytes: c.receivedBytes.Load(),
		Sent: c.sent.Load(), SentBytes: c.sentBytes.Load(),
		Malformed: c.malformed.Load() + d.dev.Stats().ReadErrors, Fragments: c.fragments.Load(),
		BadSource: c.badSource.Load(), Other: c.other.Load(), Unexpected: c.unexpected.Load(), Full: c.full.Load(),
		Narrowed: c.narrowed.Load(), Unreachable: c.unreachable.Load(), TooBig: c.tooBig.Load(), Unsent: c.unsent.Load(),
	}
}
