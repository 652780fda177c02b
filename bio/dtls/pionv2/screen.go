package pionv2

import "bytes"

// What a handshake may cost.
const (
	handshakeBudget  = 1 << 20  // bytes of records that pion gets to see
	maxMessageLen    = 64 << 10 // of a handshake message
	maxMessageNumber = 64
	maxFinished      = 256 // bytes of a protected record that may be the peer's Finished
	maxEarly         = 32  // protected records that wait for the end of the handshake
	maxEarlyBytes    = 48 << 10
	maxRead          = 8192 // what pion reads
)

// A screen stands in front of pion: unprotected records may be anybody's, and pion ends a handshake for some that make
// no sense. Protected ones wait for the record layer of this package; pion sees only what may be Finished.
type screen struct {
	spent      int
	early      []record
	earlyBytes int
}

// pass returns the records of a datagram that pion may see, as one.
func (s *screen) pass(p []byte) (pass []byte) {
	for len(p) > 0 {
		r, rest := cut(p)
		if r == nil {
			break
		}
		if p = rest; s.admits(r) && len(pass)+len(r) <= maxRead && s.spent+len(r) <= handshakeBudget {
			s.spent += len(r)
			pass = append(pass, r...)
		}
	}
	return pass
}

func (s *screen) admits(r record) bool {
	switch r.epoch() {
	case 0:
		return sound(r)
	case 1:
		if len(s.early) < maxEarly && s.earlyBytes+len(r) <= maxEarlyBytes {
			s.early = append(s.early, bytes.Clone(r))
			s.earlyBytes += len(r)
		}
		return r.typ() == typeHandshake && r.version() == VersionDTLS12 && len(r) <= maxFinished
	}
	return false
}

// sound reports whether an unprotected record is one that a handshake may contain.
func sound(r record) bool {
	body := r.body()
	switch {
	case r.version() != version10 && r.version() != VersionDTLS12:
		return false
	case r.typ() == typeHandshake:
		return len(body) > 0 && soundMessages(body)
	case r.typ() == typeCCS:
		return len(body) == 1 && body[0] == 1
	}
	return r.typ() == typeAlert && len(body) == 2
}

// soundMessages reports whether p consists of parts of handshake messages. A part without content is one only if its
// message has none. https://www.rfc-editor.org/rfc/rfc6347#section-4.2.2
func soundMessages(p []byte) bool {
	for len(p) > 0 {
		if len(p) < messageHeaderLen {
			return false
		}
		length, offset, n := uint24(p[1:]), uint24(p[6:]), uint24(p[9:])
		number := int(p[4])<<8 | int(p[5])
		if length > maxMessageLen || number >= maxMessageNumber || offset+n > length || n == 0 && length > 0 ||
			len(p) < messageHeaderLen+n {
			return false
		}
		p = p[messageHeaderLen+n:]
	}
	return true
}

func uint24(p []byte) int { return int(p[0])<<16 | int(p[1])<<8 | int(p[2]) }
