package forward

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// A slow outlet takes as long as the test lets it.
type slowOutlet struct {
	mu      sync.Mutex
	got     [][]byte
	batches int
	gate    chan struct{}
}

func (o *slowOutlet) send(messages [][]byte, _ *losses) {
	<-o.gate
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches++
	for _, m := range messages {
		o.got = append(o.got, bytes.Clone(m))
	}
}

func (o *slowOutlet) close() {}

func (o *slowOutlet) count() (messages, batches int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got), o.batches
}

// What comes before there is an outlet, or while it is busy, waits up to the limit, leaves in order and together, and
// whoever brings it is never kept.
func TestWay(t *testing.T) {
	w := way{limit: 100}
	w.push([]byte("aaabbbccc"), 3) // as GRO brings it
	w.push(bytes.Repeat([]byte("x"), 90), 0)
	w.push([]byte("too much"), 0)
	o := &slowOutlet{gate: make(chan struct{})}
	w.open(o)
	eventually(t, "they are on their way", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.waiting == nil
	})
	for range 5 {
		w.push([]byte("later"), 0)
	}
	close(o.gate)
	eventually(t, "all have left", func() bool { n, _ := o.count(); return n == 9 })
	if _, batches := o.count(); batches != 2 {
		t.Errorf("%d batches", batches)
	}
	for i, want := range []string{"aaa", "bbb", "ccc", string(bytes.Repeat([]byte("x"), 90)), "later"} {
		if string(o.got[i]) != want {
			t.Errorf("message %d is %q, want %q", i, o.got[i], want)
		}
	}
	if w.messages.Load() != 10 || w.lost.full.Load() != 1 {
		t.Errorf("%d messages, %d lost", w.messages.Load(), w.lost.full.Load())
	}
	eventually(t, "nobody is busy", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !w.busy && w.waiting == nil
	})
	w.end()
	w.push([]byte("after the end"), 0)
	time.Sleep(10 * time.Millisecond)
	if n, _ := o.count(); n != 9 {
		t.Errorf("%d messages have left", n)
	}
}

// A way that is in use allocates nothing.
func TestWayAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	w := way{limit: 1 << 20, busy: true} // nothing is sent
	message := bytes.Repeat([]byte("x"), 1000)
	w.push(message, 0)
	w.waiting.data = make([]byte, 0, 1<<20)
	w.waiting.ends = make([]int, 0, 1000)
	if n := testing.AllocsPerRun(500, func() { w.push(message, 0) }); n > 0 {
		t.Errorf("%v allocations for each datagram", n)
	}
}
