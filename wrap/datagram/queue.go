package datagram

import (
	"encoding/binary"

	"github.com/encase-tls/encase/frame"
)

// A queue holds messages that wait for Read, side by side in few buffers, each behind its length. An empty queue holds
// no buffer.
type queue struct {
	chunks []*frame.Buf
	size   int // bytes of messages
}

const (
	prefixLen  = 2
	firstChunk = 2 << 10 // and then as much again as there is, up to lastChunk
	lastChunk  = 64 << 10
)

// push adds a message, unless the queue would hold more than limit bytes then; one message always fits.
func (q *queue) push(message []byte, limit int) bool {
	if q.size > 0 && q.size+len(message) > limit {
		return false
	}
	need := prefixLen + len(message)
	if n := len(q.chunks); n == 0 || q.chunks[n-1].Tailroom() < need {
		q.chunks = append(q.chunks, frame.Get(0, max(need, min(max(q.size, firstChunk), lastChunk))))
	}
	b := q.chunks[len(q.chunks)-1]
	binary.BigEndian.PutUint16(b.Append(prefixLen), uint16(len(message)))
	copy(b.Append(len(message)), message)
	q.size += len(message)
	return true
}

// pop takes the oldest message and copies to p what has room there; n is how long it was. ok is false if there is none.
func (q *queue) pop(p []byte) (n int, ok bool) {
	if len(q.chunks) == 0 {
		return 0, false
	}
	b := q.chunks[0]
	n = int(binary.BigEndian.Uint16(b.Bytes()))
	copy(p, b.Bytes()[prefixLen:prefixLen+n])
	b.TrimFront(prefixLen + n)
	q.size -= n
	if b.Len() == 0 {
		b.Release()
		copy(q.chunks, q.chunks[1:])
		q.chunks[len(q.chunks)-1] = nil
		q.chunks = q.chunks[:len(q.chunks)-1]
		q.shrink()
	}
	return n, true
}

// shrink lets go of an array that an idle Conn needs not.
func (q *queue) shrink() {
	const idle = 4
	if len(q.chunks) == 0 && cap(q.chunks) > idle {
		q.chunks = nil
	}
}

func (q *queue) empty() bool { return len(q.chunks) == 0 }

func (q *queue) drop() {
	for _, b := range q.chunks {
		b.Release()
	}
	*q = queue{}
}
