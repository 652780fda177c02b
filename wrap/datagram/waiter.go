package datagram

import (
	"sync"
	"sync/atomic"
	"time"
)

// A waiter is where Reads, or Writes, wait for something to change or for their deadline. Who has been woken looks
// again; if there is more than it takes, or if what it has found is true for all, it wakes the next. A nil *waiter is
// one where nobody waits.
type waiter struct {
	wake chan struct{} // a token: look again

	mu    sync.Mutex
	at    time.Time // the deadline; zero: none
	timer *time.Timer
}

// waiterOf returns the waiter in p, a new one if need be. Whoever wants to wait must look again after that.
func waiterOf(p *atomic.Pointer[waiter]) *waiter {
	if w := p.Load(); w != nil {
		return w
	}
	p.CompareAndSwap(nil, &waiter{wake: make(chan struct{}, 1)})
	return p.Load()
}

// wait waits until something may have changed.
func (w *waiter) wait() { <-w.wake }

func (w *waiter) poke() {
	if w == nil {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// expired reports whether the deadline has passed.
func (w *waiter) expired() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.at.IsZero() && !time.Now().Before(w.at)
}

func (w *waiter) setDeadline(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = t
	switch {
	case t.IsZero() && w.timer != nil:
		w.timer.Stop()
	case t.IsZero():
	case w.timer == nil:
		w.timer = time.AfterFunc(time.Until(t), w.poke)
	default:
		w.timer.Reset(time.Until(t))
	}
	w.poke()
}
