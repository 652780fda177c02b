package eap

import "github.com/encase-tls/encase/frame"

// What a Machine does with the packets of EAP-TLS, whichever end it is.

// recvTLS takes a packet of EAP-TLS that is new.
func (m *Machine) recvTLS(ev []frame.Event, b *frame.Buf, f fragment) ([]frame.Event, error) {
	m.turn = true
	m.clock.stop()
	switch {
	case m.out.partial():
		if !f.empty() {
			return m.fail(ev, errNoAck), errNoAck
		}
		return m.sendFragment(ev), nil
	case f.empty() && !m.in.active():
		return m.recvNothing(ev)
	}
	complete, err := m.in.add(f, m.o.MaxFlight)
	switch {
	case err != nil:
		return m.fail(ev, err), err
	case !complete:
		return m.sendTLS(ev, 0, 0, nil), nil
	}
	m.idle = 0
	flight := m.flight(b, f)
	m.hello.received(flight.Bytes())
	alert := m.handshaking() && endsInAlert(flight.Bytes())
	return m.delivered(append(ev, frame.Event{Kind: frame.In, Buf: flight}), alert), nil
}

// flight returns the flight that f has completed: part of b if it is all of it.
func (m *Machine) flight(b *frame.Buf, f fragment) *frame.Buf {
	if whole := m.in.take(); whole != nil {
		m.view.Borrow(whole, 0, len(whole))
		return &m.view
	}
	b.TrimFront(f.at)
	b.TrimBack(b.Len() - len(f.data))
	return b
}

// delivered goes on when TLS has got a flight. During the handshake the next word is that of TLS.
func (m *Machine) delivered(ev []frame.Event, alert bool) []frame.Event {
	if m.established {
		m.after++
	}
	switch {
	case m.out.due():
		return m.sendFragment(ev)
	case alert && m.role == frame.Server:
		return m.fail(ev, ErrAlert)
	case m.established && m.role == frame.Server:
		return m.decide(ev)
	case alert || m.established:
		return m.sendTLS(ev, 0, 0, nil)
	case !m.handshaking():
		m.poll()
	}
	return ev
}

// recvNothing takes a packet without data: the other end has nothing more to say.
func (m *Machine) recvNothing(ev []frame.Event) ([]frame.Event, error) {
	if m.idle++; m.idle > maxIdle {
		return m.fail(ev, errIdle), errIdle
	}
	switch {
	case m.out.due():
		return m.sendFragment(ev), nil
	case m.established && m.role == frame.Server:
		return m.decide(ev), nil
	case m.handshaking() && m.role == frame.Server: // it has got an alert
		return m.fail(ev, ErrAlert), nil
	case m.established || m.handshaking():
		return m.sendTLS(ev, 0, 0, nil), nil
	}
	m.poll()
	return ev, nil
}

// handshaking reports whether what is said is the handshake of TLS: then it is for TLS to say more.
func (m *Machine) handshaking() bool { return !m.established && m.hello.seen() }

// proceed sends what there is, if it is this end's turn.
func (m *Machine) proceed(ev []frame.Event) []frame.Event {
	if m.turn && m.state == method && m.out.due() {
		return m.sendFragment(ev)
	}
	return ev
}

// sendFragment sends the next fragment of the flight.
func (m *Machine) sendFragment(ev []frame.Event) []frame.Event {
	flags, total, data := m.out.next(m.o.MTU - tlsLen)
	return m.sendTLS(ev, flags, total, data)
}

// sendTLS sends a packet of EAP-TLS.
func (m *Machine) sendTLS(ev []frame.Event, flags byte, total int, data []byte) []frame.Event {
	code := byte(CodeResponse)
	if m.role == frame.Server {
		code = CodeRequest
		m.id++
	}
	return m.transmit(ev, newTLS(code, m.id, flags, total, data))
}
