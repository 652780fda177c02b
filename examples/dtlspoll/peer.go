//go:build linux

package main

import (
	"net/netip"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
)

// A peer is one at the other end of a connection.
type peer struct {
	addr     netip.AddrPort
	engine   *dtls.Engine
	shaken   chan struct{} // closed when the handshake is over, in whatever way
	open     bool          // the handshake is over and went well
	gone     bool
	deadline time.Time // when it is given up, unless it is heard from
	wake     time.Time // when the app wants to be called; zero: it does not
}

// add begins a connection. A client's engine has a ClientHello to send, a server's answers what is given to it next.
func (l *loop) add(addr netip.AddrPort, engine *dtls.Engine) *peer {
	p := &peer{addr: addr, engine: engine, shaken: make(chan struct{}), deadline: time.Now().Add(handshakeTime)}
	l.peers[addr] = p
	go l.bell.follow(p)
	l.flush(p)
	return p
}

// open gives the engine a datagram and the app the messages in it. If data is nil, they are those that came before the
// handshake was done, which the engine has kept. Garbage, replays and forgeries are no errors: they are counted, see
// dtls.Engine.Stats.
func (l *loop) open(p *peer, data []byte) {
	list, st, err := p.engine.OpenBatch(l.list[:0], data, 0)
	l.list = list
	l.note(p, st.Events, len(list) > 0)
	for _, message := range list {
		if !p.gone {
			l.app.heard(l, p, message)
		}
	}
	l.settle(p, st.Events, err)
}

// attend is called when the handshake has something to do although nothing was received: a flight to repeat, or it has
// just ended, well or not.
func (l *loop) attend(p *peer) {
	if p == nil || p.gone {
		return
	}
	st, err := p.engine.Tick(time.Now())
	l.note(p, st.Events, false)
	l.settle(p, st.Events, err)
	if st.Events.Has(bio.EventHandshakeDone) && !p.gone {
		l.open(p, nil)
	}
}

// note takes in what has happened to a peer.
func (l *loop) note(p *peer, events bio.Events, heard bool) {
	if p.gone {
		return
	}
	if events.Has(bio.EventHandshakeDone) {
		p.open = true
		close(p.shaken)
		l.flush(p) // the last flight, in front of what the app says
		l.app.opened(l, p)
	}
	if p.open && (heard || events != 0) {
		p.deadline = time.Now().Add(idleTime)
	}
}

// settle sends what the engine has to say, after an error too, and parts with a peer that has ended.
func (l *loop) settle(p *peer, events bio.Events, err error) {
	switch {
	case p.gone:
	case err != nil:
		l.flush(p) // the alert that says why
		l.drop(p, err)
	case events.Has(bio.EventPeerClosed):
		l.bye(p)
	default:
		l.flush(p)
	}
}

// flush sends what the engine has to say, one datagram at a time.
func (l *loop) flush(p *peer) {
	for more := true; more; {
		l.out, more = p.engine.Flush(l.out[:0], 0)
		if len(l.out) > 0 {
			l.send(p.addr, l.out)
		}
	}
}

// say sends a message. An error is the caller's fault (too long), or the end of the engine.
func (l *loop) say(p *peer, message []byte) (err error) {
	l.out, _, err = p.engine.Seal(l.out[:0], message)
	if err == nil {
		l.send(p.addr, l.out)
	}
	return err
}

// bye ends a connection in good order, as far as this end can: nobody says whether close_notify arrives.
func (l *loop) bye(p *peer) {
	if p.engine.CloseWrite() == nil {
		l.flush(p)
	}
	l.drop(p, nil)
}

// drop forgets a peer. The engine has to be told, or a handshake that is under way would go on.
func (l *loop) drop(p *peer, err error) {
	p.gone = true
	p.engine.Abort(err)
	if !p.open {
		close(p.shaken)
	}
	delete(l.peers, p.addr)
	l.app.ended(p, err)
}
