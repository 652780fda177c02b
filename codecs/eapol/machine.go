package eapol

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

const headerLen = 4

// Types of frames.
const (
	typeEAP    = 0
	typeStart  = 1
	typeLogoff = 2
)

// A machine is one end. A client that says logoff is a leaver besides.
type machine struct {
	eap     *eap.Machine
	role    frame.Role
	version byte
	again   time.Duration
	asking  bool // client: no server has begun yet
	askAt   time.Time
	now     time.Time
}

// A leaver says logoff at the end.
type leaver struct{ *machine }

// End implements [frame.Ender].
func (l leaver) End(ev []frame.Event) ([]frame.Event, error) {
	return append(ev, l.control(typeLogoff)), nil
}

func newMachine(o *Options, role frame.Role) (frame.Machine, error) {
	inner, err := eap.NewMachine(o.EAP, role)
	if err != nil {
		return nil, err
	}
	m := &machine{eap: inner, role: role, version: o.Version, again: o.Start}
	if o.Logoff && role == frame.Client {
		return leaver{m}, nil
	}
	return m, nil
}

// Limits implements [frame.Machine].
func (m *machine) Limits() frame.Limits { return m.eap.Limits() }

// Backlog implements [frame.Backlogger].
func (m *machine) Backlog() int { return m.eap.Backlog() }

// Awaits implements [frame.Awaiter].
func (m *machine) Awaits() bool { return m.eap.Awaits() }

// LimitTLS implements wrap.TLSLimiter.
func (m *machine) LimitTLS(cfg *tls.Config, role frame.Role) { m.eap.LimitTLS(cfg, role) }

// Start implements [frame.Machine].
func (m *machine) Start(ev []frame.Event) ([]frame.Event, error) {
	n := len(ev)
	ev, err := m.eap.Start(ev)
	ev = m.carry(ev, n)
	if err == nil && m.role == frame.Client {
		m.asking = true
		ev = m.ask(ev)
	}
	return ev, err
}

// ask asks the server to begin.
func (m *machine) ask(ev []frame.Event) []frame.Event {
	if m.askAt = (time.Time{}); !m.now.IsZero() {
		m.askAt = m.now.Add(m.again)
	}
	return append(ev, m.control(typeStart))
}

// control returns a frame without an EAP packet.
func (m *machine) control(typ byte) frame.Event {
	b := frame.Get(headerLen, 0)
	m.header(b, typ)
	return frame.Event{Kind: frame.Out, Buf: b}
}

func (m *machine) header(b *frame.Buf, typ byte) {
	n := b.Len()
	head := b.Prepend(headerLen)
	head[0], head[1] = m.version, typ
	binary.BigEndian.PutUint16(head[2:], uint16(n))
}

// Send implements [frame.Machine].
func (m *machine) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	n := len(ev)
	ev, err := m.eap.Send(ev, b, flush)
	return m.carry(ev, n), err
}

// carry makes frames of the EAP packets among ev[from:], which have room for a header.
func (m *machine) carry(ev []frame.Event, from int) []frame.Event {
	for _, e := range ev[from:] {
		switch {
		case e.Kind == frame.Done:
			m.asking = false
		case e.Kind == frame.Out:
			m.header(e.Buf, typeEAP)
		}
	}
	return ev
}

// Recv implements [frame.Machine].
func (m *machine) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p := b.Bytes()
	if len(p) < headerLen {
		return ev, errShort
	}
	n := int(binary.BigEndian.Uint16(p[2:]))
	server := m.role == frame.Server
	switch typ := p[1]; {
	case headerLen+n > len(p):
		return ev, errLength
	case p[0] == 0:
		return ev, errVersion
	case typ == typeEAP:
		b.TrimFront(headerLen)
		b.TrimBack(b.Len() - n)
		return m.recvEAP(ev, b)
	case typ > typeLogoff:
		return append(ev, frame.Event{Kind: frame.Side, Buf: b}), nil
	case !server:
		return ev, errClient
	case typ == typeStart:
		from := len(ev)
		return m.carry(m.eap.Begin(ev), from), nil
	}
	return m.recvLogoff(ev), nil
}

// recvLogoff ends the exchange, if it is not over. That the client leaves is its right, and no error of the connection.
func (m *machine) recvLogoff(ev []frame.Event) []frame.Event {
	n := len(ev)
	ev = m.carry(m.eap.Fail(ev, ErrLogoff), n)
	if last := len(ev) - 1; last >= n && ev[last].Kind == frame.Done {
		ev[last].Err = nil
		return ev
	}
	return append(ev, frame.Event{Kind: frame.Done})
}

func (m *machine) recvEAP(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	n := len(ev)
	ev, err := m.eap.Recv(ev, b)
	if err == nil {
		m.asking = false
	}
	return m.carry(ev, n), err
}

// OnHandshake implements wrap.HandshakeObserver.
func (m *machine) OnHandshake(ev []frame.Event, state *tls.ConnectionState) ([]frame.Event, error) {
	n := len(ev)
	ev, err := m.eap.OnHandshake(ev, state)
	return m.carry(ev, n), err
}

// Deadline implements [frame.Timed].
func (m *machine) Deadline() (time.Time, bool) {
	at, ok := m.eap.Deadline()
	if m.asking && (!ok || m.askAt.Before(at)) {
		return m.askAt, true
	}
	return at, ok
}

// Tick implements [frame.Timed].
func (m *machine) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	m.now = now
	n := len(ev)
	ev, err := m.eap.Tick(ev, now)
	ev = m.carry(ev, n)
	if err != nil || !m.asking {
		return ev, err
	}
	if m.askAt.IsZero() {
		m.askAt = now.Add(m.again)
	}
	if now.Before(m.askAt) {
		return ev, nil
	}
	return m.ask(ev), nil
}

// ErrLogoff is the outcome of an exchange when the client has left the network before its end.
var ErrLogoff = errors.New("eapol: the client logs off")

// Errors of bytes that came from the LAN are made once, so that a flood of them allocates nothing. They leave the
// exchange as it was.
var (
	errShort   = malformed("shorter than its header")
	errLength  = malformed("not as long as it says")
	errVersion = malformed("version 0")
	errClient  = malformed("a frame for the other end")
)

func malformed(what string) error { return fmt.Errorf("eapol: %w: %s", frame.ErrMalformed, what) }
