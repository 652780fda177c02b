package eap

import "encoding/binary"

// maxKept is how large an array is kept when it is empty.
const maxKept = 32 << 10

// A sender has what this end sends: the flight that is being sent, and what comes after it.
type sender struct {
	flight []byte
	sent   int // of flight; all of it between flights
	queue  []byte
	ready  int // of queue is complete flights
}

func (s *sender) add(p []byte) { s.queue = append(s.queue, p...) }
func (s *sender) flush()       { s.ready = len(s.queue) }

// due reports whether there is something to send.
func (s *sender) due() bool { return s.partial() || s.ready > 0 }

// partial reports whether some fragments of a flight are sent and others are not.
func (s *sender) partial() bool { return s.sent < len(s.flight) }

func (s *sender) backlog() int { return len(s.flight) - s.sent + len(s.queue) }

// next returns the next fragment, which has room bytes at most, length and data. data is valid until the next call.
func (s *sender) next(room int) (flags byte, total int, data []byte) {
	if !s.partial() {
		s.begin()
	}
	rest := s.flight[s.sent:]
	if s.sent == 0 && len(rest) > room {
		flags |= flagLength
		room -= totalLen
	}
	data = rest[:min(len(rest), room)]
	if s.sent += len(data); s.partial() {
		flags |= flagMore
	}
	return flags, len(s.flight), data
}

// begin makes what is ready the flight that is sent.
func (s *sender) begin() {
	if cap(s.flight) > maxKept && s.ready < maxKept/2 {
		s.flight = nil
	}
	s.flight = append(s.flight[:0], s.queue[:s.ready]...)
	s.queue = append(s.queue[:0], s.queue[s.ready:]...)
	s.sent, s.ready = 0, 0
	if len(s.queue) == 0 && cap(s.queue) > maxKept {
		s.queue = nil
	}
}

// A fragment is what a packet of EAP-TLS holds.
// https://www.rfc-editor.org/rfc/rfc5216.html#section-2.1.5
type fragment struct {
	flags byte
	total int // length of the flight, if flags say that it is there
	at    int // where data is in the packet
	data  []byte
}

// fragment takes the data of p apart; ok is false if it is too short.
func (p packet) fragment() (f fragment, ok bool) {
	if len(p.data) == 0 {
		return f, false
	}
	f = fragment{flags: p.data[0], at: tlsLen, data: p.data[1:]}
	if f.flags&flagLength == 0 {
		return f, true
	}
	if len(f.data) < totalLen {
		return f, false
	}
	f.total = int(min(binary.BigEndian.Uint32(f.data), maxMaxFlight+1))
	f.at, f.data = f.at+totalLen, f.data[totalLen:]
	return f, true
}

// empty reports whether a fragment says nothing.
func (f fragment) empty() bool { return len(f.data) == 0 && f.flags&flagMore == 0 && f.total == 0 }

// An assembly is a flight that is being received. It takes no more memory than has come, whatever length was told.
type assembly struct {
	parts []byte
	total int // length of the flight; 0 between flights
	given bool
}

// active reports whether a flight has begun and is not complete.
func (a *assembly) active() bool { return a.total > 0 && !a.given }

// add takes a fragment and tells whether it completes the flight, which take then returns.
func (a *assembly) add(f fragment, most int) (complete bool, err error) {
	more, first := f.flags&flagMore != 0, !a.active()
	if first {
		a.parts, a.total, a.given = a.parts[:0], len(f.data), false
		if f.flags&flagLength != 0 {
			a.total = f.total
		}
	}
	have := len(a.parts) + len(f.data)
	switch {
	case first && more && f.flags&flagLength == 0:
		err = errNoTotal
	case f.flags&flagLength != 0 && f.total != a.total:
		err = errTotal
	case a.total > most:
		err = errLong
	case have > a.total:
		err = errOverrun
	case more && len(f.data) == 0:
		err = errEmpty
	case more && have == a.total:
		err = errMore
	case !more && have < a.total:
		err = errMissing
	}
	if err == nil && (more || !first) {
		a.parts = append(a.parts, f.data...)
	}
	return err == nil && !more, err
}

// take ends the flight and returns it if it came in several fragments, nil if in one. It is valid until the next add.
func (a *assembly) take() []byte {
	whole := a.parts
	a.given = true
	if len(whole) == 0 {
		return nil
	}
	if a.parts = whole[:0]; cap(whole) > maxKept {
		a.parts = nil
	}
	return whole
}
