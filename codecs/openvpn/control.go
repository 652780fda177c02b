package openvpn

import (
	"encoding/binary"

	"github.com/encase-tls/encase/frame"
)

// recvControl takes a packet of the control channel. Nothing changes before it has passed every check.
func (m *machine) recvControl(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	c, err := parseHeader(b.Bytes())
	if err != nil {
		return ev, err
	}
	begins, err := m.belongs(&c)
	if err != nil {
		return ev, err
	}
	s, err := m.unwrap(&c, b, begins)
	if err == nil && begins {
		err = m.checkAge()
	}
	if err != nil {
		return ev, err
	}
	if !m.isNew(s, begins) {
		m.counters.Replayed.Add(1)
		return ev, nil
	}
	m.out.acked(c.acks)
	switch {
	case begins:
		ev = m.meet(ev, &c)
	case !m.open:
		ev = m.prove(ev)
	}
	switch {
	case m.failed != nil:
		return append(ev, frame.Event{Kind: frame.Done, Err: m.failed}), nil
	case !m.open:
		return ev, nil // what it has will come again
	case c.op == softReset:
		return append(ev, frame.Event{Kind: frame.Done, Err: m.end(ErrSoftReset)}), nil
	case c.op != ack && !begins:
		ev = m.take(ev, b, &c)
	}
	return m.answer(ev)
}

// belongs reports whether c is of this session, or begins it; an error says that it does neither.
func (m *machine) belongs(c *packet) (begins bool, err error) {
	_, keyed := m.guard.(*keyedGuard)
	switch {
	case c.op.isReset() && (c.op == resetServer) != (m.role == frame.Client):
		return false, errRole
	case (c.op == resetClientV3 || c.op == controlWKC) && !keyed:
		return false, errOpcode
	case (c.op == softReset) != (c.key != 0):
		return false, errKey
	case c.session == m.peer:
		return false, nil
	case c.op.isReset() && !m.open:
		return true, nil
	case m.peer == (sessionID{}):
		return false, errNone
	}
	return false, errSession
}

// unwrap decrypts and authenticates a packet and parses the rest of it. b loses what may be behind the packet.
func (m *machine) unwrap(c *packet, b *frame.Buf, begins bool) (stamp, error) {
	p := b.Bytes()
	guard := headerLen + m.guard.overhead()
	if len(p) < guard {
		return stamp{}, errShort
	}
	body, s, err := m.guard.open(p, begins)
	if err != nil {
		return s, err
	}
	b.TrimBack(len(p) - guard - len(body))
	if err := c.parseBody(body); err != nil {
		return s, err
	}
	if c.op.isReset() && c.id != 0 {
		return s, errReset
	}
	if c.acks != nil && c.peer != m.own {
		return s, errSession
	}
	for ids := c.acks; len(ids) > 0; ids = ids[idLen:] {
		if binary.BigEndian.Uint32(ids) >= m.out.next {
			return s, errUnsent
		}
	}
	if guard > headerLen && s.id == 0 {
		return s, errReplay
	}
	return s, nil
}

// isNew reports whether a packet with this stamp comes for the first time.
func (m *machine) isNew(s stamp, begins bool) bool {
	if m.guard.overhead() == 0 {
		return true
	}
	if begins {
		m.seen = replayWindow{}
	}
	return m.seen.accept(s)
}

// meet begins a session with the peer that has sent the reset c. At a server the latest peer takes the place of one
// that has not proved where it is: anybody may have sent that reset.
func (m *machine) meet(ev []frame.Event, c *packet) []frame.Event {
	m.peer = c.session
	m.guard.begin()
	m.in = receiver{next: 1} // nothing was kept of a peer that has proved nothing
	m.in.note(0)
	if m.role == frame.Client {
		m.open = true
		return ev
	}
	if m.out.count == 0 {
		return m.transmit(ev, m.out.push(resetServer, nil, m.now.Add(m.timeout)))
	}
	return m.transmit(ev, &m.out.unacked[0])
}

// prove opens a server's session if its reset has been acknowledged, which only who got it can do, unless its key is
// refused. If it has not, the reset is sent again: one packet for one.
func (m *machine) prove(ev []frame.Event) []frame.Event {
	if m.open = m.out.count == 0; m.open {
		m.checkKey()
		return ev
	}
	m.counters.Repeated.Add(1)
	return m.transmit(ev, &m.out.unacked[0])
}

// answer sends what a packet of the peer made possible or necessary, and acknowledges it in any case.
func (m *machine) answer(ev []frame.Event) ([]frame.Event, error) {
	ev, err := m.pump(m.resend(ev))
	if err == nil && m.in.due {
		ev = m.emit(ev, ack, 0, nil)
	}
	return ev, err
}
