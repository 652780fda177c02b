package enginetest

import (
	"math/rand/v2"
	"time"
)

// A network loses, repeats and delays datagrams, each of the three with the probability rate.
type network struct {
	rate   float64
	rng    *rand.Rand
	lose   func(from *end, d []byte) bool // these as well; nil: none
	flying []flight
	sent   map[*end][][]byte // all that an end has sent, what is lost included
}

// A flight is a datagram on its way.
type flight struct {
	to  *end
	due time.Time
	d   []byte
}

const maxDelay = 200 * time.Millisecond

func newNetwork(rate float64, seed uint64) *network {
	return &network{rate: rate, rng: rand.New(rand.NewPCG(seed, 0)), sent: map[*end][][]byte{}}
}

func (n *network) chance() bool { return n.rng.Float64() < n.rate }

// send takes what an end has sent.
func (n *network) send(e *end) {
	for _, d := range e.sent {
		n.sent[e] = append(n.sent[e], d)
		if n.lose != nil && n.lose(e, d) || n.chance() {
			continue
		}
		n.fly(e.peer, d)
		if n.chance() {
			n.fly(e.peer, d)
		}
	}
	e.sent = nil
}

func (n *network) fly(to *end, d []byte) {
	due := time.Now()
	if n.chance() {
		due = due.Add(time.Duration(n.rng.Int64N(int64(maxDelay))))
	}
	n.flying = append(n.flying, flight{to, due, d})
}

// arrive gives an end the datagrams that are due.
func (n *network) arrive(to *end) (moved bool, err error) {
	now, flying := time.Now(), n.flying
	n.flying = nil
	for _, f := range flying {
		if f.to != to || f.due.After(now) {
			n.flying = append(n.flying, f)
			continue
		}
		if moved = true; err == nil && to.err == nil {
			_, err = to.open(f.d)
		}
	}
	return moved, err
}

// next returns when the next datagram arrives.
func (n *network) next() (t time.Time, ok bool) {
	for _, f := range n.flying {
		if !ok || f.due.Before(t) {
			t, ok = f.due, true
		}
	}
	return t, ok
}
