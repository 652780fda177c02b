package wrap_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A lockstep is a frame.Machine that does what a Codec cannot: it cuts a flight into fragments and sends one at a
// time, in the manner of EAP-TLS.
// https://www.rfc-editor.org/rfc/rfc5216#section-2.1.5
//
//	| type 13 | id | flags | length 2 | total 4, if flags has L | data |
//
// length counts what follows it. The first of several fragments of a flight has the flag L and says how long the flight
// is; all but the last have M, more follow. Each fragment is acknowledged by an empty frame with its id before the next
// one goes. A frame of type 4 ends it all.
//
// Over a carrier that loses frames it also needs a clock: see arq.
type lockstep struct {
	mtu int // the longest frame

	gathered []byte   // of a flight that has not ended
	flights  [][]byte // that have ended, in order
	sent     int      // bytes of flights[0] that were sent
	waiting  bool     // for an acknowledgement
	id       byte     // of the fragment sent last

	expected byte // id of the next fragment of the peer
	missing  int  // bytes of its flight that are to come; 0 between flights

	lossy bool // frames may come twice
}

const (
	lockstepData, lockstepEnd = 13, 4
	flagLength, flagMore      = 0x80, 0x40
	lockstepHeader            = 5
	lockstepTotal             = 4
	lockstepMaxFlight         = 1 << 20
)

// lockstepMaker returns a Maker of locksteps for a carrier that loses nothing.
func lockstepMaker(mtu int) frame.Maker {
	return func(frame.Role) (frame.Machine, error) { return &lockstep{mtu: mtu, expected: 1}, nil }
}

func lockstepError(format string, args ...any) error {
	return fmt.Errorf("lockstep: %w: %s", frame.ErrMalformed, fmt.Sprintf(format, args...))
}

// Limits implements frame.Machine. The bytes are copied into fragments, so they need no room around them.
func (m *lockstep) Limits() frame.Limits { return frame.Limits{Max: 64 << 10} }

// Start implements frame.Machine.
func (m *lockstep) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }

// Send implements frame.Machine. Only when the flight is complete its length is known, and the first fragment can go.
func (m *lockstep) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	if b != nil {
		m.gathered = append(m.gathered, b.Bytes()...)
		b.Release()
	}
	if (flush || len(m.gathered) >= lockstepMaxFlight/2) && len(m.gathered) > 0 {
		m.flights = append(m.flights, m.gathered)
		m.gathered = nil
	}
	return m.next(ev), nil
}

// next sends one fragment, if it is this end's turn and there is something.
func (m *lockstep) next(ev []frame.Event) []frame.Event {
	if m.waiting || len(m.flights) == 0 {
		return ev
	}
	flight := m.flights[0]
	rest := flight[m.sent:]
	var flags byte
	header := lockstepHeader
	if m.sent == 0 && len(rest) > m.mtu-header {
		flags |= flagLength
		header += lockstepTotal
	}
	data := rest[:min(len(rest), m.mtu-header)]
	if m.sent += len(data); m.sent < len(flight) {
		flags |= flagMore
	} else {
		m.flights, m.sent = m.flights[1:], 0
	}
	m.id++
	m.waiting = true
	return append(ev, frame.Event{Kind: frame.Out, Buf: lockstepFrame(lockstepData, m.id, flags, len(flight), data)})
}

func lockstepFrame(typ, id, flags byte, total int, data []byte) *frame.Buf {
	b := frame.Get(lockstepHeader+lockstepTotal, len(data))
	copy(b.Append(len(data)), data)
	if flags&flagLength != 0 {
		binary.BigEndian.PutUint32(b.Prepend(lockstepTotal), uint32(total))
	}
	length := b.Len()
	header := b.Prepend(lockstepHeader)
	header[0], header[1], header[2] = typ, id, flags
	binary.BigEndian.PutUint16(header[3:], uint16(length))
	return b
}

// FrameLen implements frame.Delimiter.
func (m *lockstep) FrameLen(p []byte) (int, error) {
	switch {
	case p[0] != lockstepData && p[0] != lockstepEnd:
		return 0, lockstepError("type %d", p[0])
	case len(p) < lockstepHeader:
		return 0, nil
	}
	return lockstepHeader + int(binary.BigEndian.Uint16(p[3:])), nil
}

// Recv implements frame.Machine.
func (m *lockstep) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p := b.Bytes()
	if len(p) < lockstepHeader || len(p) != lockstepHeader+int(binary.BigEndian.Uint16(p[3:])) {
		return ev, lockstepError("%d bytes, not as long as it says", len(p))
	}
	typ, id, flags := p[0], p[1], p[2]
	b.TrimFront(lockstepHeader)
	switch {
	case typ == lockstepEnd:
		return append(ev, frame.Event{Kind: frame.Done}), nil
	case b.Len() == 0:
		return m.acknowledged(ev, id)
	}
	return m.fragment(ev, b, id, flags)
}

// acknowledged takes an empty frame.
func (m *lockstep) acknowledged(ev []frame.Event, id byte) ([]frame.Event, error) {
	if !m.waiting || id != m.id {
		if m.lossy {
			return ev, nil // of a fragment that came twice
		}
		return ev, lockstepError("acknowledges %d, which was not sent", id)
	}
	m.waiting = false
	return m.next(ev), nil
}

