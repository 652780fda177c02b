package udp

import "sync/atomic"

// Stats counts what a socket has done.
type Stats struct {
	SyscallsIn, SyscallsOut   uint64 // calls of recvmmsg and sendmmsg, or what stands for them, those included that had to wait
	BatchesIn, BatchesOut     uint64 // calls of ReadBatch and WriteBatch that moved something
	DatagramsIn, DatagramsOut uint64
	BytesIn, BytesOut         uint64 // payload
	GSOSends                  uint64 // times that several datagrams went to the kernel as one
	GROReceives               uint64 // times that several datagrams came from the kernel as one
	Fallbacks                 uint64 // times that what GSO refused was sent again one by one, and that an offload was switched off
	TooBig                    uint64 // packets refused with a *TooBigError
	Refused                   uint64 // packets refused with a *SendError
	Unreachable               uint64 // ICMP errors on a connected socket
	Truncated                 uint64 // packets received that had too little room; datagrams are lost
	Dropped                   uint64 // datagrams that the kernel dropped for want of room in ReadBuffer (Linux)
}

type counters struct {
	syscallsIn, syscallsOut, batchesIn, batchesOut, datagramsIn, datagramsOut, bytesIn, bytesOut atomic.Uint64
	gsoSends, groReceives, fallbacks, tooBig, refused, unreachable, truncated, dropped           atomic.Uint64
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
