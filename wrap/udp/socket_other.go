//go:build !linux

package udp

import (
	"errors"
	"net"
)

// spreads says whether several sockets on one address share its peers.
const spreads = false

func newMover(conn *net.UDPConn, stats *counters, o Options) mover {
	if o.ReadBuffer > 0 {
		if err := conn.SetReadBuffer(o.ReadBuffer); err != nil {
			o.warn(&BufferError{Option: "ReadBuffer", Asked: o.ReadBuffer})
		}
	}
	if o.WriteBuffer > 0 {
		if err := conn.SetWriteBuffer(o.WriteBuffer); err != nil {
			o.warn(&BufferError{Option: "WriteBuffer", Asked: o.WriteBuffer})
		}
	}
	return newPortable(conn, stats)
}

// setOptions sets what must be set before the socket is bound. A system that cannot forbid fragments makes them.
func setOptions(fd uintptr, o *Options, _ bool) error {
	if o.Mark != 0 {
		return errors.New("sockets have no mark on this system")
	}
	if o.Discover != DiscoverNone {
		forbidFragments(fd)
	}
	return nil
}
