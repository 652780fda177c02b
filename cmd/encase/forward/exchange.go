package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/encase-tls/encase/wrap/datagram"
)

// An exchange is what one client and its server send each other in datagrams. It has a socket, or a connection, of its
// own to the server.
//
//	whoever receives from the client ─▶ way ─▶ outlet to the server
//	   outlet to the client ◀─ way ◀─ whoever receives from the server
//
// It begins with the first datagram of a plain client, or when the handshake of one with DTLS is done, and ends when
// nothing has come either way for the idle timeout, or a DTLS connection of it has ended.
type exchange struct {
	*route
	peer   net.Addr
	began  time.Time
	ctx    context.Context // ends with the exchange
	cancel context.CancelFunc
	done   chan struct{} // closed when all is over
	ended  func(failed bool)

	ways  [2]way // by who sends
	front outlet
	conns [2]*datagram.Conn // by party; nil: plain, or not there yet

	mu     sync.Mutex // guards the rest, and conns[server]
	target address
	back   outlet // nil: there is none yet
	over   bool
	quiet  time.Duration // after which it has ended
	timer  *time.Timer
	seen   int64 // messages until the timer was set
	since  time.Time
}

// errOver says that the exchange was over before the server answered.
var errOver = errors.New("forward: the client has gone")

// newExchange returns an exchange that takes what its client sends and does nothing with it until start. ended, if not
// nil, is called once when it has ended; failed says that the server could not be reached.
func newExchange(rt *route, peer net.Addr, ended func(failed bool)) *exchange {
	x := &exchange{route: rt, peer: peer, began: time.Now(), quiet: rt.limits.idle, ended: ended}
	x.done = make(chan struct{})
	x.since = x.began
	x.ctx, x.cancel = context.WithCancel(context.Background())
	for i := range x.ways {
		x.ways[i].limit = rt.limits.buffer
	}
	return x
}

// start connects to the server and lets datagrams pass. front leads to the client; conn is its connection, nil if it is
// plain.
func (x *exchange) start(front outlet, conn *datagram.Conn) {
	x.mu.Lock()
	if x.over {
		x.mu.Unlock()
		go front.close()
		return
	}
	x.front, x.conns[client] = front, conn
	x.timer = time.AfterFunc(x.often(), x.look)
	x.mu.Unlock()
	x.ways[server].open(front)
	go x.run()
}

// take takes what a party has sent; data stays the caller's.
func (x *exchange) take(from party, data []byte, segment int) { x.ways[from].push(data, segment) }

// look ends an exchange over which nothing has come for too long.
func (x *exchange) look() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return
	}
	now, seen := time.Now(), x.ways[client].messages.Load()+x.ways[server].messages.Load()
	if seen != x.seen || x.back == nil { // reaching the server has a time of its own
		x.seen, x.since = seen, now
	}
	if rest := x.quiet - now.Sub(x.since); rest > 0 {
		x.timer.Reset(min(rest, x.often()))
		return
	}
	go x.end(self, errIdle)
}

// often returns how often to look: exchanges end after their time and a quarter, at the latest.
func (x *exchange) often() time.Duration { return max(x.quiet/4, time.Millisecond) }

// hasten lets an exchange end when nothing has come for the time quiet, if that is less than it would wait.
func (x *exchange) hasten(quiet time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.quiet = min(x.quiet, quiet)
	if x.timer != nil && !x.over {
		x.timer.Reset(0)
	}
}

// fail ends an exchange whose server cannot be reached.
func (x *exchange) fail(err error) {
	if x.finish() {
		x.logFailure(err)
		x.close(true)
	}
}

// end ends the exchange, and logs who has ended it and why. io.EOF, and nil, are an end in order.
func (x *exchange) end(by party, err error) {
	if !x.finish() {
		return
	}
	if err == io.EOF {
		err = nil
	}
	x.logEnd(by, err)
	x.close(false)
}

// finish reports whether the exchange goes on; from now on it does not.
func (x *exchange) finish() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.over = true
	if x.timer != nil {
		x.timer.Stop()
	}
	return true
}

// close lets go of both ends. What is on its way to them may still leave.
func (x *exchange) close(failed bool) {
	x.cancel()
	for i := range x.ways {
		x.ways[i].end()
	}
	if x.back != nil {
		x.back.close()
	}
	if x.front != nil {
		x.front.close()
	}
	if x.ended != nil {
		x.ended(failed)
	}
	close(x.done)
}
