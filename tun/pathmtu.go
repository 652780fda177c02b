package tun

import (
	"sync"
	"time"

	"github.com/encase-tls/encase/tun/wire"
)

// Constants of the specification. https://www.rfc-editor.org/rfc/rfc8899#section-5.1
const (
	basePayload = 1200             // BASE_PLPMTU: bytes in a datagram that nearly every path carries
	maxProbes   = 3                // MAX_PROBES: so many are lost before it means something
	raiseAfter  = 10 * time.Minute // PMTU_RAISE_TIMER: when it is tried whether the path has become wider
)

const (
	// A probe is given up after three round trips and something, within these bounds. (PROBE_TIMER)
	leastProbeTime = 400 * time.Millisecond
	mostProbeTime  = 3 * time.Second
	firstProbeTime = time.Second // the round trip is not known

	// confirmAfter is how long an end sends and believes that what it sends arrives, and confirmBulk how long if it has
	// sent bulk, of that many of the longest packets. (CONFIRMATION_TIMER) Probes are no more than what they are for:
	// there must have been more bytes than one has.
	confirmAfter = 5 * time.Second
	confirmBulk  = time.Second
	bulk         = 16

	// raiseToldAfter is when it is tried whether the kernel has forgotten what ICMP has said. That costs no datagram.
	raiseToldAfter = time.Minute

	// grain is how exact a search is, in bytes: exacter ones lose more probes than packets get longer.
	grain = 8

	// mostPatience bounds the time between two questions to a peer that answers none.
	mostPatience = time.Minute
)

// A pathMTU finds how long a message may be to arrive at the peer, and stays with it: DPLPMTUD, RFC 8899, for one
// direction of one connection. It sends nothing itself: look returns the probes to send.
//
//	           ┌───────────── arrives ────────────┐
//	start ─▶ verifying ── only less arrives ─▶ searching ─▶ settled
//	           ▲  ▲                                          │ │
//	           │  └── the kernel says less ── any            │ │
//	           └── packets were sent: do they arrive? ───────┘ │
//	             searching ◀── is there more by now? ──────────┘
//
// It begins with the longest that is configured, not with the base: most paths carry that, hosts remember for ten minutes
// if they are told of less, and the answer is there before they could notice. If that does not arrive, and less does, the
// size is that at once, and searched from there: probes that are lost cost time, packets that are lost do more harm.
//
// All lengths are those of messages, which are packets, in bytes. It is safe for concurrent use.
type pathMTU struct {
	path       path
	top        int // longest that is configured
	base, safe int // shorter ones: such as nearly every, and every path carries

	mu     sync.Mutex
	size   int // longest that is sent: PLPMTU
	source mtuSource
	phase  phase
	round  round
	high   int // searching: the shortest that is known not to arrive; verifying: where a search begins behind it, 0: none
	refuse int // the shortest that did not even leave; 0: all did

	raiseAt   time.Time
	confirmed time.Time     // when size was last known to arrive
	sentThen  uint64        // and how many bytes of packets had been sent by then
	unknown   bool          // the peer has answered nothing when it was asked last
	patience  time.Duration // how long it is waited for then

	id       uint32
	asked    [32]wire.Probed // probes that were sent, by id, for late answers
	told     int             // the size that the peer was told of
	peer     int             // longest that the peer sends; 0: it has not said
	searched time.Time       // when the last search ended
	counts   pathCounts
}

// A path is what messages are sent by.
type path interface {
	// MTU returns what the kernel lets pass, at most what Use has set; Use sets it.
	MTU() int
	Use(size int)
}

type phase uint8

const (
	verifying phase = iota
	searching
	settled
)

type mtuSource string

const (
	fromConfig mtuSource = "configured" // the longest that there may be
	fromProbes mtuSource = "probed"
	fromKernel mtuSource = "kernel" // the MTU of a link of this machine, or ICMP
)

// pathCounts count what has happened.
type pathCounts struct{ probes, answers, holes, narrowed uint64 }

