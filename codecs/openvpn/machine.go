package openvpn

import (
	"encoding/binary"
	"time"

	"github.com/encase-tls/encase/frame"
)

// machine is one end of a connection, over datagrams.
type machine struct {
	role     frame.Role
	prefix   int // bytes of length in front of a packet
	payload  int // TLS bytes in a packet that is sent, at most
	timeout  time.Duration
	counters *Counters
	guard    guard
	maxAge   time.Duration        // of Options
	verify   func(Metadata) error // of Options
	wrapped  []byte               // the client's key for the server, with tls-crypt-v2
	stamp    stamp                // of the packet that was sent last
	seen     replayWindow

	own, peer sessionID // peer is zero as long as it is not known
	open      bool      // the peer is known, and has proved that it gets what is sent to it
	started   bool
	now       time.Time
	out       sender
	in        receiver
	failed    error // what ended the connection
}

// stream is one end of a connection over a stream.
type stream struct{ *machine }

var (
	_ frame.Timed      = (*machine)(nil)
	_ frame.Backlogger = (*machine)(nil)
	_ frame.SideSender = (*machine)(nil)
	_ frame.Delimiter  = (*stream)(nil)
)

// Limits implements [frame.Machine]. What Send takes is copied: it needs no room around it.
func (m *machine) Limits() frame.Limits { return frame.Limits{Max: maxFrame} }

// Start implements [frame.Machine]. A client that has not been told the time, which some packets hold, begins when it
// is.
func (m *machine) Start(ev []frame.Event) ([]frame.Event, error) {
	m.started = true
	return m.begin(ev), nil
}

// begin sends the client's first packet.
func (m *machine) begin(ev []frame.Event) []frame.Event {
	if !m.beginning() || m.now.IsZero() {
		return ev
	}
	op := resetClient
	if m.wrapped != nil {
		op = resetClientV3
	}
	return m.transmit(ev, m.out.push(op, nil, m.now.Add(m.timeout)))
}

func (m *machine) beginning() bool { return m.started && m.role == frame.Client && m.out.next == 0 }

// Send implements [frame.Machine].
func (m *machine) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	if b != nil {
		defer b.Release()
		if b.Len() > maxFrame {
			return ev, errTooLong
		}
	}
	if m.failed != nil {
		return ev, m.failed
	}
	if b != nil {
		m.out.add(b.Bytes())
	}
	if flush {
		m.out.flush()
	}
	return m.pump(ev)
}

// SendSide implements [frame.SideSender].
func (m *machine) SendSide(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p := b.Bytes()
	op := opcode(0)
	if len(p) > 0 {
		op = opcode(p[0] >> opcodeShift)
	}
	var err error
	switch {
	case op != dataV1 && op != dataV2:
		err = errNotData
	case len(p) > maxFrame-lengthLen:
		err = errTooLong
	default:
		err = m.failed
	}
	if err != nil {
		b.Release()
		return ev, err
	}
	if m.prefix == 0 {
		return append(ev, frame.Event{Kind: frame.Out, Buf: b}), nil
	}
	out := frame.Get(0, lengthLen+len(p))
	binary.BigEndian.PutUint16(out.Append(lengthLen), uint16(len(p)))
	copy(out.Append(len(p)), p)
	b.Release()
	return append(ev, frame.Event{Kind: frame.Out, Buf: out}), nil
}

// FrameLen implements [frame.Delimiter].
func (s *stream) FrameLen(p []byte) (int, error) {
	if len(p) < lengthLen {
		return 0, nil
	}
	return lengthLen + int(binary.BigEndian.Uint16(p)), nil
}

// Recv implements [frame.Machine]. A packet that is refused changes nothing: over datagrams it is as if it had been
// lost.
func (m *machine) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	if m.failed != nil {
		return ev, nil // it is over, and who holds the machine knows
	}
	if p := b.Bytes(); m.prefix > 0 {
		if len(p) < lengthLen || int(binary.BigEndian.Uint16(p)) != len(p)-lengthLen {
			return ev, errLength
		}
		b.TrimFront(lengthLen)
	}
	p := b.Bytes()
	if len(p) == 0 {
		return ev, errShort
	}
	switch opcode(p[0] >> opcodeShift) {
	case dataV1, dataV2:
		if !m.open {
			return ev, errNone
		}
		return append(ev, frame.Event{Kind: frame.Side, Buf: b}), nil
	case softReset, control, ack, resetClient, resetServer, resetClientV3, controlWKC:
		return m.recvControl(ev, b)
	}
	return ev, errOpcode
}

// Backlog implements [frame.Backlogger].
func (m *machine) Backlog() int { return m.out.backlog() }

// clocked reports whether anything is sent by the clock. A server whose client has proved nothing waits for that,
// unless it has something to say, which in TLS it has not.
func (m *machine) clocked() bool { return m.open || m.role == frame.Client || m.out.backlog() > 0 }

// Deadline implements [frame.Timed].
func (m *machine) Deadline() (at time.Time, ok bool) {
	if m.beginning() {
		return m.now, true
	}
	if !m.clocked() {
		return at, false
	}
	for _, e := range m.out.window() {
		next := e.again
		if e.until.Before(next) {
			next = e.until
		}
		if !ok || next.Before(at) {
			at, ok = next, true
		}
	}
	return at, ok
}

// Tick implements [frame.Timed].
func (m *machine) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	m.now = now
	if m.failed != nil {
		return ev, nil
	}
	if ev = m.begin(ev); !m.clocked() {
		return ev, nil
	}
	for _, e := range m.out.window() {
		if !now.Before(e.until) {
			return ev, m.end(ErrTimeout)
		}
	}
	return m.resend(ev), nil
}

// end ends the connection.
func (m *machine) end(err error) error {
	m.failed = err
	m.out.drop()
	m.in.drop()
	return err
}
