package tun

import (
	"slices"
	"time"

	"github.com/encase-tls/encase/tun/wire"
)

// A round is a question to the path: does a length arrive? If it is put a second time, shorter lengths are asked about as
// well: whether they arrive tells a path that is too narrow from one that is dead.
type round struct {
	want  int
	less  []int // shorter lengths, the longest first
	tries int
	asked time.Time // when the last try was
	over  bool      // there is nothing to wait for
	best  int       // longest that has arrived
}

// verify begins to ask whether a length arrives. high is where the search for more ends that comes behind it, 0 for none.
func (m *pathMTU) verify(want, high int) {
	m.phase, m.high, m.refuse = verifying, high, 0
	m.round = round{want: want}
	for _, n := range []int{m.size, m.base, m.safe} {
		if n < want && !slices.Contains(m.round.less, n) {
			m.round.less = append(m.round.less, n)
		}
	}
	slices.Sort(m.round.less)
	slices.Reverse(m.round.less)
}

// search begins to look for the longest that arrives, between what is sent and high, which does not.
func (m *pathMTU) search(high int) {
	m.phase, m.high, m.refuse = searching, high, 0
	m.next()
}

// next asks about the next length of a search: the longest first, and then that in the middle of what is left.
func (m *pathMTU) next() {
	want := (m.size + m.high) / 2
	if m.high > m.top {
		want = m.top
	}
	m.round = round{want: want}
}

// try asks once more.
func (m *pathMTU) try(now time.Time, rtt time.Duration) (probes []wire.Probe) {
	ask := func(length int) {
		if m.refuse == 0 || length < m.refuse {
			probes = append(probes, m.probe(length))
		}
	}
	ask(m.round.want)
	if m.round.tries++; m.round.tries > 1 || len(probes) == 0 {
		for _, n := range m.round.less {
			ask(n)
		}
	}
	m.round.asked, m.round.over = now, false
	return probes
}

// waiting reports whether an answer may still come.
func (r *round) waiting(now time.Time, rtt time.Duration) bool {
	return r.tries > 0 && !r.over && now.Sub(r.asked) < probeTime(rtt)
}

func probeTime(rtt time.Duration) time.Duration {
	if rtt == 0 {
		return firstProbeTime
	}
	return min(leastProbeTime+3*rtt, mostProbeTime)
}

// probe makes the next probe.
func (m *pathMTU) probe(length int) wire.Probe {
	m.id = max(m.id+1, 1)
	m.counts.probes++
	m.told = m.size
	m.asked[m.id%uint32(len(m.asked))] = wire.Probed{ID: m.id, Length: length}
	return wire.Probe{ID: m.id, Sending: uint16(m.size), Length: length}
}

// decided reports whether there is no use in asking again.
func (m *pathMTU) decided() bool {
	r := &m.round
	refused := m.refuse > 0 && m.refuse <= r.want
	return r.best >= r.want || refused && (len(r.less) == 0 || r.best >= r.less[0])
}

// conclude draws the conclusion of a round.
func (m *pathMTU) conclude(now time.Time, sent uint64) {
	arrived := m.round.best >= m.round.want
	switch {
	case m.phase == searching && !arrived:
		m.high = m.round.want
		m.searchOn(now)
	case m.phase == searching, arrived && m.high > m.size:
		m.searchOn(now)
	case arrived:
		m.settle(now)
	case m.round.best == 0: // the path is dead, or the peer: that is not for the MTU to say
		m.unknown, m.patience = true, min(2*m.patience, mostPatience)
		m.confirmed, m.sentThen = now, sent
		m.settle(now)
	default:
		m.fall(now)
	}
}

// fall takes in that only shorter messages arrive than what was asked about.
func (m *pathMTU) fall(now time.Time) {
	high := m.round.want
	for _, n := range m.round.less {
		if n > m.round.best {
			high = n
		}
	}
	if m.round.best < m.size {
		m.counts.holes++
		m.use(m.round.best, fromProbes)
	}
	m.phase, m.high = searching, high
	m.searchOn(now)
}

// searchOn asks about the next length, or settles if that is not worth while. What the kernel refuses costs nothing, and
// is found out to the byte.
func (m *pathMTU) searchOn(now time.Time) {
	m.phase = searching
	left := m.high - m.size
	exact := m.refuse > 0 && m.refuse <= m.high
	if left <= 1 || left <= grain && !exact {
		m.settle(now)
		return
	}
	m.next()
}

func (m *pathMTU) settle(now time.Time) {
	if m.phase == searching || m.searched.IsZero() {
		m.searched, m.raiseAt = now, now.Add(raiseAfter)
		if m.source == fromKernel || m.refuse > 0 {
			m.raiseAt = now.Add(raiseToldAfter)
		}
	}
	m.phase, m.round = settled, round{}
}
