package enginetest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
)

// A broken engine is a good one with a fault in front of it.
type broken struct {
	bio.Engine
	open  func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error)
	seal  func(e bio.Engine, dst, p []byte) ([]byte, int, error)
	flush func(e bio.Engine, dst []byte, limit int) ([]byte, bool)
	eof   func(e bio.Engine) error
	over  func(e bio.Engine) int
	close func(e bio.Engine) error
	abort func(e bio.Engine, err error)

	// Of engines for datagrams.
	ready     <-chan struct{}
	tick      func(e bio.Engine, now time.Time) (bio.Status, error)
	sealBatch func(e *dtls.Engine, dst []byte, messages [][]byte, head, tail int) ([]byte, int, int, error)
	openBatch func(e *dtls.Engine, dst [][]byte, buf []byte, segment int) ([][]byte, bio.Status, error)
}

func (b *broken) Open(dst, src []byte) ([]byte, bio.Status, error) {
	if b.open == nil {
		return b.Engine.Open(dst, src)
	}
	return b.open(b.Engine, dst, src)
}

func (b *broken) Seal(dst, p []byte) ([]byte, int, error) {
	if b.seal == nil {
		return b.Engine.Seal(dst, p)
	}
	return b.seal(b.Engine, dst, p)
}

func (b *broken) Flush(dst []byte, limit int) ([]byte, bool) {
	if b.flush == nil {
		return b.Engine.Flush(dst, limit)
	}
	return b.flush(b.Engine, dst, limit)
}

func (b *broken) TransportEOF() error {
	if b.eof == nil {
		return b.Engine.TransportEOF()
	}
	return b.eof(b.Engine)
}

func (b *broken) Overhead() int {
	if b.over == nil {
		return b.Engine.Overhead()
	}
	return b.over(b.Engine)
}

func (b *broken) CloseWrite() error {
	if b.close == nil {
		return b.Engine.CloseWrite()
	}
	return b.close(b.Engine)
}

func (b *broken) Abort(err error) {
	if b.abort == nil {
		b.Engine.Abort(err)
		return
	}
	b.abort(b.Engine, err)
}

// faults holds, for each rule, an engine that breaks it.
var faults = map[string]func(b *broken){
	"Session":    func(b *broken) { b.open = loseLastByte },
	"Append":     func(b *broken) { b.seal = scribble() },
	"NotTheEnd":  func(b *broken) { b.seal = failForEver() },
	"SealOne":    func(b *broken) { b.over = func(bio.Engine) int { return 16 } },
	"HalfClose":  func(b *broken) { b.close = closeTwice() },
	"Concurrent": func(b *broken) { b.seal = swapRecords() },

	"Idle":         func(b *broken) { go func() { <-done }() },
	"Abort":        func(b *broken) { b.abort = func(bio.Engine, error) {} },
	"TransportEOF": func(b *broken) { b.eof = func(bio.Engine) error { return nil } },
	"Panic":        func(b *broken) { b.open = swallowPanic },
	"PanicLater":   func(b *broken) { b.open = swallowPanic },
	"Goexit":       func(b *broken) { b.open = swallowError },

	"ByteAtATime":     func(b *broken) { b.open = wantHeader },
	"Cuts":            func(b *broken) { b.open = oneRecord },
	"FlushLimit":      func(b *broken) { b.flush = roundUp },
	"FlushBeforeSeal": func(b *broken) { b.flush = ownQueue() },
	"BothWrite":       func(b *broken) { b.open = forget(1 << 20) },

	"Tampered":     func(b *broken) { b.flush = noAlert },
	"Cut":          func(b *broken) { b.open, b.eof = cleanAtBorder() },
	"CutHandshake": func(b *broken) { b.eof = func(bio.Engine) error { return nil } },
	"Final":        func(b *broken) { b.seal = sealAnyway },

	"AlertBesideSeal": func(b *broken) { b.seal = loseAlert },

	"KeyUpdate":      func(b *broken) { b.open = noEvents },
	"KeyUpdateOrder": func(b *broken) { b.open, b.flush = secondSink() },
	"Storm":          func(b *broken) { b.open, b.flush = secondSink() },
	"TooMuch":        func(b *broken) { b.open, b.flush = secondSink() },
	"BadMessage":     func(b *broken) { b.open = loseDataWithError },
	"PeerAlert":      func(b *broken) { b.open = nameless },

	"Ready":      func(b *broken) { b.ready = make(chan struct{}) },
	"ReadyError": func(b *broken) { b.tick = noError },

	"Boundaries":   func(b *broken) { b.open = together() },
	"TooLong":      func(b *broken) { b.seal = cutShort },
	"Replay":       func(b *broken) { b.open = rememberAll() },
	"SpoofedAlert": func(b *broken) { b.open = believeAlerts },
	"Garbage":      func(b *broken) { b.open = demandRecords },
	"GarbageEarly": func(b *broken) { b.open = demandRecords },
	"CID":          func(b *broken) { b.open = alwaysNewest },

	"BadNetwork": func(b *broken) { b.flush = sayOnce() },
	"LastFlight": func(b *broken) { b.flush = sealAnew() },
	"MTU":        func(b *broken) { b.flush = flushAll },

	"SealBatch":      func(b *broken) { b.sealBatch = padHead },
	"SealBatchStops": func(b *broken) { b.sealBatch = oneMore },
	"OpenBatch":      func(b *broken) { b.openBatch = sameArray },
}

