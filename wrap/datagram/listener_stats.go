package datagram

import (
	"sync/atomic"

	"github.com/encase-tls/encase/wrap/admission"
	"github.com/encase-tls/encase/wrap/udp"
)

// ListenerStats counts what a Listener has done, and what it has let pass.
type ListenerStats struct {
	Peers     int             // Conns at present, those whose handshake is under way included
	Admission admission.Stats // of unproven peers; its Counts say why ClientHellos were not answered

	Opened   uint64 // handshakes done
	Failed   uint64 // handshakes that came to nothing after the peer had returned its cookie
	Closed   uint64 // Conns that have ended, of those Opened
	Moved    uint64 // times that a peer has got another address
	Replaced uint64 // Conns that have ended because their peer had begun anew
	Idle     uint64 // Conns that Config.IdleTimeout has ended
	Silent   uint64 // Conns that Config.PeerTimeout has ended

	Side         uint64 // datagrams that were not DTLS in the framing of the codec
	MaxPeers     uint64 // datagrams of strangers that came while there was no room for a Conn
	BacklogFull  uint64 // datagrams of strangers, and handshakes, that found the backlog full
	Unproven     uint64 // datagrams for a Conn that were nothing it may hear before its peer has returned the cookie
	Unaddressed  uint64 // datagrams that came from no address of IP
	SocketErrors uint64 // failures to receive

	Sockets []udp.Stats // of each shard
}

type listenerCounters struct {
	opened, failed, closed, moved, replaced, idle, silent atomic.Uint64

	side, maxPeers, backlogFull, unproven, unaddressed, socketErrors atomic.Uint64
}

// Stats returns the counters. They are read one after the other.
func (l *Listener) Stats() ListenerStats {
	c := &l.stats
	s := ListenerStats{
		Peers:  int(l.peers.Load()),
		Opened: c.opened.Load(), Failed: c.failed.Load(), Closed: c.closed.Load(), Moved: c.moved.Load(),
		Replaced: c.replaced.Load(), Idle: c.idle.Load(), Silent: c.silent.Load(), Side: c.side.Load(),
		MaxPeers: c.maxPeers.Load(), BacklogFull: c.backlogFull.Load(), Unproven: c.unproven.Load(),
		Unaddressed: c.unaddressed.Load(), SocketErrors: c.socketErrors.Load(),
	}
	l.gate.Lock()
	s.Admission = l.admit.Stats()
	l.gate.Unlock()
	for _, sh := range l.shards {
		s.Sockets = append(s.Sockets, sh.sock.Stats())
	}
	return s
}
