package isotp

import (
	"encoding/binary"
	"time"

	"github.com/encase-tls/encase/frame"
)

// What a sender does.
type state uint8

const (
	idle     state = iota
	awaiting       // flow control of the peer
	running        // through consecutive frames
)

// maxWaits is how often in a row the peer may ask to wait.
const maxWaits = 64

// unlimited is a block without an end.
const unlimited = -1

// maxIdle is how large a queue is kept when it is empty.
const maxIdle = 32 << 10

// A sender has what this end sends. Its queue holds, one behind the other:
//
//	| sent, from the front | message under way, from pos to end | ready to be sent | not flushed |
type sender struct {
	queue []byte
	pos   int // what stands in front of it is sent
	ready int // what stands in front of it may be sent
	start int // of the message under way
	end   int // and its end

	state      state
	confirmed  bool // the peer has answered the first frame
	number     byte // of the next consecutive frame
	block      int  // frames until the next flow control, or unlimited
	waits      int
	separation time.Duration
	until      time.Time // awaiting: the end of patience; running: when the next frame may leave
}

// add takes bytes to be sent. What has been sent, and will not be sent again, makes room for them.
func (s *sender) add(p []byte) {
	done := s.pos
	if s.state != idle && !s.confirmed {
		done = s.start
	}
	if done > 0 && done >= len(s.queue)/2 {
		s.queue = s.queue[:copy(s.queue, s.queue[done:])]
		s.pos -= done
		s.ready -= done
		s.start -= done
		s.end -= done
	}
	s.queue = append(s.queue, p...)
}

// rest lets go of what an idle connection does not need.
func (s *sender) rest() {
	s.queue, s.pos, s.ready = s.queue[:0], 0, 0
	if cap(s.queue) > maxIdle {
		s.queue = nil
	}
}

// flush makes everything ready.
func (s *sender) flush() { s.ready = len(s.queue) }

func (s *sender) backlog() int { return len(s.queue) - s.pos }

func (s *sender) deadline() (time.Time, bool) { return s.until, s.state != idle }

// next returns how long the next message is, 0 for "not yet": it is full, or all of it is flushed.
func (s *sender) next(most int) int {
	if len(s.queue)-s.pos >= most {
		return most
	}
	return max(s.ready-s.pos, 0)
}

// begin sends what may be sent: short messages, or the first frame of a long one.
func (m *machine) begin(ev []frame.Event) []frame.Event {
	s := &m.sending
	for s.state == idle && !(m.half && m.incoming.active()) {
		n := s.next(m.max)
		if n == 0 {
			break
		}
		s.start, s.end = s.pos, s.pos+n
		var header [6]byte
		if h := singleHeader(&header, n, m.dataLen); h != nil {
			ev = m.out(ev, h, s.queue[s.pos:s.end])
			s.pos = s.end
			continue
		}
		h := firstHeader(&header, n)
		s.pos += m.dataLen - len(h)
		ev = m.out(ev, h, s.queue[s.start:s.pos])
		s.number, s.waits, s.confirmed = 1, 0, false
		s.await(m)
	}
	if s.state == idle && s.pos == len(s.queue) {
		s.rest()
	}
	return ev
}

// await waits for flow control.
func (s *sender) await(m *machine) { s.state, s.until = awaiting, m.now.Add(m.timeout) }

// singleHeader returns the header of a single frame, nil if n bytes are too many for one.
func singleHeader(buf *[6]byte, n, dataLen int) []byte {
	switch {
	case n < classicLen:
		buf[0] = single<<4 | byte(n)
		return buf[:1]
	case n <= dataLen-2 && dataLen > classicLen:
		buf[0], buf[1] = single<<4, byte(n)
		return buf[:2]
	}
	return nil
}

const maxShort = 4095 // what 12 bits of length can say

// firstHeader returns the header of the first frame of n bytes.
func firstHeader(buf *[6]byte, n int) []byte {
	if n <= maxShort {
		binary.BigEndian.PutUint16(buf[:], first<<12|uint16(n))
		return buf[:2]
	}
	binary.BigEndian.PutUint16(buf[:], first<<12)
	binary.BigEndian.PutUint32(buf[2:], uint32(n))
	return buf[:6]
}

// recvFlowControl takes one. When nothing waits for it, it means nothing.
func (m *machine) recvFlowControl(ev []frame.Event, data []byte) ([]frame.Event, error) {
	s := &m.sending
	switch {
	case len(data) < 3:
		return ev, errShort
	case s.state != awaiting:
		return ev, nil
	}
	switch data[0] & 0x0f {
	case goOn:
		s.state, s.confirmed, s.waits = running, true, 0
		s.block = int(data[1])
		if s.block == 0 {
			s.block = unlimited
		}
		s.separation = decodeSeparation(data[2])
		s.until = m.now
		return m.pump(ev), nil
	case wait:
		if s.waits++; s.waits > maxWaits {
			return ev, errWaits
		}
		s.await(m)
		return ev, nil
	case overflow:
		return ev, errOverflow
	}
	return ev, errStatus
}

// pump sends as many consecutive frames as may leave now.
func (m *machine) pump(ev []frame.Event) []frame.Event {
	s := &m.sending
	for s.state == running && !m.now.Before(s.until) {
		n := min(m.dataLen-1, s.end-s.pos)
		header := [1]byte{consecutive<<4 | s.number}
		ev = m.out(ev, header[:], s.queue[s.pos:s.pos+n])
		s.pos += n
		s.number = (s.number + 1) & 0x0f
		if s.block != unlimited {
			s.block--
		}
		switch {
		case s.pos == s.end:
			s.state = idle
			ev = m.begin(ev)
		case s.block == 0:
			s.await(m)
		default:
			s.until = m.now.Add(s.separation)
		}
	}
	return ev
}

// yield takes back a message of which the peer has not yet taken anything: it begins again later.
func (s *sender) yield() { s.state, s.pos = idle, s.start }
