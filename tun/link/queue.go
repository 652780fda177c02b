package link

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/wire"
)

// A Queue holds what waits for a connection, each flow for itself: flows take turns, and one that says little, such as a
// question to a name server among downloads, is served before those that always have something. A flow that stands in
// the queue for too long is told so, by a mark if it understands it (ECN) and by a loss if not. Without that a tunnel
// over a slow path would keep seconds of packets. This is FQ-CoDel, with super-packets.
// https://www.rfc-editor.org/rfc/rfc8290
//
// What is put in never waits; what is taken out may. One goroutine takes, but for a few packets that find it waiting:
//
//	packets ─▶ offer ─▶ flows ─▶ Pop, by the goroutine that sends
//	             '── it waits in Pop, and they are few ──▶ sent by whoever brings them, who yields then
//
// So one goroutine reads and sends for as long as it can keep up. When it cannot, what it reads at once becomes more, until
// it is many: then two share the work, until the one that sends has nothing left to do.
type Queue struct {
	limit  int
	budget *Budget // nil: none
	target time.Duration
	seed   uint64

	mu      sync.Mutex
	flows   *[flowCount]*flow // nil while nothing has waited for some time; flows that have never had anything are nil
	last    time.Time         // when something was put in
	fresh   list              // flows that had nothing before
	old     list
	control []Message // go before all packets
	pending int       // bytes of them
	bytes   int
	closed  bool
	waiting bool
	wake    chan struct{}

	dropped, marked, full atomic.Uint64
}

const (
	flowCount = 256

	// quantum is what a flow may send when it is its turn, in bytes: a super-packet.
	quantum = 64 << 10
	// freshQuantum is what a flow may send that had nothing to say before: a few packets.
	freshQuantum = 3000

	// interval is the time in which a queue should have been short at least once, about a round trip.
	interval = 100 * time.Millisecond
	// forgetAfter is how long it counts that a flow has been told to slow down.
	forgetAfter = 16 * interval
	// DefaultTarget is how long a packet may wait as a rule.
	DefaultTarget = 5 * time.Millisecond
	// DefaultLimit is how many bytes of memory a Queue may hold.
	DefaultLimit = 8 << 20

	// few is how many packets whoever brings them may send. While it does, nobody reads: the kernel's queue fills, which
	// knows no flows.
	few = burstUnits / 8

	// maxControl bounds the control messages that wait, in bytes.
	maxControl = 64 << 10
)

// A Message is a control message for the peer.
type Message struct {
	Type wire.Type
	Body []byte
}

// A flow is those packets whose flowOf leads to the same place.
type flow struct {
	first, last *Unit
	bytes       int
	credit      int
	queued      bool // in one of the lists
	next        *flow

	above     time.Time // when the queue will have been too long for an interval; zero: it is not
	dropping  bool
	dropAt    time.Time
	drops     int
	lastDrops int
}

// A list of flows.
type list struct{ first, last *flow }

func (l *list) push(f *flow) {
	f.next = nil
	if l.last == nil {
		l.first = f
	} else {
		l.last.next = f
	}
	l.last = f
}

func (l *list) pop() *flow {
	f := l.first
	if l.first = f.next; l.first == nil {
		l.last = nil
	}
	return f
}

// NewQueue returns a Queue that holds at most limit bytes of memory and lets packets wait for target as a rule; 0 stands
// for the defaults.
func NewQueue(limit int, target time.Duration) *Queue {
	q := &Queue{limit: DefaultLimit, target: DefaultTarget, seed: rand.Uint64(), wake: make(chan struct{}, 1)}
	if limit > 0 {
		q.limit = limit
	}
	if target > 0 {
		q.target = target
	}
	return q
}

// Push puts Units, which it takes over, into the queue. When the queue is full, the flow that fills it most loses.
func (q *Queue) Push(units ...*Unit) { q.offer(units, false) }

// offer is Push, but it may ask its caller to send the Units itself, and then to call yield: if self is true, they are a few
// small packets, and the goroutine that sends waits. To wake that costs more than such packets, in their time and that of
// the processors.
func (q *Queue) offer(units []*Unit, self bool) (yours bool) {
	now := time.Now()
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		for _, u := range units {
			u.Release()
		}
		return false
	}
	if self && q.waiting && len(units) <= few && !slices.ContainsFunc(units, (*Unit).long) {
		q.waiting, q.last = false, now
		q.mu.Unlock()
		return true
	}
	q.last = now
	for _, u := range units {
		q.put(u, now)
	}
	q.signal()
	return false
}

// put puts a Unit into its flow.
func (q *Queue) put(u *Unit, now time.Time) {
	u.at = now
	f := q.flowAt(flowOf(&u.Packet, q.seed) % flowCount)
	f.put(u)
	q.account(u.cost())
	if !f.queued {
		f.queued, f.credit = true, freshQuantum
		q.fresh.push(f)
	}
	for q.bytes > q.most() {
		q.shed()
	}
}

// yield gives the place of the goroutine that sends back.
func (q *Queue) yield() {
	q.mu.Lock()
	q.waiting = true
	if q.closed || q.fresh.first != nil || q.old.first != nil || len(q.control) > 0 {
		q.signal()
		return
	}
	q.mu.Unlock()
}

// PushControl puts a message, whose body it keeps, in front of all packets. It reports false, and does nothing, when too
// many wait: the peer does not read.
func (q *Queue) PushControl(m Message) bool {
	q.mu.Lock()
	if q.closed || q.pending+len(m.Body) > maxControl || len(q.control) > maxControl/64 {
		q.mu.Unlock()
		return false
	}
	q.control = append(q.control, m)
	q.pending += len(m.Body)
	q.signal()
	return true
}

