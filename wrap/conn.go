package wrap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// A Conn, file by file:
//
//	conn.go       what it is made of, its deadlines, its end
//	handshake.go  preambles, flights, a configuration that is chosen late
//	read.go       frames that come in, and what the machine makes of them
//	open.go       what TLS makes of that
//	hear.go       frames that come in while nobody reads
//	write.go      what goes out, all of it through a sender:
//	sender.go       records and flights,
//	machine.go      what the machine makes of them,
//	queue.go        and how that leaves
//	side.go       traffic beside TLS
//	detach.go     TLS that is taken off again
//
// Locks are taken in this order: reading, writing, sender.mu, arming. Whoever receives holds reading while it waits (the
// goroutine of the handshake need not: until it is done, nobody else receives), and a Write that waits for room holds
// writing; the other two are never held while anything waits.

// A Conn is a TLS connection in the framing of a codec. It is a net.Conn and safe for concurrent use.
//
// Write seals its data and returns when there is room for it in a bounded queue, which a goroutine empties into the
// carrier; the goroutine exists while there is something to send. So no lock is held during I/O, a Read that must
// answer the peer never waits for a Write that is blocked, and a deadline can end a Write without hurting the
// connection: it is looked at before a record is sealed, never in the middle of a frame. What was accepted is sent;
// Close waits for that, at most for Config.Linger.
//
// Nothing is received but by a Read, with one exception: while a codec holds something back until it hears from its
// peer (a [frame.Backlogger]), and no Read is under way, a goroutine receives, and keeps up to 64 KiB of data for the
// next. If the codec also acts by the clock (a [frame.Timed]), that is so at any time: its peer does not wait for a
// slow reader.
type Conn struct {
	carrier Carrier
	cfg     *Config
	role    frame.Role
	polls   bool       // over a pollCarrier: never wait, start nothing
	eng     bio.Engine // nil, as is mach, if the configuration is wrong
	mach    frame.Machine
	paired  bool        // mach lets Send and Recv overlap, and a frame is what was sent at once
	raw     atomic.Bool // mach has ended the framing

	shaking sync.Once
	started bool            // the preambles are over; used by the handshake
	shaken  chan struct{}   // closed when the handshake is done or has failed
	open    atomic.Bool     // it is done
	settled atomic.Bool     // and its last flight has left; over a pollCarrier
	failed  error           // it has failed, after shaken
	held    []byte          // what the client sent behind its ClientHello, while a configuration is chosen
	quit    context.Context // ends with Close and with the handshake's time
	cancel  context.CancelCauseFunc

	readDeadline, writeDeadline *deadline
	over                        atomic.Pointer[error] // mach has ended, of itself; nil in it: in good order

	arming    sync.Mutex // one SetReadDeadline of the carrier at a time; guards the next four
	aborted   bool       // the carrier is closed
	listening bool       // nobody reads, but the machine wants to hear the peer
	wanting   int        // Reads that wait for their turn
	linger    time.Time  // until when Close waits

	writing sync.Mutex // one Write at a time
	out     sender

	reading  chan struct{} // full while somebody reads; guards what follows
	plain    *frame.Buf    // opened, not yet read; nil if empty
	readErr  error         // what follows plain
	deaf     error         // why no more frames will come
	events   []frame.Event
	unframed bool // the carrier knows of raw

	closing  atomic.Bool
	detached atomic.Bool // the carrier is somebody else's
	stats    counters
}

func newConn(carrier Carrier, cfg *Config, role frame.Role) *Conn {
	c := &Conn{carrier: carrier, cfg: cfg, role: role, shaken: make(chan struct{}), reading: make(chan struct{}, 1)}
	c.readDeadline, c.writeDeadline = newDeadline(), newDeadline()
	c.quit, c.cancel = context.WithCancelCause(context.Background())
	_, c.polls = carrier.(pollCarrier)
	c.out.init(c)
	if err := c.assemble(); err != nil {
		c.shaking.Do(func() { c.finishHandshake(err) })
	}
	return c
}

