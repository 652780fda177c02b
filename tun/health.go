package tun

import (
	"sync"
	"time"

	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
)

const (
	// askAfter is how long an end waits for a word of the peer, after it has sent something, before it asks.
	askAfter = time.Second
	// silentAfter is how long a client then waits, at least, until it tries a new connection beside.
	silentAfter = 250 * time.Millisecond
	// stallAfter is how long it waits before it holds the connection for stalled, and takes another if there is one.
	stallAfter = 3 * time.Second
)

// A health tells whether a connection works: whether the peer is heard, and whether packets arrive there, not only
// control messages, which a faulty codec or a filter on the way may treat differently.
type health struct {
	mu       sync.Mutex
	heard    time.Time // something came
	unheard  time.Time // the first thing that was sent since; zero: nothing was
	asked    time.Time // the last Ping
	id       uint32
	rtt      time.Duration // smoothed; 0: not known
	answered int           // Pongs
	newest   time.Duration // the round trip of the last
	lost     bool          // packets of this end do not arrive
	last     wire.Ping     // the peer's last Pong, and what had been sent when it was asked for
	sentThen uint32
	sent     uint64 // packets, at the last look
	received uint64
	loss     float64       // of packets that were sent, between the last two Pongs
	once     chan struct{} // closed with the first Pong
}

func (h *health) init(now time.Time) { h.heard, h.once = now, make(chan struct{}) }

// first returns a channel that is closed when the peer has answered.
func (h *health) first() <-chan struct{} { return h.once }

// hear takes in that something has come.
func (h *health) hear(now time.Time) {
	h.mu.Lock()
	h.heard, h.unheard = now, time.Time{}
	h.mu.Unlock()
}

// look takes in what the connection has moved, and says what to do: ask the peer, or give it up.
func (h *health) look(now time.Time, s link.Stats, keepalive, dead time.Duration) (ask, giveUp bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Received != h.received {
		h.heard, h.unheard, h.received = now, time.Time{}, s.Received
	}
	if s.Sent != h.sent {
		h.sent = s.Sent
		if h.unheard.IsZero() {
			h.unheard = now
		}
	}
	if now.Sub(h.heard) > dead {
		return false, true
	}
	waits := !h.unheard.IsZero() && now.Sub(h.unheard) >= askAfter && now.Sub(h.asked) >= askAfter
	return waits || now.Sub(h.heard) >= keepalive && now.Sub(h.asked) >= min(keepalive, askAfter), false
}

// ask returns the next Ping to send; sent is how many packets have been.
func (h *health) ask(now time.Time, counts wire.Ping) wire.Ping {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.id++
	h.asked, h.sentThen = now, counts.Sent
	if h.unheard.IsZero() {
		h.unheard = now
	}
	counts.ID = h.id
	return counts
}

// least is how many packets must have been sent before their loss means something.
const least = 8

// pong takes in an answer.
func (h *health) pong(p wire.Ping, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.ID != h.id || h.asked.IsZero() {
		return // an old one
	}
	if h.answered++; h.answered == 1 {
		close(h.once)
	}
	h.newest = now.Sub(h.asked)
	if rtt := h.newest; h.rtt == 0 {
		h.rtt = rtt
	} else {
		h.rtt += (rtt - h.rtt) / 8
	}
	sent := h.sentThen - h.last.Sent
	if h.answered > 1 && sent >= least {
		arrived := min(p.Received-h.last.Received, sent)
		h.lost = arrived == 0
		h.loss = 1 - float64(arrived)/float64(sent)
		h.last = wire.Ping{Sent: h.sentThen, Received: p.Received}
	} else if h.answered == 1 {
		h.last = wire.Ping{Sent: h.sentThen, Received: p.Received}
	}
}

// latest returns how many answers there were, and the round trip of the last.
func (h *health) latest() (answered int, rtt time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answered, h.newest
}

// forgive forgets that packets did not arrive: those that go from now on are others.
func (h *health) forgive() {
	h.mu.Lock()
	h.lost = false
	h.mu.Unlock()
}

// roundTrip returns how long answers take, smoothed; 0: it is not known.
func (h *health) roundTrip() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rtt
}

// works reports whether packets can be expected to arrive.
func (h *health) works(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.lost && (h.unheard.IsZero() || now.Sub(h.unheard) < stallAfter)
}

// silent reports whether the peer should have been heard by now, even if a packet or two were lost.
func (h *health) silent(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.unheard.IsZero() && now.Sub(h.unheard) >= askAfter+max(silentAfter, 2*h.rtt)
}

// proven reports whether the peer has ever answered.
func (h *health) proven() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answered > 0
}
