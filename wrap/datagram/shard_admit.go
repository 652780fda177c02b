package datagram

import (
	"bytes"
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/admission"
)

// stranger deals with a datagram from an address without a peer, or, if old is not nil, with one that begins anew.
func (s *shard) stranger(old *peer, data []byte, segment int, records []byte, from endpoint) {
	if !s.l.room() {
		return
	}
	now := time.Now()
	ticket, ok := s.l.hello(from, records, now)
	if !ok {
		return
	}
	p := s.newPeer(old, ticket, records, from)
	if p == nil {
		s.l.done(ticket)
		return
	}
	p.conn.deliver(data, segment, from)
}

// newPeer makes the Conn of a peer that was admitted. It cannot fail but for a want of resources, since Listen has
// tried.
func (s *shard) newPeer(old *peer, ticket admission.Ticket, records []byte, from endpoint) *peer {
	hello, _ := admission.ParseHello(records)
	p := &peer{
		shard: s, addr: from.addr, random: randomOf(hello.Random),
		shaking: &shaking{ticket: ticket, random: bytes.Clone(hello.Random)},
	}
	conn, err := newConn(s.cfg, frame.Server, &s.out, s.sock, p, &from)
	if err != nil {
		return nil
	}
	p.conn = conn
	s.l.peers.Add(1)
	s.enter(p, old)
	if s.l.enter(ticket, p) && !s.l.isClosed() {
		return p
	}
	conn.Close() // it was evicted at once, or the Listener was closed
	return p
}

// enter puts a peer into the table of addresses, or behind the one that it will replace there.
func (s *shard) enter(p, old *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old != nil && s.byAddr[p.addr] == old && old.newcomer == nil {
		old.newcomer, p.replaces = p, old
		return
	}
	s.byAddr[p.addr] = p
}

// room reports whether there is room for another Conn, and counts if there is none.
func (l *Listener) room() bool {
	switch {
	case int(l.peers.Load()) >= l.options.MaxPeers:
		l.stats.maxPeers.Add(1)
	case len(l.backlog) == cap(l.backlog):
		l.stats.backlogFull.Add(1)
	default:
		return true
	}
	return false
}

// hello asks the gate whether a ClientHello is to be answered, and closes whoever has to go for it.
func (l *Listener) hello(from endpoint, records []byte, now time.Time) (admission.Ticket, bool) {
	l.gate.Lock()
	d := l.admit.Hello(from.addr.Addr(), records, now)
	var evicted *peer
	if d.Evict.Valid() {
		evicted = l.take(d.Evict)
	}
	l.gate.Unlock()
	if evicted != nil {
		evicted.conn.Close()
	}
	return d.Ticket, d.Reason == admission.Admitted
}

// enter notes whose a ticket is. It reports whether the ticket is still valid.
func (l *Listener) enter(t admission.Ticket, p *peer) bool {
	l.gate.Lock()
	defer l.gate.Unlock()
	if !l.admit.Has(t) {
		return false
	}
	l.halfOpen[t.Slot()] = p
	l.schedule()
	return true
}

// take returns the peer in the slot of a ticket, which is empty then. The caller holds l.gate.
func (l *Listener) take(t admission.Ticket) *peer {
	p := l.halfOpen[t.Slot()]
	l.halfOpen[t.Slot()] = nil
	return p
}

// prove notes that a peer has returned its cookie.
func (l *Listener) prove(t admission.Ticket) {
	l.gate.Lock()
	defer l.gate.Unlock()
	l.admit.Proven(t)
}

// done gives back a ticket, unless its peer was evicted.
func (l *Listener) done(t admission.Ticket) {
	l.gate.Lock()
	defer l.gate.Unlock()
	if l.admit.Has(t) {
		l.take(t)
		l.admit.Done(t)
	}
}

// expire evicts those who do not return their cookie.
func (l *Listener) expire() {
	for p := l.expired(); p != nil; p = l.expired() {
		p.conn.Close()
	}
}

// expired returns a peer that has to go. If there is none, it sets the timer to when there may be.
func (l *Listener) expired() *peer {
	l.gate.Lock()
	defer l.gate.Unlock()
	for {
		t, ok := l.admit.Expire(time.Now())
		if !ok {
			l.schedule()
			return nil
		}
		if p := l.take(t); p != nil {
			return p
		}
	}
}

// schedule sets the timer to when somebody has to go. The caller holds l.gate.
func (l *Listener) schedule() {
	if at, ok := l.admit.Deadline(); ok && !l.isClosed() {
		l.expiry.Reset(time.Until(at))
	}
}

// handOut gives a Conn whose handshake is done to who wants it.
func (l *Listener) handOut(c *Conn) {
	if l.cfg.Handler != nil {
		if l.options.Opened != nil {
			l.options.Opened(c)
		}
		return
	}
	select {
	case l.backlog <- c:
	default:
		l.stats.backlogFull.Add(1)
		c.Close()
	}
}

// ended takes in that a Conn has ended whose handshake was done.
func (l *Listener) ended(c *Conn, why error) {
	l.stats.closed.Add(1)
	switch why {
	case ErrIdle:
		l.stats.idle.Add(1)
	case ErrPeerSilent:
		l.stats.silent.Add(1)
	}
	if l.options.Closed != nil {
		l.options.Closed(c, why)
	}
}
