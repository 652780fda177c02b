package forward

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/encase-tls/encase/frame"
)

var (
	// errIdle ends a connection over which nothing has come for too long.
	errIdle = errors.New("forward: idle")

	// errGone is about data for a peer that had ended what it sends and then went away: it had what it wanted.
	errGone = errors.New("forward: the peer has ended and left before it got everything")
)

// A relay moves bytes between two ends, both ways at once, until both ways have ended in order or something has failed.
// An end in order stays one: FIN or close_notify on one side becomes close_notify or FIN on the other. What fails ends
// both sides as an abort, so that nobody takes for complete what was cut.
type relay struct {
	ends  [2]*end // client, server
	pool  *frame.Pool
	moved [2]atomic.Int64 // bytes received from each
	last  atomic.Int64    // when the last of them came, in nanoseconds since start
	start time.Time

	ended  [2]atomic.Bool // whose way has ended in order
	first  atomic.Int32   // 1 + the party whose way did so first
	failed sync.Once
	by     party
	err    error
	over   atomic.Bool
}

// run relays and returns who ended the connection, and why unless in order. The ends are closed then.
func (r *relay) run(idle time.Duration) (by party, err error) {
	r.start = time.Now()
	stop := r.watch(idle)
	var other sync.WaitGroup
	other.Go(func() { r.way(r.ends[server], r.ends[client]) })
	r.way(r.ends[client], r.ends[server])
	other.Wait()
	stop()
	if !r.settled(party(r.first.Load()-1), nil) {
		return r.by, r.err
	}
	r.both((*end).close)
	return r.by, nil
}

// way moves bytes from src to dst until src ends.
func (r *relay) way(src, dst *end) {
	for !r.over.Load() {
		b, err := src.receive(r.pool)
		if b != nil && !r.pass(b, src, dst) {
			return
		}
		switch {
		case err == io.EOF:
			r.ended[src.party].Store(true)
			r.first.CompareAndSwap(0, 1+int32(src.party))
			if err := dst.closeWrite(); err != nil {
				r.sendFailed(dst, err)
			}
			return
		case err != nil:
			r.fail(src.party, err)
			return
		}
	}
}

// pass sends and releases b.
func (r *relay) pass(b *frame.Buf, src, dst *end) bool {
	defer b.Release()
	r.moved[src.party].Add(int64(b.Len()))
	r.last.Store(int64(time.Since(r.start)))
	if err := dst.send(b.Bytes()); err != nil {
		r.sendFailed(dst, err)
		return false
	}
	return true
}

// sendFailed ends the connection because dst did not take what it was sent.
func (r *relay) sendFailed(dst *end, err error) {
	left := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOTCONN)
	if left && r.ended[dst.party].Load() {
		err = fmt.Errorf("%w: %w", errGone, err)
	}
	r.fail(dst.party, err)
}

// fail ends the connection; the first reason counts. What was moved before is delivered before.
func (r *relay) fail(by party, err error) {
	if r.settled(by, err) {
		r.both((*end).abort)
	}
}

// kill ends the connection at once, also one that fail is about to end.
func (r *relay) kill(by party, err error) {
	r.settled(by, err)
	r.both((*end).reset)
}

// settled notes why the connection ends and reports whether that had not been settled before.
func (r *relay) settled(by party, err error) (first bool) {
	r.failed.Do(func() {
		r.by, r.err, first = by, err, true
		r.over.Store(true)
	})
	return first
}

func (r *relay) both(do func(*end)) {
	var both sync.WaitGroup
	for _, e := range r.ends {
		both.Go(func() { do(e) })
	}
	both.Wait()
}

// watch ends the connection when nothing has come for the time idle, unless that is 0.
func (r *relay) watch(idle time.Duration) (stop func()) {
	if idle == 0 {
		return func() {}
	}
	var timer *time.Timer
	var mu sync.Mutex // timer is set before its function looks
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(idle, func() {
		mu.Lock()
		defer mu.Unlock()
		quiet := time.Since(r.start) - time.Duration(r.last.Load())
		if quiet < idle {
			timer.Reset(idle - quiet)
			return
		}
		r.kill(self, fmt.Errorf("%w: no byte in either direction for %v", errIdle, idle))
	})
	return func() { timer.Stop() }
}
