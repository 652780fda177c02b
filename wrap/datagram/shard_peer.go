package datagram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/encase-tls/encase/wrap/admission"
)

// ErrReplaced says that the peer has begun anew, from the same address.
var ErrReplaced = errors.New("datagram: the peer has begun a new connection from the same address")

// A peer is a Conn in the tables of a shard, and its owner. What is not of its making is guarded by the shard's mutex.
type peer struct {
	shard *shard
	conn  *Conn

	addr     netip.AddrPort // where it is in shard.byAddr, if it is
	cid      uint64         // where it is in shard.byCID, if hasCID
	hasCID   bool
	state    peerState
	turn     int       // on the agenda, from 1; 0: not on it
	due      time.Time // when
	random   uint64    // a part of its ClientHello's
	shaking  *shaking  // nil when the handshake is done
	newcomer *peer     // who begins anew from the same address
	replaces *peer     // whose newcomer this is
}

// A peerState is how far a peer has come.
type peerState uint8

const (
	unproven peerState = iota // it has not returned its cookie
	proven                    // its handshake is under way
	shaken                    // its handshake is done
	gone
)

// shaking is what is known of a peer only during its handshake.
type shaking struct {
	ticket admission.Ticket
	random []byte // of its ClientHello
	cookie []byte // that it was sent; nil before
}

// mayHear reports whether a datagram may be given to the peer's Conn.
func (p *peer) mayHear(records []byte) bool {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if p.state != unproven || len(records) == 0 {
		return true
	}
	h, ok := admission.ParseHello(records)
	if !ok {
		return admission.IsLaterFragment(records)
	}
	return bytes.Equal(h.Random, p.shaking.random) && (len(h.Cookie) == 0 || bytes.Equal(h.Cookie, p.shaking.cookie))
}

func (p *peer) isProven() bool {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	return p.state != unproven
}

// beginsAnew reports whether a datagram to an established peer is the first of another handshake. It is not if it is
// that with which this connection began: the network may have kept it.
func (p *peer) beginsAnew(records []byte) bool {
	if !unprotected(records) {
		return false
	}
	h, ok := admission.ParseHello(records)
	return ok && len(h.Cookie) == 0 && h.Seq == 0 && randomOf(h.Random) != p.random
}

// randomOf returns what is kept of a random.
func randomOf(random []byte) uint64 { return binary.BigEndian.Uint64(random[8:]) }

// says implements owner: what the engine says tells how far the peer has come.
func (p *peer) says(_ *Conn, records []byte) {
	cookie, verify := admission.ParseVerify(records)
	if !verify && !admission.IsServerHello(records) {
		return
	}
	p.shard.mu.Lock()
	s := p.shaking
	switch {
	case s == nil || p.state != unproven:
		s = nil
	case verify:
		s.cookie = bytes.Clone(cookie)
		s = nil
	default:
		p.state = proven
	}
	p.shard.mu.Unlock()
	if s != nil {
		p.shard.l.prove(s.ticket)
	}
}

// shaken implements owner.
func (p *peer) shaken(c *Conn, err error) {
	s, l := p.shard, p.shard.l
	if err != nil {
		if p.isProven() {
			l.stats.failed.Add(1)
		}
		if l.options.Failed != nil {
			l.options.Failed(c, err)
		}
		c.Close() // closed does the rest
		return
	}
	var cid []byte
	if !l.options.NoConnectionIDs {
		cid = c.localCID()
	}
	old, ok := p.settle(cid)
	if !ok {
		return
	}
	l.stats.opened.Add(1)
	if old != nil {
		l.stats.replaced.Add(1)
		old.conn.shut(ErrReplaced)
	}
	if every := s.cfg.lookEvery(); every > 0 {
		s.putOff(p, time.Now().Add(every))
	}
	l.handOut(c)
}

// settle enters a peer into the tables as one whose handshake is done. old is whom it replaces; ok is false if it is
// gone.
func (p *peer) settle(cid []byte) (old *peer, ok bool) {
	s := p.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.state == gone {
		return nil, false
	}
	p.state = shaken
	ticket := p.shaking.ticket
	p.shaking = nil
	if old = p.replaces; old != nil {
		old.newcomer, p.replaces = nil, nil
		s.byAddr[p.addr] = p
	}
	if len(cid) == cidLen {
		p.cid, p.hasCID = binary.BigEndian.Uint64(cid), true
		s.byCID[p.cid] = p
	}
	s.l.done(ticket)
	return old, true
}

// moved implements owner: the peer is found under its new address from now on. Who was there is left with its
// connection ID, and without one nothing can reach it any more.
func (p *peer) moved(_ *Conn, _, to endpoint) {
	s := p.shard
	s.l.stats.moved.Add(1)
	for _, lost := range s.move(p, to.addr) {
		lost.conn.shut(ErrReplaced)
	}
}

// move enters a peer under a new address, and returns who cannot be reached any more.
func (s *shard) move(p *peer, to netip.AddrPort) (lost []*peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.state == gone {
		return nil
	}
	s.leave(p)
	for there := s.byAddr[to]; there != nil; there = s.byAddr[to] {
		s.leave(there)
		if !there.hasCID {
			lost = append(lost, there)
		}
	}
	p.addr = to
	s.byAddr[to] = p
	return lost
}

// leave takes a peer from its address, to which its newcomer, if there is one, succeeds. The caller holds s.mu.
func (s *shard) leave(p *peer) {
	if old := p.replaces; old != nil {
		old.newcomer, p.replaces = nil, nil
		return
	}
	if s.byAddr[p.addr] != p {
		return
	}
	delete(s.byAddr, p.addr)
	if n := p.newcomer; n != nil {
		p.newcomer, n.replaces = nil, nil
		s.byAddr[p.addr] = n
	}
}

// closed implements owner.
func (p *peer) closed(c *Conn) {
	s, l := p.shard, p.shard.l
	s.mu.Lock()
	was := p.state
	p.state = gone
	s.leave(p)
	if p.hasCID && s.byCID[p.cid] == p {
		delete(s.byCID, p.cid)
	}
	s.agenda.remove(p)
	if p.shaking != nil {
		l.done(p.shaking.ticket)
		p.shaking = nil
	}
	s.mu.Unlock()
	if was == gone {
		return
	}
	l.peers.Add(-1)
	if was == shaken {
		l.ended(c, c.failure())
	}
}

var _ owner = (*peer)(nil)