// assemble makes machine and engine and fits them to the carrier.
func (c *Conn) assemble() (err error) {
	if c.cfg == nil {
		c.cfg = new(Config)
	}
	if c.role == frame.Server {
		err = checkServer(c.cfg)
	}
	if err == nil {
		c.eng, err = c.cfg.engine(c.role)
	}
	if err == nil {
		err = c.fit()
	}
	return err
}

// fit makes the machine and sums up room and limits of the chain, once.
func (c *Conn) fit() (err error) {
	if c.mach, err = c.cfg.machine(c.role); err != nil {
		return err
	}
	_, _, codecs := frame.CodecsOf(c.mach)
	c.paired = codecs || frame.IsRaw(c.mach)
	if err := c.delimit(); err != nil {
		return err
	}
	if r, ok := c.carrier.(refusable); ok {
		r.onRefusal(c.out.refused)
	}
	own, below := c.mach.Limits(), c.carrier.Limits()
	most := own.Max
	if below.Max > 0 {
		most = min(most, below.Max-own.Head-own.Tail)
	}
	if most < minPayload {
		return fmt.Errorf("wrap: codec and carrier leave %d bytes for TLS in a frame, at least %d are needed",
			most, minPayload)
	}
	c.out.fit(c.mach, frame.Limits{Head: own.Head + below.Head, Tail: own.Tail + below.Tail, Max: most})
	return nil
}

// minPayload is an arbitrary bound that keeps the cost of a record within reason.
const minPayload = 16

// delimit tells a carrier of bytes how to cut them into frames.
func (c *Conn) delimit() error {
	bytes, ok := c.carrier.(byteCarrier)
	if !ok {
		return nil
	}
	if frame.IsRaw(c.mach) {
		bytes.delimit(records{}, frame.DefaultMaxFrame)
		return nil
	}
	d, ok := c.mach.(frame.Delimiter)
	if !ok {
		return errors.New("wrap: the codec's frames cannot be told apart in a stream (no FrameLen): use a datagram carrier")
	}
	if !c.paired {
		d = &guarded{&c.out, d}
	}
	bytes.delimit(d, c.cfg.maxFrame())
	return nil
}

// Close sends close_notify, waits until all that was written is with the carrier, at most for Config.Linger, and closes
// it. Reads and Writes that wait return net.ErrClosed. The error says whether something that was written may be lost.
//
// A codec that waits for its peer's turn or window goes on hearing it as long, also when the handshake has failed and
// the peer has yet to be told; data that arrives meanwhile is dropped. What cannot succeed is not waited for: that is so
// when the carrier or the codec's protocol has ended, and when nothing but goodbyes is left and the network says that
// the peer is gone. Abort does not wait at all.
func (c *Conn) Close() error {
	if !c.closing.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	until := time.Now().Add(c.cfg.lingers())
	c.setLinger(until)
	c.cancel(net.ErrClosed)
	c.farewell(until)
	c.shut(net.ErrClosed)
	return c.undelivered()
}

// Abort closes the carrier at once: nothing says goodbye, to TLS or to the codec's peer, and what was written and has
// not left is dropped. The peer sees a truncation, as it must when this end has not said all that it had to say. Reads
// and Writes that wait return net.ErrClosed; a Close that waits returns an error that wraps it if something may be lost.
// What the network below does with what it has taken, such as the buffer of a TCP connection, is not Abort's affair.
func (c *Conn) Abort() error {
	first := c.closing.CompareAndSwap(false, true)
	if !first && c.detached.Load() {
		return net.ErrClosed // the carrier is somebody else's
	}
	c.shut(errAborted)
	if !first {
		return net.ErrClosed
	}
	return nil
}

var errAborted = fmt.Errorf("wrap: aborted: %w", net.ErrClosed)