// newPathMTU returns a pathMTU that begins with a size, at most top, that is known from elsewhere, and how; 0 means top.
func newPathMTU(p path, top, base, safe, size int, source mtuSource) *pathMTU {
	m := &pathMTU{path: p, top: top, base: min(base, top), safe: min(safe, top), patience: time.Second}
	m.size, m.source = top, fromConfig
	if size > 0 && size < top {
		m.size, m.source = size, source
	}
	p.Use(m.size)
	m.verify(top, 0)
	return m
}

// look takes in what time it is, the round trip if it is known, and how many bytes of packets have been sent, and returns
// the probes to send. It is called often, and whenever something has happened. hole says that packets were sent into
// nothing until now.
func (m *pathMTU) look(now time.Time, rtt time.Duration, sent uint64) (probes []wire.Probe, hole bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	holes := m.counts.holes
	if mtu := m.path.MTU(); mtu < m.size {
		m.narrow(mtu)
	}
	if m.phase == settled {
		m.resume(now, sent)
	}
	for m.phase != settled && len(probes) == 0 && !m.round.waiting(now, rtt) {
		if m.round.tries < maxProbes && !m.decided() {
			probes = m.try(now, rtt)
		} else {
			m.conclude(now, sent)
		}
	}
	if m.phase == settled && m.told != m.size {
		probes = append(probes, m.probe(wire.LeastProbe)) // which tells the peer
	}
	return probes, m.counts.holes != holes
}

// resume begins what is to be done again from time to time.
func (m *pathMTU) resume(now time.Time, sent uint64) {
	after, bytes, least := confirmAfter, sent-m.sentThen, uint64(m.size)
	switch {
	case m.unknown:
		after, least = m.patience, 0
	case bytes >= bulk*uint64(m.size):
		after = confirmBulk
	}
	switch {
	case m.size < m.top && !now.Before(m.raiseAt) && !m.unknown:
		m.search(m.top + 1)
	case bytes > least && now.Sub(m.confirmed) >= after:
		m.verify(m.size, 0)
	}
}

// narrow takes in that the kernel lets less pass than it did.
func (m *pathMTU) narrow(mtu int) {
	m.counts.narrowed++
	m.asked = [len(m.asked)]wire.Probed{} // answers tell of the path that was
	before := m.size
	m.size, m.source = mtu, fromKernel
	m.verify(mtu, before)
}

// again begins anew: what is sent is verified, and whether there is more.
func (m *pathMTU) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verify(m.size, m.top+1)
}

// use changes the size.
func (m *pathMTU) use(size int, source mtuSource) {
	m.size, m.source = size, source
	if size == m.top {
		m.source = fromConfig
	}
	m.path.Use(size)
}

// refused takes in that a probe did not even leave. If it is no longer than what the kernel lets pass, ICMP has come about
// another one in that moment.
func (m *pathMTU) refused(length int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if length <= m.path.MTU() {
		return
	}
	if m.refuse == 0 || length < m.refuse {
		m.refuse = length
	}
	m.round.over = m.round.over || m.decided()
}

// answered takes in that a probe has arrived.
func (m *pathMTU) answered(now time.Time, p wire.Probed, sent uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.ID == 0 || m.asked[p.ID%uint32(len(m.asked))] != p { // none of ours, or much too late, or something has cut it
		return
	}
	m.asked[p.ID%uint32(len(m.asked))] = wire.Probed{}
	m.counts.answers++
	m.unknown, m.patience = false, time.Second
	if p.Length > wire.LeastProbe {
		m.round.best = max(m.round.best, p.Length)
	}
	switch {
	case p.Length > m.size:
		m.use(p.Length, fromProbes)
		if m.phase == settled && m.size < m.top { // an answer that was waited for in vain
			m.search(m.top + 1)
		}
		fallthrough
	case p.Length == m.size:
		m.confirmed, m.sentThen = now, sent
	}
	m.round.over = m.round.over || m.decided()
}

// heard takes in what a probe of the peer tells of the other direction.
func (m *pathMTU) heard(p wire.Probe) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.Sending > 0 {
		m.peer = int(p.Sending)
	}
}
