package openvpn

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/encase-tls/encase/frame"
)

const (
	window     = 6 // packets under way at most; OpenVPN's window is the same, and its receiver keeps 12
	fastAfter  = 3 // later packets acknowledged, and one is sent again at once
	maxBackOff = 8 // times the first wait

	maxIdle = 32 << 10 // how large a queue is kept when it is empty
)

// A sender has what this end sends. Its queue holds, one behind the other:
//
//	| sent | to be sent, up to flushed | not flushed |
type sender struct {
	queue   []byte
	pos     int // what stands in front of it is in the window, or acknowledged
	flushed int
	next    uint32 // id of the next packet
	count   int    // packets in the window
	unacked [window]sent
	retry   time.Duration // first wait
}

// sent is a packet that was sent and is not yet acknowledged.
type sent struct {
	op      opcode
	id      uint32
	payload *frame.Buf    // nil in a reset
	until   time.Time     // end of patience
	again   time.Time     // when it is sent again
	wait    time.Duration // until then, when it was sent
	later   int           // packets sent after it and acknowledged since it was last sent
}

// window returns the packets in the window, oldest first. They are valid until one is added or acknowledged.
func (s *sender) window() []sent { return s.unacked[:s.count] }

// add takes bytes to be sent.
func (s *sender) add(p []byte) {
	if s.pos > 0 && s.pos >= len(s.queue)/2 {
		s.queue = s.queue[:copy(s.queue, s.queue[s.pos:])]
		s.flushed = max(s.flushed-s.pos, 0)
		s.pos = 0
	}
	s.queue = append(s.queue, p...)
}

func (s *sender) flush() { s.flushed = len(s.queue) }

// room reports whether another packet may be under way.
func (s *sender) room() bool {
	return s.count == 0 || s.next-s.unacked[0].id < window
}

// cut takes the next payload off the queue: one as long as a packet allows, or what is flushed.
func (s *sender) cut(most int) []byte {
	n := min(most, len(s.queue)-s.pos)
	if n < most {
		n = max(min(n, s.flushed-s.pos), 0)
	}
	p := s.queue[s.pos : s.pos+n]
	s.pos += n
	return p
}

// rest lets go of what an idle connection does not need.
func (s *sender) rest() {
	if s.pos < len(s.queue) {
		return
	}
	s.queue, s.pos, s.flushed = s.queue[:0], 0, 0
	if cap(s.queue) > maxIdle {
		s.queue = nil
	}
}

// push puts a packet into the window and returns it.
func (s *sender) push(op opcode, payload []byte, until time.Time) *sent {
	e := &s.unacked[s.count]
	*e = sent{op: op, id: s.next, until: until, wait: s.retry}
	if !op.isReset() {
		e.payload = frame.Get(0, len(payload))
		copy(e.payload.Append(len(payload)), payload)
	}
	s.count++
	s.next++
	return e
}

// acked takes the packets with these ids out of the window, if they are there. All were sent.
func (s *sender) acked(ids []byte) {
	for ; len(ids) > 0; ids = ids[idLen:] {
		id := binary.BigEndian.Uint32(ids)
		for i, e := range s.window() {
			if e.id == id {
				s.remove(i)
				break
			}
		}
	}
}

// remove takes a packet out of the window. Those before it may be lost.
func (s *sender) remove(i int) {
	if p := s.unacked[i].payload; p != nil {
		p.Release()
	}
	for j := range i {
		s.unacked[j].later++
	}
	copy(s.unacked[i:], s.unacked[i+1:s.count])
	s.count--
	s.unacked[s.count] = sent{}
}

// backlog returns how many TLS bytes are not yet acknowledged.
func (s *sender) backlog() int {
	n := len(s.queue) - s.pos
	for _, e := range s.window() {
		if e.payload != nil {
			n += e.payload.Len()
		}
	}
	return n
}

// drop forgets everything.
func (s *sender) drop() {
	for s.count > 0 {
		s.remove(s.count - 1)
	}
	*s = sender{retry: s.retry, next: s.next}
}

// pump sends what may be sent now.
func (m *machine) pump(ev []frame.Event) ([]frame.Event, error) {
	for m.open && m.out.room() {
		if m.out.next == math.MaxUint32 {
			return ev, m.end(ErrUsedUp)
		}
		payload := m.out.cut(m.payload)
		if len(payload) == 0 {
			m.out.rest()
			break
		}
		ev = m.transmit(ev, m.out.push(control, payload, m.now.Add(m.timeout)))
	}
	return ev, nil
}

// transmit sends a packet of the window, for the first time or again.
func (m *machine) transmit(ev []frame.Event, e *sent) []frame.Event {
	e.again, e.later = m.now.Add(e.wait), 0
	e.wait = min(2*e.wait, maxBackOff*m.out.retry)
	var payload []byte
	if e.payload != nil {
		payload = e.payload.Bytes()
	}
	return m.emit(ev, e.op, e.id, payload)
}

// resend sends again what seems to be lost, and all that is due.
func (m *machine) resend(ev []frame.Event) []frame.Event {
	window := m.out.window()
	for i := range window {
		if e := &window[i]; e.later >= fastAfter || m.clocked() && !m.now.Before(e.again) {
			m.counters.Repeated.Add(1)
			ev = m.transmit(ev, e)
		}
	}
	return ev
}

// emit makes a control packet. It acknowledges as much as it can.
func (m *machine) emit(ev []frame.Event, op opcode, id uint32, payload []byte) []frame.Event {
	guard := m.guard.overhead()
	acks := m.in.recentAcks()
	size := headerLen + guard + ackLen(len(acks)) + len(payload)
	if op != ack {
		size += idLen
	}
	var behind []byte
	if op == resetClientV3 {
		behind = m.wrapped
	}
	b := frame.Get(0, m.prefix+size+len(behind))
	if m.prefix > 0 {
		binary.BigEndian.PutUint16(b.Append(lengthLen), uint16(size+len(behind)))
	}
	p := b.Append(size)
	p[0] = byte(op) << opcodeShift
	copy(p[1:], m.own[:])
	q := m.putAcks(p[headerLen+guard:], acks)
	if op != ack {
		binary.BigEndian.PutUint32(q, id)
		copy(q[idLen:], payload)
	}
	if guard > 0 {
		m.guard.seal(p, m.stamp.next(uint32(m.now.Unix())))
	}
	copy(b.Append(len(behind)), behind)
	return append(ev, frame.Event{Kind: frame.Out, Buf: b})
}

// putAcks writes acknowledgements and returns what is behind them.
func (m *machine) putAcks(p []byte, ids []uint32) []byte {
	p[0] = byte(len(ids))
	p = p[1:]
	if len(ids) == 0 {
		return p
	}
	for _, id := range ids {
		binary.BigEndian.PutUint32(p, id)
		p = p[idLen:]
	}
	return p[copy(p, m.peer[:]):]
}
