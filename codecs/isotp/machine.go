package isotp

import (
	"fmt"
	"time"

	"github.com/encase-tls/encase/frame"
)

// maxPayload bounds what is handed over at once. It may be more than a message.
const maxPayload = 1 << 16

// The first four bits of a frame's data.
const (
	single = iota
	first
	consecutive
	flowControl
)

// Flow control says.
const (
	goOn = iota
	wait
	overflow
)

// machine is one end of a connection.
type machine struct {
	bus
	role     frame.Role
	own      uint32 // identifiers: this end's
	peer     uint32
	max      int // longest message
	timeout  time.Duration
	half     bool
	now      time.Time
	sending  sender
	incoming receiver
	failed   error // what ended it
}

var (
	_ frame.Delimiter  = (*machine)(nil)
	_ frame.Timed      = (*machine)(nil)
	_ frame.Backlogger = (*machine)(nil)
)

func newMachine(o *Options, role frame.Role) *machine {
	m := &machine{bus: newBus(o), role: role, own: o.ClientID, peer: o.ServerID, max: o.Max, timeout: o.Timeout,
		half: o.HalfDuplex}
	if role == frame.Server {
		m.own, m.peer = m.peer, m.own
	}
	m.incoming.blockSize = int(o.BlockSize)
	m.incoming.separation, _ = encodeSeparation(o.Separation)
	return m
}

// Limits implements [frame.Machine]. What Send takes is copied: it needs no room around it.
func (m *machine) Limits() frame.Limits { return frame.Limits{Max: maxPayload} }

// Start implements [frame.Machine].
func (m *machine) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }

// Send implements [frame.Machine].
func (m *machine) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	if b != nil {
		defer b.Release()
		if b.Len() > maxPayload {
			return ev, errTooLarge
		}
	}
	if m.failed != nil {
		return ev, m.failed
	}
	if b != nil {
		m.sending.add(b.Bytes())
	}
	if flush {
		m.sending.flush()
	}
	return m.begin(ev), nil
}

// FrameLen implements [frame.Delimiter]: all frames have the same length.
func (m *machine) FrameLen([]byte) (int, error) { return m.unit, nil }

// Recv implements [frame.Machine].
func (m *machine) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	id, data, ok := m.parse(b.Bytes())
	switch {
	case m.failed != nil:
		return ev, m.failed
	case !ok:
		return ev, m.fail(errUnit)
	case id != m.peer:
		return append(ev, frame.Event{Kind: frame.Side, Buf: b}), nil
	case len(data) == 0:
		return ev, m.fail(errShort)
	}
	var err error
	switch data[0] >> 4 {
	case single:
		ev, err = m.recvSingle(ev, b, data)
	case first:
		ev, err = m.recvFirst(ev, data)
	case consecutive:
		ev, err = m.recvConsecutive(ev, data)
	case flowControl:
		ev, err = m.recvFlowControl(ev, data)
	default:
		err = errKind
	}
	if err != nil {
		return ev, m.fail(err)
	}
	return ev, nil
}

// out sends a frame.
func (m *machine) out(ev []frame.Event, header, data []byte) []frame.Event {
	return append(ev, frame.Event{Kind: frame.Out, Buf: m.frame(m.own, header, data)})
}

// fail ends the machine.
func (m *machine) fail(err error) error {
	m.failed = err
	m.incoming.drop()
	m.sending = sender{}
	return err
}

// Backlog implements [frame.Backlogger].
func (m *machine) Backlog() int { return m.sending.backlog() }

// Deadline implements [frame.Timed].
func (m *machine) Deadline() (time.Time, bool) {
	at, ok := m.sending.deadline()
	if m.incoming.active() && (!ok || m.incoming.until.Before(at)) {
		return m.incoming.until, true
	}
	return at, ok
}

// Tick implements [frame.Timed].
func (m *machine) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	m.now = now
	switch {
	case m.failed != nil:
		return ev, nil
	case m.incoming.active() && !now.Before(m.incoming.until):
		return ev, m.fail(errNoFrame)
	case m.sending.state == awaiting && !now.Before(m.sending.until):
		return ev, m.fail(errNoFlowControl)
	}
	return m.pump(ev), nil
}

// What the peer does too late is no malformed frame.
var (
	errNoFlowControl = fmt.Errorf("isotp: the peer sends no flow control in time; is it there?")
	errNoFrame       = fmt.Errorf("isotp: the peer stops in the middle of a message")
	errTooLarge      = fmt.Errorf("isotp: %w", frame.ErrTooLarge)
)

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errUnit     = malformed("no frame of this kind of CAN bus")
	errShort    = malformed("shorter than its header")
	errKind     = malformed("of an unknown kind")
	errSingle   = malformed("a single frame with an impossible length")
	errFirst    = malformed("a first frame with an impossible length")
	errLong     = malformed("a message longer than max")
	errLost     = malformed("a consecutive frame is missing")
	errShortCF  = malformed("a consecutive frame is short, and not the last")
	errStatus   = malformed("unknown flow control")
	errOverflow = malformed("the peer has no room for a message as long as that; max is too much for it")
	errWaits    = malformed("the peer asks to wait again and again")
)

func malformed(what string) error { return fmt.Errorf("isotp: %w: %s", frame.ErrMalformed, what) }
