package udp

import (
	"net/netip"
	"sync/atomic"
)

// Stats counts what a socket has done.
type Stats struct {
	// Calls of recvmmsg and sendmmsg, or of what stands for them; those that had to wait count, too.
	SyscallsIn, SyscallsOut uint64

	BatchesIn, BatchesOut     uint64 // calls of ReadBatch and WriteBatch that moved something
	DatagramsIn, DatagramsOut uint64
	BytesIn, BytesOut         uint64 // of payload
	GSOSends, GROReceives     uint64 // times that several datagrams went to the kernel, or came from it, as one

	// Times that what GSO refused was sent again one by one, and that an offload was switched off.
	Fallbacks uint64

	TooBig      uint64 // packets refused with a *TooBigError
	Refused     uint64 // packets refused with a *SendError
	Unreachable uint64 // ICMP errors on a connected socket
	Truncated   uint64 // packets received that had too little room; datagrams are lost

	// Datagrams that the kernel dropped for want of room in ReadBuffer, on Linux; joined ones count as one. It is known
	// when the next datagram is read.
	Dropped uint64
}

type counters struct {
	syscallsIn, syscallsOut, batchesIn, batchesOut, datagramsIn, datagramsOut, bytesIn, bytesOut atomic.Uint64
	gsoSends, groReceives, fallbacks, tooBig, refused, unreachable, truncated, dropped           atomic.Uint64
}

// refuse notes that p, to an address, is not sent.
func (c *counters) refuse(p *Packet, to netip.AddrPort, err error) {
	c.refused.Add(1)
	p.Err = &SendError{Addr: to, Err: err}
}

// heard notes an error of a connected socket, which ICMP may have caused.
func (c *counters) heard(err error) {
	if isUnreachable(err) {
		c.unreachable.Add(1)
	}
}

// Stats returns the counters. They are read one after the other.
func (s *Socket) Stats() Stats {
	c := &s.stats
	return Stats{
		SyscallsIn: c.syscallsIn.Load(), SyscallsOut: c.syscallsOut.Load(),
		BatchesIn: c.batchesIn.Load(), BatchesOut: c.batchesOut.Load(),
		DatagramsIn: c.datagramsIn.Load(), DatagramsOut: c.datagramsOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		GSOSends: c.gsoSends.Load(), GROReceives: c.groReceives.Load(), Fallbacks: c.fallbacks.Load(),
		TooBig: c.tooBig.Load(), Refused: c.refused.Load(), Unreachable: c.unreachable.Load(),
		Truncated: c.truncated.Load(), Dropped: c.dropped.Load(),
	}
}
