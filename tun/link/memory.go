package link

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/tun/packet"
)

// What Queues cost: a server has thousands.

// Buffers belong to a connection while it moves something, and to nobody while it waits.
var (
	sendBuffers = sync.Pool{New: func() any { b := make([]byte, 0, gathered+4096); return &b }}
	intakes     = sync.Pool{New: func() any { return new(intake) }}
	sheets      = sync.Pool{New: func() any { return newSheet() }}
	joins       = sync.Pool{New: func() any { return new(packet.Coalescer) }}
)

// much is how many bytes a Read of a stream brings from which it is worth while to keep its buffer for the next: a peer
// that sends in bulk brings records of 16 KiB.
const much = 4 << 10

// An intake is what a stream is read into, and where packets are joined.
type intake struct {
	buf  [readBuffer]byte
	join packet.Coalescer
}

// A Budget bounds what many Queues hold together. Each may have as much as is left for all: so one that fills up gets
// half of it, two a third each, and those whose peers read what they get always find room.
//
// A. K. Choudhury and E. L. Hahne, Dynamic Queue Length Thresholds for Shared-Memory Packet Switches, 1998.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a Budget of so many bytes of memory. Queues of it can exceed it, but not by more than 256 KiB each.
func NewBudget(limit int) *Budget { return &Budget{limit: int64(limit)} }

// leastShare is what a Queue may hold in any case: a few super-packets.
const leastShare = 256 << 10

// Used returns how many bytes of memory wait in all Queues.
func (b *Budget) Used() int { return int(b.used.Load()) }

// Share makes q one of those that b bounds. It is called before q is used; a nil b bounds nothing.
func (b *Budget) Share(q *Queue) { q.budget = b }

// most returns how many bytes may wait at the moment.
func (q *Queue) most() int {
	if q.budget == nil {
		return q.limit
	}
	return min(q.limit, max(leastShare, int(q.budget.limit-q.budget.used.Load())))
}

// account takes in that so many bytes more wait.
func (q *Queue) account(n int) {
	q.bytes += n
	if q.budget != nil {
		q.budget.used.Add(int64(n))
	}
}

// flowAt returns a flow, which it makes if need be.
func (q *Queue) flowAt(i uint32) *flow {
	if q.flows == nil {
		q.flows = new([flowCount]*flow)
	}
	if q.flows[i] == nil {
		q.flows[i] = new(flow)
	}
	return q.flows[i]
}

// Trim gives memory back if nothing has been put in for so long that no flow has a past that matters. It is to be
// called now and then: of a thousand connections most have nothing to say.
func (q *Queue) Trim(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flows != nil && q.fresh.first == nil && q.old.first == nil && now.Sub(q.last) > forgetAfter {
		q.flows = nil
	}
}