// signal wakes who waits, and unlocks.
func (q *Queue) signal() {
	wake := q.waiting
	q.waiting = false
	q.mu.Unlock()
	if wake {
		q.wake <- struct{}{}
	}
}

func (f *flow) put(u *Unit) {
	u.next = nil
	if f.last == nil {
		f.first = u
	} else {
		f.last.next = u
	}
	f.last = u
	f.bytes += u.cost()
}

func (q *Queue) take(f *flow) *Unit {
	u := f.first
	if u == nil {
		return nil
	}
	if f.first = u.next; f.first == nil {
		f.last = nil
	}
	u.next = nil
	f.bytes -= u.cost()
	q.account(-u.cost())
	return u
}

// shed drops the oldest packet of the flow that has most.
func (q *Queue) shed() {
	var most *flow
	for _, f := range []*flow{q.fresh.first, q.old.first} {
		for ; f != nil; f = f.next {
			if most == nil || f.bytes > most.bytes {
				most = f
			}
		}
	}
	q.take(most).Release()
	q.full.Add(1)
}

// takeAll takes out all packets. Those of a flow stay in their order.
func (q *Queue) takeAll() (all []*Unit) {
	if q.flows == nil {
		return nil
	}
	for _, f := range q.flows {
		if f == nil {
			continue
		}
		for u := q.take(f); u != nil; u = q.take(f) {
			all = append(all, u)
		}
	}
	return all
}

// Pop takes out what is to be sent next: all control messages that wait, or a Unit. It waits if there is nothing and
// wait is true; otherwise it returns nothing. ok is false when the queue is closed, and control messages still come.
func (q *Queue) Pop(wait bool) (control []Message, u *Unit, ok bool) {
	for {
		q.mu.Lock()
		switch {
		case len(q.control) > 0:
			control, q.control, q.pending = q.control, nil, 0
		case q.closed:
			q.mu.Unlock()
			return nil, nil, false
		default:
			u = q.next()
		}
		q.waiting = wait && u == nil && control == nil
		again := q.waiting
		q.mu.Unlock()
		if !again {
			return control, u, true
		}
		<-q.wake
	}
}

// next takes the next packet: from a fresh flow, or else from the old one whose turn it is.
func (q *Queue) next() *Unit {
	var now time.Time
	for {
		l, fresh := &q.fresh, true
		if l.first == nil {
			l, fresh = &q.old, false
		}
		f := l.first
		if f == nil {
			return nil
		}
		if f.credit <= 0 {
			f.credit += quantum
			l.pop()
			q.old.push(f)
			continue
		}
		if now.IsZero() {
			now = time.Now()
		}
		u := q.codel(f, now)
		if u == nil {
			l.pop()
			if fresh && q.old.first != nil { // it may not come back at once and be fresh again
				f.credit = 0
				q.old.push(f)
			} else {
				f.queued = false
			}
			continue
		}
		f.credit -= len(u.Data)
		return u
	}
}

// codel takes the next packet of a flow that is not to be dropped.
// https://www.rfc-editor.org/rfc/rfc8289#section-5.3
func (q *Queue) codel(f *flow, now time.Time) *Unit {
	u := q.take(f)
	tooLong := q.tooLong(f, u, now)
	if f.dropping {
		for f.dropping = tooLong; f.dropping && !now.Before(f.dropAt); {
			f.drops++
			f.dropAt = f.dropAt.Add(controlLaw(f.drops))
			if q.mark(u) {
				return u
			}
			u.Release()
			u = q.take(f)
			f.dropping = q.tooLong(f, u, now)
		}
		return u
	}
	if !tooLong {
		return u
	}
	f.dropping = true
	recent := f.drops - f.lastDrops
	if recent <= 1 || now.Sub(f.dropAt) >= forgetAfter {
		recent = 1
	}
	f.drops, f.lastDrops = recent, recent
	f.dropAt = now.Add(controlLaw(recent))
	if q.mark(u) {
		return u
	}
	u.Release()
	u = q.take(f)
	q.tooLong(f, u, now)
	return u
}

// tooLong reports whether packets of the flow have waited too long for an interval.
func (q *Queue) tooLong(f *flow, u *Unit, now time.Time) bool {
	if u == nil || now.Sub(u.at) < q.target || f.first == nil {
		f.above = time.Time{}
		return false
	}
	if f.above.IsZero() {
		f.above = now.Add(interval)
		return false
	}
	return !now.Before(f.above)
}

// mark tells the sender of u of the congestion; if it does not understand that, u is to be dropped.
func (q *Queue) mark(u *Unit) bool {
	if packet.MarkCongested(u.Data) {
		q.marked.Add(1)
		return true
	}
	q.dropped.Add(1)
	return false
}

func controlLaw(drops int) time.Duration {
	return time.Duration(float64(interval) / math.Sqrt(float64(drops)))
}

// Len returns how many bytes of memory wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// Close releases the packets that wait and ends Pop once it has returned the control messages.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	for _, u := range q.takeAll() {
		u.Release()
	}
	q.signal()
}

// MoveTo puts the packets that wait into another Queue; those of a flow stay in their order.
func (q *Queue) MoveTo(other *Queue) {
	q.mu.Lock()
	all := q.takeAll()
	q.mu.Unlock()
	other.Push(all...)
}