// fragment takes a fragment and acknowledges it.
func (m *lockstep) fragment(ev []frame.Event, b *frame.Buf, id, flags byte) ([]frame.Event, error) {
	switch {
	case id == m.expected:
	case m.lossy && id == m.expected-1: // the acknowledgement was lost
		return append(ev, m.acknowledgement(id)), nil
	case m.lossy: // overtaken
		return ev, nil
	default:
		return ev, lockstepError("fragment %d, not %d", id, m.expected)
	}
	if err := m.account(b, flags); err != nil {
		return ev, err
	}
	m.expected++
	return append(ev, frame.Event{Kind: frame.In, Buf: b}, m.acknowledgement(id)), nil
}

func (m *lockstep) acknowledgement(id byte) frame.Event {
	return frame.Event{Kind: frame.Out, Buf: lockstepFrame(lockstepData, id, 0, 0, nil)}
}

// account checks what the flags of a fragment say about its flight.
func (m *lockstep) account(b *frame.Buf, flags byte) error {
	if flags&flagLength != 0 {
		if b.Len() <= lockstepTotal || m.missing > 0 {
			return lockstepError("a length where none belongs")
		}
		m.missing = int(binary.BigEndian.Uint32(b.Bytes()))
		b.TrimFront(lockstepTotal)
		if m.missing > lockstepMaxFlight {
			return lockstepError("a flight of %d bytes", m.missing)
		}
	}
	if m.missing == 0 { // the only fragment of its flight
		m.missing = b.Len()
	}
	m.missing -= b.Len()
	if more := flags&flagMore != 0; m.missing < 0 || more != (m.missing > 0) {
		return lockstepError("%d bytes are missing, the flag M is %v", m.missing, more)
	}
	return nil
}

// Backlog implements frame.Backlogger: what waits for its turn.
func (m *lockstep) Backlog() int {
	n := len(m.gathered) - m.sent
	for _, f := range m.flights {
		n += len(f)
	}
	return n
}

// End implements frame.Ender.
func (m *lockstep) End(ev []frame.Event) ([]frame.Event, error) {
	return append(ev, frame.Event{Kind: frame.Out, Buf: lockstepFrame(lockstepEnd, 0, 0, 0, nil)}), nil
}

// An arq is a lockstep over a carrier that loses, repeats and reorders frames: a fragment that is not acknowledged in
// time is sent again, each time after twice as long, and in the end the peer is given up. It reads no clock but is
// told.
type arq struct {
	lockstep
	timeout time.Duration // before the first repetition
	tries   int           // how often a fragment is sent

	now   time.Time
	last  []byte // the fragment that waits for its acknowledgement
	at    time.Time
	tried int
}

const (
	arqTimeout = 200 * time.Millisecond
	arqTries   = 8
)

// arqMaker returns a Maker of arqs.
func arqMaker(mtu int) frame.Maker {
	return func(frame.Role) (frame.Machine, error) {
		return &arq{lockstep: lockstep{mtu: mtu, expected: 1, lossy: true}, timeout: arqTimeout, tries: arqTries}, nil
	}
}

var errGone = errors.New("lockstep: the peer acknowledges nothing: it is gone, or the carrier is")

// Send implements frame.Machine.
func (m *arq) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	ev, err := m.lockstep.Send(ev, b, flush)
	m.remember(ev)
	return ev, err
}

// Recv implements frame.Machine. A frame that the carrier has damaged is one that is lost.
func (m *arq) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	ev, err := m.lockstep.Recv(ev, b)
	m.remember(ev)
	return ev, err
}

// remember keeps a copy of a new fragment among ev.
func (m *arq) remember(ev []frame.Event) {
	for _, e := range ev {
		if e.Kind == frame.Out && e.Buf.Len() > lockstepHeader {
			m.last = append(m.last[:0], e.Buf.Bytes()...)
			m.tried, m.at = 1, m.now.Add(m.timeout)
		}
	}
}

// Deadline implements frame.Timed.
func (m *arq) Deadline() (time.Time, bool) { return m.at, m.waiting }

// Tick implements frame.Timed.
func (m *arq) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	m.now = now
	switch {
	case !m.waiting || now.Before(m.at):
		return ev, nil
	case m.tried == m.tries:
		m.waiting = false
		return append(ev, frame.Event{Kind: frame.Done, Err: errGone}), nil
	}
	m.at = now.Add(m.timeout << m.tried)
	m.tried++
	b := frame.Get(0, len(m.last))
	copy(b.Append(len(m.last)), m.last)
	return append(ev, frame.Event{Kind: frame.Out, Buf: b}), nil
}

// Backlog implements frame.Backlogger: here it includes what may have to be sent again, so that Close waits for the
// last acknowledgement.
func (m *arq) Backlog() int {
	n := m.lockstep.Backlog()
	if m.waiting {
		n += len(m.last)
	}
	return n
}

var (
	_ frame.Delimiter  = (*lockstep)(nil)
	_ frame.Backlogger = (*lockstep)(nil)
	_ frame.Ender      = (*lockstep)(nil)
	_ frame.Timed      = (*arq)(nil)
)
