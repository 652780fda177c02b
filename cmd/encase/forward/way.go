package forward

import (
	"sync"
	"sync/atomic"

	"github.com/encase-tls/encase/wrap/udp"
)

// An outlet takes datagrams for one of the two ends of an exchange.
type outlet interface {
	// send sends messages, as many as it can in one system call. It may wait for a socket, and keeps nothing. What the
	// other end will not get is added to lost.
	send(messages [][]byte, lost *losses)
	// close ends the end. It may wait until what was sent has left.
	close()
}

// losses are datagrams that came and did not go on.
type losses struct {
	full    atomic.Int64 // too many waited
	tooLong atomic.Int64 // for the path, or for a record
	unsent  atomic.Int64 // the network refused them
	longest atomic.Int64 // bytes of what was too long
	most    atomic.Int64 // bytes that would have gone
}

func (l *losses) total() int64 { return l.full.Load() + l.tooLong.Load() + l.unsent.Load() }

// noteTooLong counts a message of so many bytes where so many go.
func (l *losses) noteTooLong(size, most int) {
	l.tooLong.Add(1)
	l.longest.Store(max(l.longest.Load(), int64(size)))
	l.most.Store(int64(most))
}

// A way carries datagrams from one end of an exchange to the other. Whoever receives never waits: what cannot leave at
// once is kept, up to a limit, and what leaves together, leaves in one batch. While nothing is kept, a way has neither
// goroutine nor buffer.
type way struct {
	messages, bytes atomic.Int64 // received
	lost            losses
	limit           int // bytes that may wait

	mu      sync.Mutex
	out     outlet   // nil: there is none yet
	waiting *letters // nil: none
	busy    bool     // a goroutine sends
	over    bool
}

// push takes a datagram, or several of segment bytes that lie side by side; data stays the caller's.
func (w *way) push(data []byte, segment int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	for part := range (&udp.Packet{Data: data, Segment: segment}).Datagrams() {
		w.keep(part)
	}
	w.kick()
}

func (w *way) keep(message []byte) {
	w.messages.Add(1)
	w.bytes.Add(int64(len(message)))
	if w.waiting == nil {
		w.waiting = postbags.Get().(*letters)
	} else if len(w.waiting.data)+len(message) > w.limit {
		w.lost.full.Add(1)
		return
	}
	w.waiting.add(message)
}

// kick begins to send what waits. The caller holds w.mu.
func (w *way) kick() {
	if w.waiting != nil && w.out != nil && !w.busy && !w.over {
		w.busy = true
		go w.run()
	}
}

// open lets what is kept, and what comes, go to out.
func (w *way) open(out outlet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = out
	w.kick()
}

// run sends what waits until nothing does.
func (w *way) run() {
	for {
		w.mu.Lock()
		l, out := w.waiting, w.out
		w.waiting = nil
		if l == nil || w.over {
			w.busy = false
			w.mu.Unlock()
			l.release()
			return
		}
		w.mu.Unlock()
		out.send(l.messages(), &w.lost)
		l.release()
	}
}

// end drops what waits and takes no more.
func (w *way) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.waiting.release()
	w.waiting = nil
}

// letters are messages that wait, side by side.
type letters struct {
	data []byte
	ends []int
	list [][]byte
}

var postbags = sync.Pool{New: func() any { return new(letters) }}

func (l *letters) add(message []byte) {
	l.data = append(l.data, message...)
	l.ends = append(l.ends, len(l.data))
}

// messages returns them as a list, which is valid until release.
func (l *letters) messages() [][]byte {
	from := 0
	for _, to := range l.ends {
		l.list = append(l.list, l.data[from:to:to])
		from = to
	}
	return l.list
}

func (l *letters) release() {
	if l != nil {
		l.data, l.ends, l.list = l.data[:0], l.ends[:0], l.list[:0]
		postbags.Put(l)
	}
}
