package carrier

import (
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A queue holds frames that wait to be read. It is bounded: when it is full the newest are dropped.
type queue struct {
	limit int // bytes of memory

	mu       sync.Mutex
	changed  sync.Cond // any of the following, in a way that somebody waits for
	ring     []item
	first    int
	count    int
	size     int // bytes of memory of the items
	deadline time.Time
	alarm    *time.Timer // nil until there is a deadline
	err      error       // why nothing comes any more
}

// An item is a frame and where it came from.
type item struct {
	from netip.Addr
	buf  *frame.Buf
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit}
	q.changed.L = &q.mu
	return q
}

// push puts a copy of a frame into the queue, and reports whether there was room. Nobody is woken: see wake.
func (q *queue) push(from netip.Addr, p []byte) bool {
	b := frame.Get(0, len(p))
	q.mu.Lock()
	if q.err != nil || q.size+b.Cap() > q.limit && q.count > 0 {
		q.mu.Unlock()
		b.Release()
		return false
	}
	copy(b.Append(len(p)), p)
	if q.count == len(q.ring) {
		q.grow()
	}
	q.ring[(q.first+q.count)&(len(q.ring)-1)] = item{from, b}
	q.count++
	q.size += b.Cap()
	q.mu.Unlock()
	return true
}

// grow makes room for twice as many items; their number is a power of two.
func (q *queue) grow() {
	ring := make([]item, max(2*len(q.ring), 16))
	for i := range q.count {
		ring[i] = q.ring[(q.first+i)&(len(q.ring)-1)]
	}
	q.ring, q.first = ring, 0
}

// wake makes those look who wait in pop. It takes the lock so as not to come between a look and the waiting.
func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed.Broadcast()
}

// pop waits for a frame and copies it to p. n is what was copied; if the frame is longer, its end is lost.
func (q *queue) pop(p []byte) (n int, from netip.Addr, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case !q.deadline.IsZero() && !time.Now().Before(q.deadline):
			return 0, from, os.ErrDeadlineExceeded
		case q.count > 0:
			i := q.take()
			n = copy(p, i.buf.Bytes())
			i.buf.Release() // without defer, which allocates in a loop
			return n, i.from, nil
		case q.err != nil:
			return 0, from, q.err
		}
		q.changed.Wait()
	}
}

// take removes the oldest item of a queue that has one.
func (q *queue) take() item {
	i := q.ring[q.first]
	q.ring[q.first] = item{}
	q.first = (q.first + 1) & (len(q.ring) - 1)
	q.count--
	q.size -= i.buf.Cap()
	return i
}

// setDeadline ends a pop that waits at t, and all that come later; the zero time: none.
func (q *queue) setDeadline(t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.deadline = t; q.alarm != nil {
		q.alarm.Stop()
	}
	if wait := time.Until(t); !t.IsZero() && q.alarm == nil {
		q.alarm = time.AfterFunc(wait, q.wake)
	} else if !t.IsZero() {
		q.alarm.Reset(wait)
	}
	q.changed.Broadcast()
}

// end drops what waits and makes every pop return why. It reports whether the queue had not ended before.
func (q *queue) end(why error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return false
	}
	q.err = why
	for q.count > 0 {
		q.take().buf.Release()
	}
	if q.alarm != nil {
		q.alarm.Stop()
	}
	q.changed.Broadcast()
	return true
}
