package openvpn

import "math"

// replayLen is how late a packet may be, counted in replay ids: as in OpenVPN.
const replayLen = 64

// A replayWindow tells packets that come for the first time from others. The zero value has seen none. It must be asked
// about authentic packets only: any other could move it away.
//
// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.1.2.6
type replayWindow struct {
	time uint32 // at which the peer began to count
	last uint32 // highest id
	seen uint64 // bit i: id last-i has been seen
}

// accept reports whether the packet is new, and takes note of it. Replay ids begin anew when the time is later.
func (w *replayWindow) accept(s stamp) bool {
	if s.time < w.time {
		return false
	}
	if s.time > w.time {
		*w = replayWindow{time: s.time}
	}
	if s.id > w.last {
		w.seen = w.seen<<min(s.id-w.last, replayLen) | 1
		w.last = s.id
		return true
	}
	bit := uint64(1) << (w.last - s.id) // 0 beyond the window
	if bit == 0 || w.seen&bit != 0 {
		return false
	}
	w.seen |= bit
	return true
}

// A stamp is the replay id of a packet and the time at which its sender began to count them. Ids are never 0.
type stamp struct{ id, time uint32 }

// next returns the stamp of the next packet. When ids are used up they begin anew, a second later at least.
func (s *stamp) next(now uint32) stamp {
	switch {
	case s.time == 0:
		s.time = now
	case s.id == math.MaxUint32:
		*s = stamp{time: max(now, s.time+1)}
	}
	s.id++
	return *s
}
