package eap

import (
	"crypto/tls"
	"hash/crc32"

	"github.com/encase-tls/encase/frame"
)

// recent is a memory of the last requests, by which those that come again or too late are known. A server may use an
// identifier for another request, and some do: what it asks counts, too.
type recent struct {
	requests [4]request
	count    int
}

type request struct {
	id  byte
	sum uint32
}

func requestOf(b []byte, p packet) request {
	return request{p.id, crc32.ChecksumIEEE(b[:headerLen+len(p.data)])}
}

// age returns how many requests have come since q, -1 if that is not known.
func (r *recent) age(q request) int {
	for age := range min(r.count, len(r.requests)) {
		if r.requests[(r.count-1-age)%len(r.requests)] == q {
			return age
		}
	}
	return -1
}

func (r *recent) add(q request) {
	r.requests[r.count%len(r.requests)] = q
	r.count++
}

// recvRequest takes a request of the server.
func (m *Machine) recvRequest(ev []frame.Event, b *frame.Buf, p packet) ([]frame.Event, error) {
	q := requestOf(b.Bytes(), p)
	switch age := m.recent.age(q); {
	case age == 0 && !m.turn:
		return m.again(ev), nil
	case age >= 0:
		return ev, nil
	case m.turn:
		return ev, errTurn
	}
	switch {
	case p.typ == typeTLS:
		return m.recvRequestTLS(ev, b, p, q)
	case p.typ == typeNotification:
		return m.respond(ev, q, typeNotification, nil), nil
	case p.typ == typeIdentity && m.state != method:
		return m.respond(ev, q, typeIdentity, []byte(m.o.Identity)), nil
	case m.state != method && p.typ != typeNak:
		return m.respond(ev, q, typeNak, []byte{typeTLS}), nil
	}
	return ev, errType
}

// respond answers a request that is not one of EAP-TLS.
func (m *Machine) respond(ev []frame.Event, q request, typ byte, data []byte) []frame.Event {
	m.accept(q)
	return m.transmit(ev, newPacket(CodeResponse, m.id, typ, data))
}

func (m *Machine) accept(q request) {
	m.recent.add(q)
	m.id = q.id
}

// recvRequestTLS takes a request of EAP-TLS. The first is a start.
func (m *Machine) recvRequestTLS(ev []frame.Event, b *frame.Buf, p packet, q request) ([]frame.Event, error) {
	f, ok := p.fragment()
	start := f.flags&flagStart != 0
	switch {
	case !ok:
		return ev, errShort
	case start && m.state == method:
		return ev, errRestart
	case !start && m.state != method:
		return ev, errNoStart
	}
	m.accept(q)
	if !start {
		return m.recvTLS(ev, b, f)
	}
	m.state, m.turn = method, true
	m.clock.stop()
	if !m.hello.seen() {
		m.poll()
	}
	return m.proceed(ev), nil
}

// recvResult takes success or failure. They have the identifier of the last response, or, from some servers, the next.
// https://www.rfc-editor.org/rfc/rfc3748.html#section-4.2
func (m *Machine) recvResult(ev []frame.Event, p packet) ([]frame.Event, error) {
	switch {
	case m.recent.count == 0 || p.id != m.id && p.id != m.id+1:
		return ev, errStranger
	case p.code == CodeFailure && m.o.Exchange.isConfirmed():
		return ev, errLate
	case p.code == CodeFailure:
		return m.finish(ev, ErrFailure), nil
	case !m.established || m.turn || m.out.partial(), m.version >= tls.VersionTLS13 && m.after == 0:
		return ev, errEarly
	}
	return m.finish(ev, nil), nil
}
