package dtls

import (
	"sync"
	"sync/atomic"
)

// maxQueued is how many bytes may wait for Flush. The longest flight, 64 KiB of certificates in fragments of the least
// MTU, has room in it.
const maxQueued = 128 << 10

// A queue holds datagrams that wait for Flush. Nobody waits for room in it: what is too much pushes out the oldest,
// as on a network.
type queue struct {
	mu    sync.Mutex
	list  [][]byte
	lost  uint64
	mute  bool         // nothing is taken in any more
	bytes atomic.Int64 // in list
}

// push adds a datagram, which must not change any more.
func (q *queue) push(d []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mute {
		return
	}
	q.list = append(q.list, d)
	q.bytes.Add(int64(len(d)))
	for q.bytes.Load() > maxQueued {
		q.shift()
		q.lost++
	}
}

// pop appends the oldest datagram to dst and reports whether there are more.
func (q *queue) pop(dst []byte) (out []byte, more bool) {
	if q.bytes.Load() == 0 {
		return dst, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return dst, false
	}
	return append(dst, q.shift()...), len(q.list) > 0
}

func (q *queue) shift() []byte {
	d := q.list[0]
	q.list[0] = nil
	if q.list = q.list[1:]; len(q.list) == 0 {
		q.list = nil
	}
	q.bytes.Add(-int64(len(d)))
	return d
}

// drop forgets everything, and whatever comes later.
func (q *queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list, q.mute = nil, true
	q.bytes.Store(0)
}

func (q *queue) dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}
