package eap

import (
	"bytes"
	"crypto/tls"

	"github.com/encase-tls/encase/frame"
)

// maxStale is how far behind the last identifier that of a response may be that comes too late: it is ignored. Others
// are wrong.
const maxStale = 8

// recvResponse takes a packet that the peer sent.
func (m *Machine) recvResponse(ev []frame.Event, b *frame.Buf, p packet) ([]frame.Event, error) {
	switch {
	case p.code != CodeResponse:
		return ev, errCode
	case m.state == begin && m.o.Backend && p.typ == typeIdentity:
		m.state, m.id = asked, p.id // somebody else has asked
	case p.id != m.id && m.id-p.id > maxStale, m.state == begin:
		return ev, errIdentifier
	case p.id != m.id, m.turn:
		return ev, nil // it has come before
	}
	switch {
	case m.state == asked && p.typ == typeIdentity:
		return m.identified(ev, p), nil
	case m.state == method && p.typ == typeTLS:
		f, ok := p.fragment()
		switch {
		case !ok:
			return ev, errShort
		case f.flags&flagStart != 0:
			return ev, errRestart
		}
		m.begun = true
		return m.recvTLS(ev, b, f)
	case m.state == method && !m.begun && (p.typ == typeNak || p.typ == typeExpanded):
		return m.fail(ev, ErrMethod), nil
	}
	return ev, errType
}

// identified takes the identity and starts EAP-TLS. What follows a NUL is not part of a name.
func (m *Machine) identified(ev []frame.Event, p packet) []frame.Event {
	name, _, _ := bytes.Cut(p.data, []byte{0})
	m.result.Identity = string(name)
	m.state = method
	return m.sendTLS(ev, flagStart, 0, nil)
}

// decide says what becomes of the peer, when TLS is established and it is the server's turn.
func (m *Machine) decide(ev []frame.Event) []frame.Event {
	switch {
	case m.out.due():
		return m.sendFragment(ev)
	case m.refused != nil:
		return m.fail(ev, m.refused)
	case m.version >= tls.VersionTLS13 && !m.confirming:
		return ev // whoever uses TLS has to
	}
	ev = append(ev, frame.Event{Kind: frame.Out, Buf: newPacket(CodeSuccess, m.id, 0, nil)})
	return m.finish(ev, nil)
}