// shut closes the carrier and drops what nobody will read. err is what a handshake or a Close under way returns.
func (c *Conn) shut(err error) {
	c.abort(err)
	if isClosed(c.shaken) && c.lockReading(closedNow, nil) {
		c.unlockReading() // else whoever is reading drops what is left
	}
}

// farewell says goodbye and waits until what was written has left.
func (c *Conn) farewell(until time.Time) {
	if !isClosed(c.shaken) {
		return // nothing was written
	}
	if c.open.Load() {
		c.out.closeWrite(c.eng)
	}
	c.out.drain(until)
	c.out.end()
	c.out.drain(until)
}

// undelivered returns why something that was written may never arrive, nil if all has left. It is no error when that is
// true of goodbyes and answers alone. The carrier is closed.
func (c *Conn) undelivered() error {
	const returning = time.Second // for a Send that was under way: it then tells how much it took
	sent, err := c.out.delivered()
	if !sent {
		c.out.drain(time.Now().Add(returning))
		sent, err = c.out.delivered()
	}
	switch limit := c.cfg.lingers(); {
	case sent:
		return nil
	case err != net.ErrClosed:
		return err
	case c.polls:
		return fmt.Errorf("wrap: closed with data unsent, Flush tells when there is none: %w", bio.ErrWantWrite)
	case limit > 0:
		return fmt.Errorf("wrap: closed with data unsent: the peer did not take it within %v: %w",
			limit, os.ErrDeadlineExceeded)
	}
	return nil
}

// abort closes the carrier at once; err is what a handshake under way returns.
func (c *Conn) abort(err error) {
	c.cancel(err)
	c.arming.Lock()
	c.aborted = true
	c.armLocked()
	c.arming.Unlock()
	if c.eng != nil {
		c.eng.Abort(err)
	}
	c.carrier.Close()
	c.out.abandon(err)
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// ConnectionState returns what the handshake agreed on; the zero value before it is done.
func (c *Conn) ConnectionState() tls.ConnectionState {
	if c.eng == nil {
		return tls.ConnectionState{}
	}
	return c.eng.State().TLS
}

// LocalAddr returns the carrier's local address.
func (c *Conn) LocalAddr() net.Addr { return c.carrier.LocalAddr() }

// RemoteAddr returns the carrier's remote address.
func (c *Conn) RemoteAddr() net.Addr { return c.carrier.RemoteAddr() }

// Carrier returns what is underneath. Do not use it while the connection is.
func (c *Conn) Carrier() Carrier { return c.carrier }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.writeDeadline.set(t)
	return c.SetReadDeadline(t)
}

// SetReadDeadline implements net.Conn. A Read that it ends lost nothing.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.closing.Load() {
		return net.ErrClosed
	}
	c.readDeadline.set(t)
	if c.open.Load() {
		return c.armRead()
	}
	return nil
}

// armRead sets the carrier's read deadline to that of whoever reads, or to the past if there is nothing more to wait
// for. During the handshake there is none.
func (c *Conn) armRead() error {
	c.arming.Lock()
	defer c.arming.Unlock()
	return c.armLocked()
}

func (c *Conn) armLocked() error {
	at := c.readDeadline.time()
	switch {
	case c.aborted || c.over.Load() != nil:
		at = past
	case c.listening && c.wanting > 0 && !c.closing.Load():
		at = past
	case c.listening:
		at = c.linger // none before Close
	case c.closing.Load():
		at = past
	}
	return c.carrier.SetReadDeadline(at)
}

// setLinger ends Reads that wait, and at that time also listening.
func (c *Conn) setLinger(until time.Time) {
	c.arming.Lock()
	defer c.arming.Unlock()
	c.linger = until
	c.armLocked()
}

// SetWriteDeadline implements net.Conn. The carrier does not see it: a Write that it ends leaves the connection usable.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.closing.Load() {
		return net.ErrClosed
	}
	c.writeDeadline.set(t)
	return nil
}
