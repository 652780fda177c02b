package pionv2

import "sync"

// maxQueued is how many bytes may wait for Flush; what is too much pushes out the oldest, as on a network.
const maxQueued = 128 << 10

// A queue holds datagrams that wait for Flush. Nobody waits for room in it.
type queue struct {
	mu    sync.Mutex
	list  [][]byte
	bytes int
}

// push adds a datagram, which must not change any more.
func (q *queue) push(d []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, d)
	q.bytes += len(d)
	for q.bytes > maxQueued {
		q.shift()
	}
}

// pop appends the oldest datagram to dst and reports whether there are more.
func (q *queue) pop(dst []byte) (out []byte, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return dst, false
	}
	return append(dst, q.shift()...), len(q.list) > 0
}

func (q *queue) shift() (d []byte) {
	d, q.list = q.list[0], q.list[1:]
	q.bytes -= len(d)
	return d
}

func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

func (q *queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list, q.bytes = nil, 0
}
