package eap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/encase-tls/encase/frame"
)

// maxPayload bounds what Send takes at once.
const maxPayload = 1 << 16

// maxIdle is how often in a row both ends may have nothing to say.
const maxIdle = 64

// How far an exchange is.
type state uint8

const (
	begin  state = iota
	asked        // the server has asked for the identity
	method       // EAP-TLS is under way
	over
)

// A Machine is one end of an authentication. Besides the methods of [frame.Machine], [frame.Timed], [frame.Backlogger]
// and [frame.Awaiter] it has OnHandshake and LimitTLS, which package wrap looks for, and a few for protocols that carry
// EAP. They must call it as they are called themselves.
type Machine struct {
	o      Options
	role   frame.Role
	now    time.Time
	clock  clock
	state  state
	turn   bool   // it is for this end to send
	id     byte   // of the last request
	last   []byte // the packet that was sent last, to be sent again
	recent recent // requests that the peer has had
	idle   int    // packets without data, in a row
	begun  bool   // server: the start has been answered
	ended  error  // how it is over, nil for success

	out   sender
	in    assembly
	view  frame.Buf // of a flight that has come in fragments
	hello hellos

	established bool   // TLS is
	version     uint16 // of TLS
	confirming  bool   // server: the confirmation is on its way, or goes without saying
	after       int    // peer: flights since TLS is established
	refused     error  // server: why there will be no success
	result      Result
}

var (
	_ frame.Timed      = (*Machine)(nil)
	_ frame.Backlogger = (*Machine)(nil)
	_ frame.Awaiter    = (*Machine)(nil)
)

func newMachine(o Options, role frame.Role) *Machine {
	m := &Machine{o: o, role: role}
	if role == frame.Client {
		m.result.Identity = o.Identity
	}
	return m
}

// Limits implements [frame.Machine]. What Send takes is copied: it needs no room around it.
func (m *Machine) Limits() frame.Limits { return frame.Limits{Max: maxPayload} }

// LimitMTU makes the longest packet that is sent no longer than n bytes, if n is a length that is allowed at all.
func (m *Machine) LimitMTU(n int) {
	if n >= minMTU {
		m.o.MTU = min(m.o.MTU, n)
	}
}

// Start implements [frame.Machine]. A server that is no backend asks for the identity.
func (m *Machine) Start(ev []frame.Event) ([]frame.Event, error) {
	if err := m.o.Exchange.start(m.role); err != nil {
		return ev, err
	}
	if m.role == frame.Server && !m.o.Backend {
		return m.Begin(ev), nil
	}
	m.await()
	return ev, nil
}

// Begin makes a server ask for the identity, once more if it has asked already. Later it does nothing: TLS cannot be
// begun anew.
func (m *Machine) Begin(ev []frame.Event) []frame.Event {
	switch {
	case m.role != frame.Server:
		return ev
	case m.state == asked:
		return m.again(ev)
	case m.state != begin:
		return ev
	}
	m.state = asked
	m.id++
	return m.transmit(ev, newPacket(CodeRequest, m.id, typeIdentity, nil))
}

// Send implements [frame.Machine]. EAP-TLS carries no data: what comes after the end is refused.
func (m *Machine) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	if b != nil {
		defer b.Release()
		switch {
		case b.Len() > maxPayload:
			return ev, errTooLarge
		case m.state == over && b.Len() > 0:
			return ev, m.overError()
		}
		m.hello.sent(b.Bytes())
		m.out.add(b.Bytes())
		m.confirming = m.confirming || m.established && m.o.Exchange.confirms()
	}
	if flush {
		m.out.flush()
	}
	return m.proceed(ev), nil
}

func (m *Machine) overError() error {
	if m.ended != nil {
		return m.ended
	}
	return errOver
}

// Recv implements [frame.Machine]. A packet that may be anybody's is refused, and changes nothing.
func (m *Machine) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	if m.state == over {
		return ev, nil
	}
	p, err := parse(b.Bytes())
	switch {
	case err != nil:
		return ev, err
	case m.role == frame.Server:
		return m.recvResponse(ev, b, p)
	case p.code == CodeRequest:
		return m.recvRequest(ev, b, p)
	case p.code == CodeResponse:
		return ev, errCode
	}
	return m.recvResult(ev, p)
}

// transmit sends a packet that is to be answered.
func (m *Machine) transmit(ev []frame.Event, b *frame.Buf) []frame.Event {
	m.last = append(m.last[:0], b.Bytes()...)
	m.turn = false
	m.await()
	return append(ev, frame.Event{Kind: frame.Out, Buf: b})
}

// again sends the last packet once more.
func (m *Machine) again(ev []frame.Event) []frame.Event {
	b := frame.Get(lowerRoom, len(m.last))
	copy(b.Append(len(m.last)), m.last)
	return append(ev, frame.Event{Kind: frame.Out, Buf: b})
}

// Fail ends an exchange that is not over, for a reason that the protocol below has found: err. A server says failure.
func (m *Machine) Fail(ev []frame.Event, err error) []frame.Event {
	if m.state == over {
		return ev
	}
	return m.fail(ev, err)
}

// fail ends the exchange. A server says so if it may.
func (m *Machine) fail(ev []frame.Event, err error) []frame.Event {
	if m.role == frame.Server && m.state != begin {
		ev = append(ev, frame.Event{Kind: frame.Out, Buf: newPacket(CodeFailure, m.id, 0, nil)})
	}
	return m.finish(ev, err)
}

// finish ends the exchange; err is nil for success.
func (m *Machine) finish(ev []frame.Event, err error) []frame.Event {
	m.state, m.turn, m.ended = over, false, err
	m.clock.stop()
	m.out, m.in, m.last = sender{}, assembly{}, nil
	m.o.Exchange.finish(&m.result, err)
	return append(ev, frame.Event{Kind: frame.Done, Err: err})
}

// Backlog implements [frame.Backlogger].
func (m *Machine) Backlog() int { return m.out.backlog() }

// Awaits implements [frame.Awaiter]: whatever TLS comes to, the server has the last word. Until then its requests may
// come again, and the peer's answer to an alert is still to come.
func (m *Machine) Awaits() bool { return m.state == method && !m.turn }

// LimitTLS makes TLS 1.2 the least version.
// https://www.rfc-editor.org/rfc/rfc9190.html#section-2.4
func (m *Machine) LimitTLS(cfg *tls.Config, _ frame.Role) {
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
}

// How an exchange may end without a malformed packet.
var (
	// ErrFailure says that the server has refused the peer. What it says itself about that, if anything, is an alert
	// of TLS.
	ErrFailure = errors.New("eap: the server says failure")

	// ErrSilent says that the other end has not answered in time.
	ErrSilent = errors.New("eap: the other end does not answer; is it there?")

	// ErrAlert says that TLS has failed, at one end or the other, which has said so in an alert.
	ErrAlert = errors.New("eap: the TLS handshake has failed")

	// ErrMethod says that the peer wants to authenticate in another way than EAP-TLS.
	ErrMethod = errors.New("eap: the peer does not want EAP-TLS")

	// ErrUnconfirmed says that the server has not confirmed success inside TLS, as it must with TLS 1.3.
	// https://www.rfc-editor.org/rfc/rfc9190.html#section-2.5
	ErrUnconfirmed = errors.New("eap: the server says success but has not confirmed it inside TLS")
)

var (
	errTooLarge = fmt.Errorf("eap: %w", frame.ErrTooLarge)
	errOver     = errors.New("eap: the exchange is over; EAP-TLS carries no data")
)
