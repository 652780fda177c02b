package datagram

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap/udp"
)

const (
	// cidLen is the length of the connection IDs of a Listener: the number of the shard, and 7 random bytes.
	cidLen    = 8
	maxShards = 256

	// batch is how many packets are received at once, each of up to 64 KiB, of which the kernel touches what it needs.
	batch = 32
)

// A shard is a socket of a Listener with its peers, and one goroutine that receives for them.
//
// The kernel chooses the shard of a datagram by the addresses in it. When a peer has moved, that is not the one that
// has its Conn, which the connection ID tells then: any shard may deliver to a Conn.
type shard struct {
	l     *Listener
	index int
	sock  *udp.Socket
	out   socketOutput
	cfg   *Config // the Listener's, with this shard's connection IDs
	look  *demux

	mu       sync.Mutex // guards what follows; no call of a Conn is made under it
	byAddr   map[netip.AddrPort]*peer
	byCID    map[uint64]*peer
	agenda   agenda
	deadline time.Time // of the socket
}

func newShard(l *Listener, index int, sock *udp.Socket) (s *shard, err error) {
	s = &shard{l: l, index: index, sock: sock, out: socketOutput{sock}, cfg: l.cfg.Clone(),
		byAddr: map[netip.AddrPort]*peer{}, byCID: map[uint64]*peer{}}
	if !l.options.NoConnectionIDs {
		s.cfg.newCID = s.newCID
	}
	s.look, err = newDemux(s.cfg)
	return s, err
}

// newCID returns a connection ID that tells this shard. That another has the same 7 bytes does not happen.
func (s *shard) newCID() []byte {
	cid := make([]byte, cidLen)
	rand.Read(cid)
	cid[0] = byte(s.index)
	return cid
}

// run receives until the socket is closed.
func (s *shard) run() {
	const pause = 10 * time.Millisecond // or an error that stays would take all the time there is
	packets := make([]udp.Packet, batch)
	for i := range packets {
		packets[i].Data = make([]byte, udp.MaxRead)
	}
	for {
		s.lookAfter(time.Now())
		n, err := s.sock.ReadBatch(packets)
		for i := range packets[:n] {
			s.received(&packets[i])
		}
		switch {
		case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.l.stats.socketErrors.Add(1)
			time.Sleep(pause)
		}
	}
}

// received finds out who a packet is for. The datagrams in it come from one address.
func (s *shard) received(p *udp.Packet) {
	if !p.Addr.IsValid() {
		s.l.stats.unaddressed.Add(1)
		return
	}
	records, ok := s.look.lookAll(p.Data, p.Segment)
	if !ok {
		s.aside(p)
		return
	}
	s.route(p.Data, p.Segment, records, endpoint{p.Addr, p.Local})
}

// route gives datagrams to their Conn; records are those in the first.
func (s *shard) route(data []byte, segment int, records []byte, from endpoint) {
	if p := s.ofCID(records); p != nil {
		p.conn.deliver(data, segment, from)
		return
	}
	s.mu.Lock()
	p := s.byAddr[from.addr]
	if p == nil {
		s.mu.Unlock()
		s.stranger(nil, data, segment, records, from)
		return
	}
	state, newcomer := p.state, p.newcomer
	s.mu.Unlock()
	switch {
	case newcomer != nil:
		s.either(p, newcomer, data, segment, records, from)
	case state == shaken && p.beginsAnew(records):
		s.stranger(p, data, segment, records, from)
	default:
		s.hear(p, data, segment, records, from)
	}
}

// ofCID returns the peer, of any shard, whose connection ID is in records.
func (s *shard) ofCID(records []byte) *peer {
	cid, ok := bio.PeekCID(records, cidLen)
	if !ok || int(cid[0]) >= len(s.l.shards) {
		return nil
	}
	home := s.l.shards[cid[0]]
	home.mu.Lock()
	defer home.mu.Unlock()
	return home.byCID[binary.BigEndian.Uint64(cid)]
}

// hear delivers to a peer what it may hear: before it has returned its cookie, that is nothing but its ClientHello, or
// anybody could end its handshake with one datagram.
func (s *shard) hear(p *peer, data []byte, segment int, records []byte, from endpoint) {
	if p.mayHear(records) {
		p.conn.deliver(data, segment, from)
	} else {
		s.l.stats.unproven.Add(1)
	}
}

// either delivers what comes from an address whose peer begins anew, or seems to: the handshake is the newcomer's, and
// what is protected may be either's.
func (s *shard) either(old, newcomer *peer, data []byte, segment int, records []byte, from endpoint) {
	if unprotected(records) {
		s.hear(newcomer, data, segment, records, from)
		return
	}
	if newcomer.isProven() {
		newcomer.conn.deliver(append([]byte(nil), data...), segment, from) // it is opened in place
	}
	old.conn.deliver(data, segment, from)
}

// lookAfter looks at the peers that are due, and sets the deadline until which to receive.
func (s *shard) lookAfter(now time.Time) {
	every := s.cfg.lookEvery()
	if every == 0 {
		return
	}
	for p := s.due(now); p != nil; p = s.due(now) {
		if p.conn.look(now) {
			s.putOff(p, now.Add(every))
		}
	}
}

// due takes a peer that is due off the agenda. If there is none, it sets the deadline of the socket to when there will
// be.
func (s *shard) due(now time.Time) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.agenda.next()
	if ok && !at.After(now) {
		p := s.agenda[0]
		s.agenda.remove(p)
		return p
	}
	if !s.deadline.Equal(at) {
		s.deadline = at
		s.sock.SetReadDeadline(at)
	}
	return nil
}

// putOff puts a peer on the agenda, unless it is gone. Those whose time comes nearly at once are looked at together.
func (s *shard) putOff(p *peer, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.state != shaken {
		return
	}
	tick := max(s.cfg.lookEvery()/8, time.Millisecond)
	s.agenda.put(p, at.Truncate(tick).Add(tick))
	if at, _ := s.agenda.next(); s.deadline.IsZero() || at.Before(s.deadline) {
		s.deadline = at
		s.sock.SetReadDeadline(at)
	}
}

// closeAll closes all Conns.
func (s *shard) closeAll() {
	for all := s.allPeers(); len(all) > 0; all = s.allPeers() {
		closed := 0
		for p := range all {
			if p.conn.Close() == nil {
				closed++
			}
		}
		if closed == 0 {
			time.Sleep(time.Millisecond) // others are closing what is left
		}
	}
}

// allPeers returns the peers that are not gone.
func (s *shard) allPeers() map[*peer]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[*peer]bool, len(s.byAddr))
	for _, p := range s.byAddr {
		all[p] = true
		if p.newcomer != nil {
			all[p.newcomer] = true
		}
	}
	for _, p := range s.byCID {
		all[p] = true
	}
	return all
}
