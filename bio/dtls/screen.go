package dtls

import (
	"bytes"
	"slices"
)

// What a handshake may cost. A flight of 64 KiB, sent sixteen times, is within the budget.
const (
	handshakeBudget = 1 << 20  // bytes of handshake records that pion gets to see
	maxMessageLen   = 64 << 10 // of a handshake message; certificates are the longest
	maxMessages     = 64       // of one end; HelloVerifyRequest may come several times

	// maxFinished is the longest protected record that can be the Finished message: 24 bytes, a connection ID, padding.
	maxFinished = 1024
	// minFinished is the shortest body of a record with a connection ID that can be Finished, and is longer than that
	// of any alert: 12 bytes of header, 12 of content, the type, a tag of 8 bytes and 8 of nonce, or 16 without.
	minFinished = msgHeaderLen + verifyDataLen + 1 + 16

	maxEarly      = 32       // protected records that are kept until the handshake is done
	maxEarlyBytes = 48 << 10 // in all
	spareEarly    = 4        // more, if they may be Finished
)

// A screen stands in front of pion. An unprotected record can be anybody's, and pion ends a handshake for some that
// make no sense, such as application data in epoch 0 or an unknown type: those do not get through. Protected records
// are kept for our record layer; pion sees of them what may be the peer's Finished, and never data or an alert, so
// that it cannot end a connection while it is being taken over.
type screen struct {
	cidLen int // of the connection IDs that this end asks for
	budget int
	stats  *Stats

	early      [][]byte
	earlyBytes int
}

// sort returns what pion may see of a datagram: new datagrams, of a length that pion can read. keep says whether
// protected records are worth keeping.
func (s *screen) sort(p []byte, keep bool) (pass [][]byte) {
	for len(p) > 0 {
		r, rest, ok := cut(p, s.cidLen)
		if !ok {
			s.stats.Malformed++
			break
		}
		p = rest
		if s.admit(&r, keep) {
			pass = gather(pass, r.raw)
		}
	}
	return pass
}

// gather adds a record to the last datagram of a list, or to a new one if pion could not read it with the record in it.
func gather(list [][]byte, raw []byte) [][]byte {
	if last := len(list) - 1; last >= 0 && len(list[last])+len(raw) <= maxRead {
		list[last] = append(list[last], raw...)
		return list
	}
	return append(list, bytes.Clone(raw))
}

// admit reports whether pion may see a record, and counts why not.
func (s *screen) admit(r *record, keep bool) bool {
	switch r.epoch {
	case 0:
		if !s.sound(r) {
			s.stats.Malformed++
			return false
		}
	case 1:
		if r.version != version12 || len(r.body) > maxBody {
			s.stats.Malformed++
			return false
		}
		if keep {
			s.keep(r)
		}
		if !mayBeFinished(r) {
			return false
		}
	default:
		s.stats.WrongEpoch++
		return false
	}
	return s.afford(len(r.raw))
}

func (s *screen) afford(n int) bool {
	if n > s.budget {
		s.stats.OverBudget++
		return false
	}
	s.budget -= n
	return true
}

// keep holds a protected record until it can be opened. What may be Finished always finds room: a flood of data must
// not push out the one record that says how the peer's Finished looks.
func (s *screen) keep(r *record) {
	count, bytesLeft := maxEarly, maxEarlyBytes-s.earlyBytes
	if r.typ == typeHandshake && mayBeFinished(r) {
		count, bytesLeft = count+spareEarly, bytesLeft+spareEarly*maxFinished
	}
	if len(s.early) >= count || len(r.raw) > bytesLeft {
		s.stats.EarlyLost++
		return
	}
	s.stats.Early++
	s.early = append(s.early, bytes.Clone(r.raw))
	s.earlyBytes += len(r.raw)
}

func mayBeFinished(r *record) bool {
	if len(r.raw) > maxFinished {
		return false
	}
	return r.typ == typeHandshake || r.typ == typeCID && len(r.body) >= minFinished
}

// sound reports whether an unprotected record is one that a handshake may contain.
func (s *screen) sound(r *record) bool {
	if r.version != version10 && r.version != version12 || len(r.raw) > maxRead {
		return false
	}
	switch r.typ {
	case typeHandshake:
		return soundMessages(r.body)
	case typeCCS:
		return slices.Equal(r.body, []byte{1})
	case typeAlert:
		return len(r.body) == 2 && (r.body[0] == alertWarning || r.body[0] == alertFatal)
	}
	return false
}

// soundMessages reports whether p consists of parts of handshake messages that are worth keeping in mind. A part
// without content is one only if its message has none: pion would count the others until it has room for nothing
// else.
func soundMessages(p []byte) bool {
	if len(p) == 0 {
		return false
	}
	for len(p) > 0 {
		f, rest, ok := cutFragment(p)
		if !ok || f.length > maxMessageLen || f.seq >= maxMessages || f.len == 0 && f.length > 0 {
			return false
		}
		p = rest
	}
	return true
}
