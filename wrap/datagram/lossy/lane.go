package lossy

import (
	"math/rand/v2"
	"time"
)

// luck decides.
type luck struct {
	Conditions
	rng *rand.Rand
}

func newLuck(c Conditions, seed uint64) *luck {
	return &luck{c, rand.New(rand.NewPCG(seed, 0x6c6f737379))}
}

// strikes reports whether something happens that does so with a share of datagrams.
func (l *luck) strikes(share float64) bool { return l.rng.Float64() < share }

// A lane is one direction of a path. All of it is used under the lock of the Relay.
type lane struct {
	send func(d []byte)
	held [][]byte // overtaken by the next, if one comes soon
	wait *time.Timer
}

const defaultHold = 2 * time.Millisecond

// treat does to a datagram what is its fate. The caller holds r.mu.
func (r *Relay) treat(l *lane, d []byte) {
	switch {
	case r.luck.MTU > 0 && len(d) > r.luck.MTU:
		r.stats.TooLong++
		return
	case r.luck.strikes(r.luck.Loss):
		r.stats.Lost++
		return
	}
	r.stats.Passed++
	twice := r.luck.strikes(r.luck.Duplicate)
	if r.luck.strikes(r.luck.Reorder) {
		r.stats.Reordered++
		r.hold(l, d)
	} else {
		l.send(d)
		l.release()
	}
	if twice {
		r.stats.Duplicated++
		l.send(d)
	}
}

// hold keeps a datagram until the next has passed, or for a while.
func (r *Relay) hold(l *lane, d []byte) {
	l.held = append(l.held, append([]byte(nil), d...))
	if l.wait != nil {
		return
	}
	patience := r.luck.Hold
	if patience == 0 {
		patience = defaultHold
	}
	l.wait = time.AfterFunc(patience, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		l.release()
	})
}

// release sends what is held.
func (l *lane) release() {
	for _, d := range l.held {
		l.send(d)
	}
	l.forget()
}

// forget drops what is held.
func (l *lane) forget() {
	l.held = nil
	if l.wait != nil {
		l.wait.Stop()
		l.wait = nil
	}
}
