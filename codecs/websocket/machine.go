package websocket

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/encase-tls/encase/frame"
)

// machine is one end of a WebSocket connection.
type machine struct {
	role    frame.Role
	options Options
	keys    keySource
	pongs   pongs

	inMessage bool // a message has begun and not ended
	empty     int  // fragments without data in it
	sentClose bool
	gotClose  bool
	wrong     *violation // why Recv or FrameLen failed
}

var (
	_ frame.Delimiter = (*machine)(nil)
	_ frame.Preamble  = (*machine)(nil)
	_ frame.Ender     = (*machine)(nil)
	_ frame.Timed     = (*machine)(nil)
)

// maxEmpty is how many fragments of a message may be without data: they cost the peer little and get nobody further.
const maxEmpty = 64

var (
	errTooLarge = fmt.Errorf("websocket: %w", frame.ErrTooLarge)
	errClosed   = fmt.Errorf("websocket: the close frame is sent, nothing may follow it: %w", net.ErrClosed)
)

// Limits implements [frame.Machine]. Only a client has a key in its frames.
func (m *machine) Limits() frame.Limits {
	l := frame.Limits{Head: maxHeader, Max: maxPayload}
	if m.masks() {
		l.Head += keyLen
	}
	return l
}

// masks reports whether this end masks what it sends.
func (m *machine) masks() bool { return m.role == frame.Client }

// Start implements [frame.Machine].
func (m *machine) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }

// Send implements [frame.Machine]. Each b becomes one message. After the close frame an error wraps [net.ErrClosed].
func (m *machine) Send(ev []frame.Event, b *frame.Buf, _ bool) ([]frame.Event, error) {
	switch {
	case b == nil:
		return ev, nil
	case m.sentClose:
		b.Release()
		return ev, errClosed
	case b.Len() > maxPayload:
		b.Release()
		return ev, errTooLarge
	}
	return m.out(ev, opBinary, b), nil
}

// out makes a frame of the payload in b, in place.
func (m *machine) out(ev []frame.Event, op byte, b *frame.Buf) []frame.Event {
	payload := b.Len()
	if m.masks() {
		key := m.keys.next()
		mask(b.Bytes(), key)
		copy(b.Prepend(keyLen), key[:])
	}
	prependHeader(b, op, payload, m.masks())
	return append(ev, frame.Event{Kind: frame.Out, Buf: b})
}

// control makes a control frame with this payload.
func (m *machine) control(ev []frame.Event, op byte, payload []byte) []frame.Event {
	b := frame.Get(m.Limits().Head, maxControl)
	copy(b.Append(len(payload)), payload)
	return m.out(ev, op, b)
}

// FrameLen implements [frame.Delimiter].
func (m *machine) FrameLen(p []byte) (int, error) {
	h, v := parseHeader(p, !m.masks())
	if v != nil {
		m.wrong = v
		return 0, v
	}
	if h.len == 0 {
		return 0, nil
	}
	return h.len + h.payload, nil
}

// Recv implements [frame.Machine].
func (m *machine) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	ev, v := m.recv(ev, b)
	if v != nil {
		m.wrong = v
		return ev, v
	}
	return ev, nil
}

func (m *machine) recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, *violation) {
	p := b.Bytes()
	h, v := parseHeader(p, !m.masks())
	switch {
	case v != nil:
		return ev, v
	case m.gotClose:
		return ev, errAfterClose
	case h.len == 0 || len(p) != h.len+h.payload:
		return ev, errTruncated
	}
	b.TrimFront(h.len)
	if !m.masks() {
		mask(b.Bytes(), [keyLen]byte(p[h.len-keyLen:]))
	}
	switch h.op {
	case opPing:
		return m.ping(ev, b.Bytes()), nil
	case opPong:
		return ev, nil
	case opClose:
		return m.close(ev, b.Bytes())
	}
	return m.data(ev, h, b)
}

// data takes a fragment of a message.
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-5.4
func (m *machine) data(ev []frame.Event, h header, b *frame.Buf) ([]frame.Event, *violation) {
	begins := h.op != opContinuation
	switch {
	case begins && m.inMessage:
		return ev, errInterleaved
	case !begins && !m.inMessage:
		return ev, errContinuation
	case begins:
		m.empty = 0
	}
	m.inMessage = !h.fin
	if h.payload > 0 {
		return append(ev, frame.Event{Kind: frame.In, Buf: b}), nil
	}
	if m.empty++; m.empty > maxEmpty {
		return ev, errNoProgress
	}
	return ev, nil
}

// ping answers a ping, now or later. After the close frame no pong may follow.
func (m *machine) ping(ev []frame.Event, payload []byte) []frame.Event {
	switch {
	case m.sentClose:
		return ev
	case m.pongs.take():
		return m.control(ev, opPong, payload)
	}
	m.pongs.wait(payload)
	return ev
}

// close takes a close frame, and answers it unless it is the answer.
func (m *machine) close(ev []frame.Event, payload []byte) ([]frame.Event, *violation) {
	ended, v := parseClose(payload)
	if v != nil {
		return ev, v
	}
	m.gotClose = true
	if !m.sentClose {
		ev = m.sendClose(ev, payload[:min(len(payload), statusLen)])
	}
	done := frame.Event{Kind: frame.Done}
	if ended != nil {
		done.Err = ended
	}
	return append(ev, done), nil
}

func (m *machine) sendClose(ev []frame.Event, status []byte) []frame.Event {
	m.sentClose, m.pongs.waiting = true, false
	return m.control(ev, opClose, status)
}

// End implements [frame.Ender]: a close frame, with the reason if the peer broke the protocol.
func (m *machine) End(ev []frame.Event) ([]frame.Event, error) {
	if m.sentClose {
		return ev, nil
	}
	status := uint16(statusNormal)
	if m.wrong != nil {
		status = m.wrong.status
	}
	return m.sendClose(ev, binary.BigEndian.AppendUint16(nil, status)), nil
}

// Deadline implements [frame.Timed]: when the pong that waits may be sent.
func (m *machine) Deadline() (time.Time, bool) { return m.pongs.deadline() }

// Tick implements [frame.Timed].
func (m *machine) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	m.pongs.tick(now)
	if m.pongs.waiting && m.pongs.take() {
		m.pongs.waiting = false
		ev = m.control(ev, opPong, m.pongs.late[:m.pongs.lateLen])
	}
	return ev, nil
}
