package wrap_test

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A lossy is one end of a carrier of messages that may get lost, come twice, or overtake each other. It is a whole
// wrap.Carrier: each message is one frame.
type lossy struct {
	peer *lossy
	most int // the longest message

	sending sync.Mutex
	rng     *rand.Rand
	loss    float64  // share of messages that are lost, and of those that come twice
	late    [][]byte // overtaken

	mu       sync.Mutex
	changed  sync.Cond
	messages [][]byte
	deadline time.Time
	timer    *time.Timer
	closed   bool
	view     frame.Buf
}

// lossyPair returns both ends.
func lossyPair(loss float64, most int, seed uint64) (a, b *lossy) {
	a, b = &lossy{most: most, loss: loss}, &lossy{most: most, loss: loss}
	for i, l := range []*lossy{a, b} {
		l.changed.L = &l.mu
		l.rng = rand.New(rand.NewPCG(seed, uint64(i)))
	}
	a.peer, b.peer = b, a
	return a, b
}

// Send implements wrap.Carrier.
func (l *lossy) Send(frames []*frame.Buf) (int, error) {
	l.sending.Lock()
	defer l.sending.Unlock()
	for i, b := range frames {
		if l.isClosed() {
			return i, net.ErrClosed
		}
		message := append([]byte(nil), b.Bytes()...)
		b.Release()
		switch luck := l.rng.Float64(); {
		case luck < l.loss:
		case luck < 2*l.loss:
			l.peer.arrive(message, message)
		case luck < 3*l.loss:
			l.late = append(l.late, message)
		default:
			l.peer.arrive(append([][]byte{message}, l.late...)...)
			l.late = nil
		}
	}
	return len(frames), nil
}

func (l *lossy) setLoss(loss float64) {
	l.sending.Lock()
	l.loss = loss
	l.sending.Unlock()
}

func (l *lossy) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// arrive queues messages. Each is a copy: the receiver changes what it gets.
func (l *lossy) arrive(messages ...[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range messages {
		l.messages = append(l.messages, append([]byte(nil), m...))
	}
	l.changed.Broadcast()
}

// Recv implements wrap.Carrier.
func (l *lossy) Recv() (*frame.Buf, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, io.EOF
		case !l.deadline.IsZero() && !time.Now().Before(l.deadline):
			return nil, os.ErrDeadlineExceeded
		case len(l.messages) > 0:
			m := l.messages[0]
			l.messages = l.messages[1:]
			l.view.Borrow(m, 0, len(m))
			return &l.view, nil
		}
		l.changed.Wait()
	}
}

// Limits implements wrap.Carrier.
func (l *lossy) Limits() frame.Limits { return frame.Limits{Max: l.most} }

// SetReadDeadline implements wrap.Carrier.
func (l *lossy) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.deadline = t; !t.IsZero() {
		l.timer = time.AfterFunc(time.Until(t), l.wake)
	}
	l.changed.Broadcast()
	return nil
}

func (l *lossy) wake() {
	l.mu.Lock()
	l.changed.Broadcast()
	l.mu.Unlock()
}

// Close implements wrap.Carrier. The peer does not learn of it.
func (l *lossy) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.changed.Broadcast()
	return nil
}

// LocalAddr implements wrap.Carrier.
func (l *lossy) LocalAddr() net.Addr { return lossyAddr{} }

// RemoteAddr implements wrap.Carrier.
func (l *lossy) RemoteAddr() net.Addr { return lossyAddr{} }

type lossyAddr struct{}

func (lossyAddr) Network() string { return "lossy" }
func (lossyAddr) String() string  { return "lossy" }

var _ wrap.Carrier = (*lossy)(nil)
