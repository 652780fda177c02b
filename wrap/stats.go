package wrap

import "sync/atomic"

// Stats counts what a connection has done.
type Stats struct {
	FramesIn, FramesOut uint64
	WireIn, WireOut     uint64 // bytes of frames
	PlainIn, PlainOut   uint64 // bytes of application data
	Malformed           uint64 // frames that the codec refused
	Strangers           uint64 // datagrams from others than the peer
}

type counters struct {
	framesIn, framesOut, wireIn, wireOut, plainIn, plainOut, malformed atomic.Uint64
}

// Stats returns the counters. They are read one after the other.
func (c *Conn) Stats() Stats {
	var strangers uint64
	if d, ok := c.carrier.(interface{ ignored() uint64 }); ok {
		strangers = d.ignored()
	}
	return Stats{
		FramesIn: c.stats.framesIn.Load(), FramesOut: c.stats.framesOut.Load(),
		WireIn: c.stats.wireIn.Load(), WireOut: c.stats.wireOut.Load(),
		PlainIn: c.stats.plainIn.Load(), PlainOut: c.stats.plainOut.Load(),
		Malformed: c.stats.malformed.Load(),
		Strangers: strangers,
	}
}
