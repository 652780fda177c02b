package datagram

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// A Conn is a DTLS connection in the framing of a codec. It is a net.Conn for messages and safe for concurrent use.
//
// The handshake is done by the first Read, Write or Handshake, or, for a server, by what arrives.
type Conn struct {
	cfg   *Config
	role  frame.Role
	eng   bio.Engine
	batch bio.Batcher     // eng, or nil if it is none
	ready <-chan struct{} // eng has something to do; nil if it never has unasked
	out   output
	owner owner
	codec codec
	addrs addresses
	to    atomic.Pointer[endpoint] // nil if out knows

	mtu        atomic.Int32 // longest datagram to send, in bytes
	configured int          // what that was in the beginning
	narrowed   atomic.Bool  // it has become less, which nobody has been told
	overhead   atomic.Int32 // of a record; 0 until the handshake is done

	shake  atomic.Pointer[shake] // nil when the handshake is over and the owner has been told
	open   atomic.Bool           // it is done, and well
	closed atomic.Bool

	opening sync.Mutex // one deliver at a time; guards served
	served  func(messages [][]byte) error
	writing sync.Mutex  // seals, frames and sends
	waiting atomic.Bool // something waits for whoever holds writing

	mu    sync.Mutex // guards the next two
	queue queue
	err   error // why nothing comes behind what is in queue

	reader, writer atomic.Pointer[waiter] // nil until somebody waits
	activity       atomic.Uint32          // since the last call of expire
	vigil          atomic.Pointer[vigil]  // nil if nobody looks at the time
	stats          counters
}

// addresses are what LocalAddr and RemoteAddr return when there is no endpoint.
type addresses interface {
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// newConn returns a Conn that sends by out and tells own what becomes of it. to is where its peer is, nil if out knows.
// Nothing runs yet.
func newConn(cfg *Config, role frame.Role, out output, addrs addresses, own owner, to *endpoint) (*Conn, error) {
	if cfg == nil {
		return nil, errNoConfig
	}
	c := &Conn{cfg: cfg, role: role, out: out, addrs: addrs, owner: own}
	if own == nil {
		c.owner = nobody{}
	}
	c.to.Store(to)
	err := c.codec.init(cfg, role)
	if err == nil {
		err = c.assemble()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// assemble makes the engine of a Conn that has a codec.
func (c *Conn) assemble() (err error) {
	most := c.fit()
	if most < minRecord {
		return fmt.Errorf("datagram: MTU and codec leave %d bytes for DTLS in a datagram, at least %d are needed",
			most, minRecord)
	}
	if c.eng, err = c.cfg.engine(c.role, most); err != nil {
		return err
	}
	c.batch, _ = c.eng.(bio.Batcher)
	if n, ok := c.eng.(bio.Notifier); ok {
		c.ready = n.Ready()
	}
	c.shake.Store(&shake{done: make(chan struct{}), told: make(chan struct{}), kick: make(chan struct{}, 1)})
	return nil
}

// minRecord leaves room for a message besides what DTLS needs.
const minRecord = 64

// Close sends close_notify and ends the Conn: Reads and Writes that wait return net.ErrClosed. Nobody repeats what gets
// lost of it. Over a stream it waits for what was written to leave, at most for Config.Linger.
func (c *Conn) Close() error { return c.shut(net.ErrClosed) }

// shut is Close; Reads and Writes return why. Closing a Conn that was shut already is an error.
func (c *Conn) shut(why error) error {
	if !c.closed.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	c.writing.Lock()
	if c.open.Load() && c.eng.CloseWrite() == nil {
		c.flushLocked()
	}
	c.endCodec()
	c.doneWriting()
	c.eng.Abort(net.ErrClosed)
	c.finish(why)
	err := c.out.end(c)
	c.owner.closed(c)
	return err
}

// finish makes it known that nothing more will come, and drops what a closed Conn keeps.
func (c *Conn) finish(err error) {
	c.mu.Lock()
	if c.err == nil || err == net.ErrClosed {
		c.err = err // what a Read returns once the queue is empty
	}
	if c.closed.Load() {
		c.queue.drop()
	}
	c.mu.Unlock()
	stopVigil(&c.vigil)
	if s := c.shake.Load(); s != nil {
		s.poke()
	}
	c.poke()
}

// poke makes whoever waits look again.
func (c *Conn) poke() {
	c.reader.Load().poke()
	c.writer.Load().poke()
}

// failure returns why nothing more will come, nil if it may.
func (c *Conn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// ConnectionState returns what the handshake agreed on; the zero value before it is done. It cannot export keying
// material: see ExportKeyingMaterial.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.eng.State().TLS }

// ExportKeyingMaterial returns n bytes that only the two ends of this connection know, for the use that label names.
// https://www.rfc-editor.org/rfc/rfc5705
func (c *Conn) ExportKeyingMaterial(label string, context []byte, n int) ([]byte, error) {
	if e, ok := c.eng.(bio.Exporter); ok {
		return e.ExportKeyingMaterial(label, context, n)
	}
	if !c.open.Load() {
		return nil, bio.ErrNotOpen
	}
	state := c.ConnectionState()
	return state.ExportKeyingMaterial(label, context, n)
}

// Engine returns the engine, for what its stack tells of it, such as Stats and PSKIdentity. Do not give it anything nor
// take anything from it.
func (c *Conn) Engine() bio.Engine { return c.eng }

// localCID returns the connection ID that the peer's records carry, nil if there is none.
func (c *Conn) localCID() []byte {
	if e, ok := c.eng.(bio.Identified); ok {
		return e.LocalCID()
	}
	return nil
}

// LocalAddr returns the local address.
func (c *Conn) LocalAddr() net.Addr { return c.addrs.LocalAddr() }

// RemoteAddr returns the peer's address, which may change: see EventMoved.
func (c *Conn) RemoteAddr() net.Addr {
	if to := c.to.Load(); to != nil {
		return net.UDPAddrFromAddrPort(to.addr)
	}
	return c.addrs.RemoteAddr()
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. A Read that it ends lost nothing.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.reader, t) }

// SetWriteDeadline implements net.Conn. A message is sent whole or not at all.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writer, t) }

func (c *Conn) setDeadline(w *atomic.Pointer[waiter], t time.Time) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	waiterOf(w).setDeadline(t)
	return nil
}

// Handshake shakes hands if that has not been done.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

var _ net.Conn = (*Conn)(nil)