// done ends what a broken engine has left behind.
var done chan struct{}

func TestBrokenEngines(t *testing.T) {
	done = make(chan struct{})
	defer close(done)
	patient := waiting
	defer func() { waiting = patient }()
	for _, r := range rules {
		fault := faults[r.name]
		if fault == nil {
			t.Errorf("no engine breaks the rule %s", r.name)
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			stack := stackFor(t, r)
			for _, version := range stack.Versions {
				good, err := newKit(t, stack, version)
				if err != nil {
					t.Fatal(err)
				}
				if !r.appliesTo(good) {
					continue
				}
				waiting = patient
				if err := r.check(good); err != nil {
					t.Errorf("%x: a good engine does not keep the rule: %v", version, err)
				}
				waiting = 200 * time.Millisecond // most of the goroutines below never end
				bad := *good
				bad.stack = withFault(stack, fault)
				err = r.check(&bad)
				if err == nil {
					t.Errorf("%x: the rule does not see the fault", version)
				}
				t.Log(err)
			}
		})
	}
	if len(faults) > len(rules) {
		t.Errorf("%d faults for %d rules", len(faults), len(rules))
	}
}

// stackFor returns a stack to which a rule applies.
func stackFor(t *testing.T, r rule) bio.Stack {
	t.Helper()
	name := "tls"
	if r.scope&(datagrams|async) != 0 {
		name = "dtls"
	}
	s, err := bio.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// withFault returns the stack with a fault in each engine.
func withFault(s bio.Stack, fault func(*broken)) bio.Stack {
	good := s.New
	s.New = func(cfg *bio.Config) (bio.Maker, error) {
		mk, err := good(cfg)
		if err != nil {
			return nil, err
		}
		return func(role frame.Role) (bio.Engine, error) {
			e, err := mk(role)
			if err != nil {
				return nil, err
			}
			b := &broken{Engine: e}
			fault(b)
			if s.Datagram {
				return &brokenDatagrams{b, e.(*dtls.Engine)}, nil
			}
			return b, nil
		}, nil
	}
	return s
}

func loseLastByte(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	out, st, err := e.Open(dst, src)
	if len(out)-len(dst) > 4000 {
		out = out[:len(out)-1]
	}
	return out, st, err
}

// scribble remembers where it has sealed, and pads that later.
func scribble() func(e bio.Engine, dst, p []byte) ([]byte, int, error) {
	var last []byte
	return func(e bio.Engine, dst, p []byte) ([]byte, int, error) {
		if len(last) < cap(last) {
			last[:cap(last)][len(last)] = 0
		}
		out, n, err := e.Seal(dst, p)
		last = out
		return out, n, err
	}
}

func failForEver() func(e bio.Engine, dst, p []byte) ([]byte, int, error) {
	var sticky error
	return func(e bio.Engine, dst, p []byte) ([]byte, int, error) {
		if sticky != nil {
			return dst, 0, sticky
		}
		out, n, err := e.Seal(dst, p)
		sticky = err
		return out, n, err
	}
}

func closeTwice() func(e bio.Engine) error {
	closed := false
	return func(e bio.Engine) error {
		if closed {
			return bio.ErrWriteClosed
		}
		closed = true
		return e.CloseWrite()
	}
}

// swapRecords seals in an order that is not that of its calls.
func swapRecords() func(e bio.Engine, dst, p []byte) ([]byte, int, error) {
	calls, held := 0, []byte(nil)
	return func(e bio.Engine, dst, p []byte) ([]byte, int, error) {
		if calls++; calls == 100 {
			out, n, err := e.Seal(nil, p)
			held = out
			return dst, n, err
		}
		out, n, err := e.Seal(dst, p)
		out = append(out, held...)
		held = nil
		return out, n, err
	}
}

func swallowPanic(e bio.Engine, dst, src []byte) (out []byte, st bio.Status, err error) {
	defer func() {
		if recover() != nil {
			out, st.Consumed = dst, len(src)
		}
	}()
	return e.Open(dst, src)
}

func swallowError(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	out, st, err := e.Open(dst, src)
	if err != nil {
		st.Consumed = len(src)
	}
	return out, st, nil
}

func wantHeader(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	if len(src) == 1 {
		return dst, bio.Status{}, errors.New("short read")
	}
	return e.Open(dst, src)
}

func oneRecord(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	first := src
	if r := records(src); len(r) > 2 {
		first = r[0]
	}
	out, st, err := e.Open(dst, first)
	st.Consumed += len(src) - len(first)
	return out, st, err
}

func roundUp(e bio.Engine, dst []byte, limit int) ([]byte, bool) { return e.Flush(dst, limit+1) }

// ownQueue takes all there is and keeps what exceeds the limit, where Seal does not find it.
func ownQueue() func(e bio.Engine, dst []byte, limit int) ([]byte, bool) {
	var queue []byte
	return func(e bio.Engine, dst []byte, limit int) ([]byte, bool) {
		queue, _ = e.Flush(queue, 0)
		n := len(queue)
		if limit > 0 {
			n = min(n, limit)
		}
		dst = append(dst, queue[:n]...)
		queue = slices.Clone(queue[n:])
		return dst, len(queue) > 0
	}
}

// forget loses one byte after n.
func forget(n int) func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	return func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
		out, st, err := e.Open(dst, src)
		before := n
		if n -= len(out) - len(dst); before > 0 && n <= 0 {
			out = out[:len(out)-1]
		}
		return out, st, err
	}
}

