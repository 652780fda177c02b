package radius

import (
	"crypto/tls"
	"time"

	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

// A machine is what client and server have in common: the exchange of EAP, the packets of which they carry.
type machine struct {
	signer
	eap   *eap.Machine
	carry func(ev []frame.Event, from int) []frame.Event // puts EAP packets among ev[from:] into RADIUS packets
	now   time.Time
	last  []byte    // the RADIUS packet that was sent last
	inner []byte    // the EAP packet that came last
	view  frame.Buf // of it
}

func newBase(o *Options, role frame.Role) (machine, error) {
	inner, err := eap.NewMachine(o.EAP, role)
	return machine{signer: newSigner(o.Secret), eap: inner}, err
}

// Limits implements [frame.Machine].
func (m *machine) Limits() frame.Limits { return m.eap.Limits() }

// Backlog implements [frame.Backlogger].
func (m *machine) Backlog() int { return m.eap.Backlog() }

// Awaits implements [frame.Awaiter].
func (m *machine) Awaits() bool { return m.eap.Awaits() }

// LimitTLS implements wrap.TLSLimiter.
func (m *machine) LimitTLS(cfg *tls.Config, role frame.Role) { m.eap.LimitTLS(cfg, role) }

// Send implements [frame.Machine].
func (m *machine) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	n := len(ev)
	ev, err := m.eap.Send(ev, b, flush)
	return m.carry(ev, n), err
}

// OnHandshake implements wrap.HandshakeObserver.
func (m *machine) OnHandshake(ev []frame.Event, state *tls.ConnectionState) ([]frame.Event, error) {
	n := len(ev)
	ev, err := m.eap.OnHandshake(ev, state)
	return m.carry(ev, n), err
}

// Deadline implements [frame.Timed].
func (m *machine) Deadline() (time.Time, bool) { return m.eap.Deadline() }

// Tick implements [frame.Timed].
func (m *machine) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	m.now = now
	n := len(ev)
	ev, err := m.eap.Tick(ev, now)
	return m.carry(ev, n), err
}

// recvEAP gives EAP the packet in m.inner.
func (m *machine) recvEAP(ev []frame.Event) ([]frame.Event, error) {
	n := len(ev)
	m.view.Borrow(m.inner, 0, len(m.inner))
	ev, err := m.eap.Recv(ev, &m.view)
	return m.carry(ev, n), err
}

// send sends a packet and keeps a copy.
func (m *machine) remember(d draft) *frame.Buf {
	m.last = append(m.last[:0], d.Bytes()...)
	return d.Buf
}

// again sends the last packet once more.
func (m *machine) again(ev []frame.Event) []frame.Event {
	b := frame.Get(0, len(m.last))
	copy(b.Append(len(m.last)), m.last)
	return append(ev, frame.Event{Kind: frame.Out, Buf: b})
}