func noAlert(e bio.Engine, dst []byte, limit int) ([]byte, bool) {
	if e.State().Phase == bio.PhaseFailed {
		return dst, false
	}
	return e.Flush(dst, limit)
}

// cleanAtBorder takes the end of the carrier between two records for the end of TLS, as crypto/tls does.
func cleanAtBorder() (func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error), func(e bio.Engine) error) {
	var all []byte
	open := func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
		all = append(all, src...)
		return e.Open(dst, src)
	}
	eof := func(e bio.Engine) error {
		if r := records(all); len(r) == 0 || len(r[len(r)-1]) > 5 {
			return nil
		}
		return e.TransportEOF()
	}
	return open, eof
}

func sealAnyway(e bio.Engine, dst, p []byte) ([]byte, int, error) {
	out, n, err := e.Seal(dst, p)
	if err != nil && e.State().Phase == bio.PhaseFailed {
		return append(out, p...), len(p), nil
	}
	return out, n, err
}

// loseAlert puts what is queued into a result that nobody looks at.
func loseAlert(e bio.Engine, dst, p []byte) ([]byte, int, error) {
	out, n, err := e.Seal(dst, p)
	if err != nil {
		e.Flush(nil, 0)
	}
	return out, n, err
}

func noEvents(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	out, st, err := e.Open(dst, src)
	st.Events &^= bio.EventKeysUpdated
	return out, st, err
}

// secondSink keeps answers apart from what Seal makes, and without a bound.
func secondSink() (func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error),
	func(e bio.Engine, dst []byte, limit int) ([]byte, bool)) {
	var mu sync.Mutex
	var queue []byte
	open := func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
		const piece = 1000
		var sum bio.Status
		for {
			out, st, err := e.Open(dst, src[:min(len(src), piece)])
			mu.Lock()
			queue, _ = e.Flush(queue, 0)
			sum = bio.Status{Consumed: sum.Consumed + st.Consumed, Out: len(queue), Events: sum.Events | st.Events}
			mu.Unlock()
			if dst, src = out, src[st.Consumed:]; err != nil || len(src) == 0 {
				return dst, sum, err
			}
		}
	}
	flush := func(e bio.Engine, dst []byte, _ int) ([]byte, bool) {
		mu.Lock()
		defer mu.Unlock()
		dst, _ = e.Flush(append(dst, queue...), 0)
		queue = nil
		return dst, false
	}
	return open, flush
}

func loseDataWithError(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	out, st, err := e.Open(dst, src)
	if err != nil {
		return dst, st, err
	}
	return out, st, err
}

func nameless(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	out, st, err := e.Open(dst, src)
	if err != nil {
		err = errors.New(err.Error())
	}
	return out, st, err
}

// TestRecordsCover checks the tool that rules about records rest on.
func TestRecordsCover(t *testing.T) {
	p := []byte{23, 3, 3, 0, 1, 'x', 23, 3, 3, 0, 0, 23, 3, 3, 1, 0, 'y', 'z'}
	list := records(p)
	if len(list) != 3 || len(list[0]) != 6 || len(list[1]) != 5 || !bytes.Equal(bytes.Join(list, nil), p) {
		t.Errorf("records returned % x", list)
	}
	if list := records([]byte{23, 3}); len(list) != 1 || len(list[0]) != 2 {
		t.Errorf("records of a short header returned % x", list)
	}
}
