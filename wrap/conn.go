package wrap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// A Conn is a TLS connection in the framing of a codec. It is a net.Conn and safe for concurrent use.
//
// Write seals its data and returns when there is room for it in a bounded queue, which a goroutine empties into the
// carrier; the goroutine exists while there is something to send. So no lock is held during I/O, a Read that must answer
// the peer never waits for a Write that is blocked, and a deadline can end a Write without hurting the connection: it is
// looked at before a record is sealed, never in the middle of a frame. What was accepted is sent; Close waits for that,
// at most for Config.Linger.
type Conn struct {
	carrier Carrier
	cfg     *Config
	role    frame.Role
	polls   bool // over a pollCarrier: never wait, start nothing
	eng     bio.Engine
	mach    frame.Machine
	paired  bool        // mach lets Send and Recv overlap
	raw     atomic.Bool // mach has ended the framing

	shaking sync.Once
	started bool            // the preambles are over; used by the handshake
	shaken  chan struct{}   // closed when the handshake is done or has failed
	open    atomic.Bool     // it is done
	failed  error           // it has failed, after shaken
	held    []byte          // what the client sent behind its ClientHello, while a configuration is chosen
	quit    context.Context // ends with Close and with the handshake's time
	cancel  context.CancelCauseFunc

	readDeadline, writeDeadline *deadline
	arming                      sync.Mutex // one SetReadDeadline of the carrier at a time

	writing sync.Mutex // one Write at a time
	out     sender

	reading  sync.Mutex // one Read at a time
	plain    *frame.Buf // opened, not yet read; nil if empty
	readErr  error      // what follows plain
	events   []frame.Event
	unframed bool // the carrier knows of raw

	closing atomic.Bool
	stats   counters
}

func newConn(carrier Carrier, cfg *Config, role frame.Role) *Conn {
	c := &Conn{carrier: carrier, cfg: cfg, role: role, shaken: make(chan struct{})}
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
		err = c.cfg.prepare(c.role)
	}
	if err == nil {
		err = c.fit()
	}
	if err == nil {
		c.eng, err = c.cfg.maker(c.role)
	}
	return err
}

// fit makes the machine and sums up room and limits of the chain, once.
func (c *Conn) fit() (err error) {
	if c.mach, err = c.cfg.machine(c.role); err != nil {
		return err
	}
	_, c.paired = c.mach.(interface {
		Codecs() (send, recv frame.Codec)
	})
	d, delimits := c.mach.(frame.Delimiter)
	if bytes, ok := c.carrier.(byteCarrier); ok {
		switch {
		case frame.IsRaw(c.mach):
			d = records{}
		case !delimits:
			return errors.New("wrap: the codec's frames cannot be told apart in a stream (no FrameLen): use a datagram carrier")
		}
		bytes.delimit(d, max(c.cfg.MaxFrame, frame.DefaultMaxFrame))
	}
	own, below := c.mach.Limits(), c.carrier.Limits()
	c.out.head, c.out.tail, c.out.max = own.Head+below.Head, own.Tail+below.Tail, own.Max
	if below.Max > 0 {
		c.out.max = min(c.out.max, below.Max-own.Head-own.Tail)
	}
	if c.out.max < minPayload {
		return fmt.Errorf("wrap: codec and carrier leave %d bytes for TLS in a frame, at least %d are needed", c.out.max, minPayload)
	}
	return nil
}

// minPayload is an arbitrary bound that keeps the cost of a record within reason.
const minPayload = 16

// Handshake shakes hands if that has not been done.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext shakes hands if that has not been done. If ctx ends before it is done, the connection is closed, as
// with crypto/tls.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	err := c.awaitHandshake(ctx.Done())
	if err == errInterrupted {
		err = context.Cause(ctx)
		c.abort(fmt.Errorf("wrap: handshake: %w", err))
		<-c.shaken
	}
	return err
}

var errInterrupted = errors.New("wrap: interrupted")

// awaitHandshake starts the handshake if need be and waits for it, or until stop.
func (c *Conn) awaitHandshake(stop <-chan struct{}) error {
	if c.open.Load() {
		return nil
	}
	if c.polls {
		return c.pollHandshake()
	}
	c.shaking.Do(func() { go c.handshake() })
	select {
	case <-c.shaken:
		return c.failed
	case <-stop:
		return errInterrupted
	}
}

// handshake is the goroutine of the handshake.
func (c *Conn) handshake() {
	if limit := c.cfg.handshakeTimeout(); limit > 0 {
		timer := time.AfterFunc(limit, func() {
			c.abort(fmt.Errorf("wrap: handshake not done after %v: the peer is slow or speaks another protocol: %w",
				limit, os.ErrDeadlineExceeded))
		})
		defer timer.Stop()
	}
	c.finishHandshake(c.shake())
}

// pollHandshake goes on with the handshake over a carrier that does not wait.
func (c *Conn) pollHandshake() error {
	if isClosed(c.shaken) {
		return c.failed
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	err := c.shake()
	if err == bio.ErrWantRead || err == bio.ErrWantWrite {
		return err
	}
	c.shaking.Do(func() { c.finishHandshake(err) })
	return c.failed
}

func (c *Conn) finishHandshake(err error) {
	if err != nil {
		if cause := context.Cause(c.quit); cause != nil {
			err = cause
		}
		c.failed = err
		c.readErr = err
	} else {
		c.out.opened(c.eng.Overhead(), c.cfg.MaxRecord)
		c.open.Store(true)
		c.armRead()
	}
	close(c.shaken)
}

// shake holds the preambles and drives the engine until it is open. It can be called again after bio.ErrWantRead.
func (c *Conn) shake() error {
	if !c.started {
		if err := c.preambles(); err != nil {
			return err
		}
		ev, err := c.mach.Start(nil)
		if err = c.out.dispatch(ev, err, true); err != nil {
			return err
		}
		c.started = true
	}
	for {
		if err := c.out.flushEngine(c.eng); err != nil {
			return err
		}
		switch c.eng.State().Phase {
		case bio.PhaseHandshake:
		case bio.PhaseChoosing:
			if err := c.choose(); err != nil {
				return err
			}
		default:
			return nil
		}
		if _, err := c.step(nil); err != nil && c.eng.State().Phase != bio.PhaseOpen {
			return err // else the peer has closed already, which Read will tell
		}
	}
}

// preambles holds the dialogues before the first frame.
func (c *Conn) preambles() error {
	list := c.cfg.Preambles
	if p, ok := c.mach.(frame.Preamble); ok {
		list = append(list[:len(list):len(list)], p)
	}
	if len(list) == 0 {
		return nil
	}
	bytes, ok := c.carrier.(byteCarrier)
	if !ok || c.polls {
		return errors.New("wrap: a preamble needs a stream that can wait")
	}
	for _, p := range list {
		if err := p.Exchange(c.quit, bytes.peeker(), c.role); err != nil {
			return fmt.Errorf("wrap: preamble: %w", err)
		}
	}
	return nil
}

// choose asks the configuration for a choice and tells the engine.
func (c *Conn) choose() error {
	eng, ok := c.eng.(bio.Chooser)
	if !ok {
		return fmt.Errorf("wrap: stack %q cannot choose late", c.cfg.Stack)
	}
	cfg, err := c.cfg.Choose(c.quit, eng.ClientHello())
	if err == nil && cfg != nil {
		err = eng.Choose(cfg)
	} else {
		err = eng.Reject(err)
	}
	if err == nil {
		rest := c.held
		c.held = nil
		_, err = c.openAll(nil, rest)
	}
	return err
}

// Read moves application data to p. It returns io.EOF after the peer's close_notify, and an error that wraps
// bio.ErrTruncated if the carrier ended without one. What arrived before an error is returned before it.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.awaitHandshake(c.readDeadline.done()); err != nil {
		return 0, deadlineError(err)
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closing.Load() {
		return 0, net.ErrClosed
	}
	if c.readDeadline.passed() {
		return 0, os.ErrDeadlineExceeded
	}
	for {
		if c.plain != nil {
			return c.takePlain(p), nil
		}
		if len(p) == 0 || c.readErr != nil {
			return 0, c.readErr
		}
		n, err := c.step(p)
		if n > 0 {
			return n, nil
		}
		if err != nil && c.plain == nil {
			return 0, err
		}
	}
}

func (c *Conn) takePlain(p []byte) int {
	n := copy(p, c.plain.Bytes())
	if c.plain.TrimFront(n); c.plain.Len() == 0 {
		c.plain.Release()
		c.plain = nil
	}
	return n
}

// step receives one frame and handles what it means. Application data goes to p if it has room for all of it, and
// otherwise to c.plain. An error that is not for ever leaves readErr nil.
func (c *Conn) step(p []byte) (n int, err error) {
	c.applyRaw()
	b, err := c.carrier.Recv()
	if err != nil {
		return 0, c.recvFailed(err)
	}
	ev, err := c.recv(b)
	for i, e := range ev {
		switch e.Kind {
		case frame.In:
			var m int
			m, c.readErr = c.openAll(p[n:], e.Buf.Bytes())
			if n += m; c.readErr != nil {
				releaseAll(ev[i:])
				return n, c.readErr
			}
			e.Buf.Release()
		case frame.Side:
			if c.cfg.Side != nil {
				c.cfg.Side(c, e.Buf.Bytes())
			}
			e.Buf.Release()
		case frame.SwitchRaw:
			c.raw.Store(true)
			c.applyRaw()
		case frame.Done:
			c.readErr = c.ended(e.Err)
		}
	}
	if err != nil {
		c.stats.malformed.Add(1)
		c.readErr = fmt.Errorf("wrap: from %v: %w", c.RemoteAddr(), err)
	}
	return n, c.readErr
}

// recv gives a frame to the machine and sends what it answers.
func (c *Conn) recv(b *frame.Buf) ([]frame.Event, error) {
	c.stats.framesIn.Add(1)
	c.stats.wireIn.Add(uint64(b.Len()))
	traced := c.traceRecv(b)
	var err error
	switch {
	case c.raw.Load():
		c.events = append(c.events[:0], frame.Event{Kind: frame.In, Buf: b})
	case c.paired:
		c.events, err = c.mach.Recv(c.events[:0], b)
	default:
		c.events, err = c.out.recv(c.events[:0], b)
	}
	if traced != nil {
		c.cfg.Trace(Trace{Frame: traced, TLS: payload(c.events)})
	}
	return c.events, err
}

// traceRecv keeps a copy of a frame, which Recv takes apart in place; nil if nobody looks.
func (c *Conn) traceRecv(b *frame.Buf) []byte {
	if c.cfg.Trace == nil {
		return nil
	}
	return append([]byte{}, b.Bytes()...)
}

// payload returns the TLS bytes of the first event that has some.
func payload(ev []frame.Event) []byte {
	for _, e := range ev {
		if e.Kind == frame.In {
			return e.Buf.Bytes()
		}
	}
	return nil
}

// openAll gives src to the engine, all of it, and sends what it answers.
func (c *Conn) openAll(p, src []byte) (n int, err error) {
	for {
		direct := len(p)-n >= len(src) && len(src) > 0 && c.plain == nil
		var dst []byte
		if direct {
			dst = p[n:n:len(p)]
		} else {
			c.roomForPlain(len(src))
			dst = c.plain.Tail()
		}
		out, st, err := c.eng.Open(dst, src)
		switch {
		case !direct:
			c.plain.Adopt(out, 0)
			c.dropEmptyPlain()
		case len(out) == 0 || &out[0] == &p[n]:
			n += len(out)
		default: // more than src alone could hold: a record that began in an earlier frame
			m := copy(p[n:], out)
			n += m
			c.keepPlain(out[m:])
		}
		c.stats.plainIn.Add(uint64(len(out)))
		if flushErr := c.afterOpen(st); err == nil {
			err = flushErr
		}
		src = src[st.Consumed:]
		switch {
		case err != nil:
			return n, err
		case st.Events.Has(bio.EventPeerClosed):
			return n, io.EOF
		case len(src) == 0 || st.Events.Has(bio.EventClientHello):
			c.held = append(c.held, src...)
			return n, nil
		}
	}
}

// afterOpen sends what the engine has queued. It never waits.
func (c *Conn) afterOpen(st bio.Status) error {
	if st.Out == 0 {
		return nil
	}
	if c.open.Load() && c.out.backlog() > 2*c.cfg.writeBuffer() {
		return bio.ErrTooMuch
	}
	return c.out.flushEngine(c.eng)
}

func (c *Conn) keepPlain(rest []byte) {
	if len(rest) > 0 {
		c.plain = frame.NewBuf(0, rest, 0)
	}
}

func (c *Conn) roomForPlain(n int) {
	if c.plain == nil {
		c.plain = frame.Get(0, n)
	}
}

func (c *Conn) dropEmptyPlain() {
	if c.plain.Len() == 0 {
		c.plain.Release()
		c.plain = nil
	}
}

// recvFailed takes in an error of the carrier.
func (c *Conn) recvFailed(err error) error {
	switch {
	case c.closing.Load():
		return net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case err == bio.ErrWantRead:
		return err
	case errors.Is(err, frame.ErrMalformed):
		c.stats.malformed.Add(1)
		c.readErr = fmt.Errorf("wrap: from %v: %w", c.RemoteAddr(), err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		c.readErr = c.ended(nil)
	default:
		c.readErr = fmt.Errorf("wrap: carrier: %w", err)
	}
	return c.readErr
}

// ended takes in that no more frames will come.
func (c *Conn) ended(err error) error {
	if err == nil {
		err = c.eng.TransportEOF()
	}
	if err == nil {
		err = io.EOF
	}
	return err
}

// applyRaw makes the carrier stop looking for frames, once the machine has said so.
func (c *Conn) applyRaw() {
	if !c.raw.Load() || c.unframed {
		return
	}
	c.unframed = true
	if bytes, ok := c.carrier.(byteCarrier); ok {
		bytes.delimit(records{}, 0)
	}
}

// Write sends p. A write deadline that passes ends it between records: n bytes were taken and will be sent.
func (c *Conn) Write(p []byte) (n int, err error) {
	if err := c.awaitHandshake(c.writeDeadline.done()); err != nil {
		return 0, deadlineError(err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		if err := c.writable(); err != nil {
			return n, err
		}
		if len(p) == 0 {
			return n, nil
		}
		m, err := c.out.seal(c.eng, p)
		n, p = n+m, p[m:]
		c.stats.plainOut.Add(uint64(m))
		if err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// writable waits until there is room for a record, or a reason why there never will be.
func (c *Conn) writable() error {
	for {
		switch {
		case c.closing.Load():
			return net.ErrClosed
		case c.writeDeadline.passed():
			return os.ErrDeadlineExceeded
		}
		room, err := c.out.room()
		if room == nil || err != nil {
			return err
		}
		if c.polls {
			return bio.ErrWantWrite
		}
		select {
		case <-room:
		case <-c.writeDeadline.done():
		case <-c.quit.Done():
		}
	}
}

// Flush tells a codec that gathers what is written that no more follows for now. Over Callbacks it also sends what is
// queued, and returns bio.ErrWantWrite if something still is. Write and Read flush by themselves.
func (c *Conn) Flush() error { return c.out.flush() }

// CloseWrite sends close_notify: the peer's Read returns io.EOF. Reading goes on; writing is over.
func (c *Conn) CloseWrite() error {
	if err := c.awaitHandshake(c.quit.Done()); err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.out.closeWrite(c.eng, false)
}

// Close sends close_notify, waits until all that was written is with the carrier, at most for Config.Linger, and closes
// it. Reads and Writes that wait return net.ErrClosed.
func (c *Conn) Close() error {
	if !c.closing.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	c.carrier.SetReadDeadline(time.Unix(1, 0))
	var err error
	if c.open.Load() {
		err = c.out.closeWrite(c.eng, true)
	}
	if !c.polls {
		c.out.drain(c.cfg.linger())
	}
	c.abort(net.ErrClosed)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, bio.ErrAborted) {
		err = nil
	}
	return err
}

// abort closes the carrier at once; err is what a handshake under way returns.
func (c *Conn) abort(err error) {
	c.cancel(err)
	c.carrier.SetReadDeadline(time.Unix(1, 0))
	if c.eng != nil {
		c.eng.Abort(err)
	}
	c.carrier.Close()
	c.out.abandon(err)
}

// deadlineError turns "interrupted" into the error that net.Conn prescribes.
func deadlineError(err error) error {
	if err == errInterrupted {
		return os.ErrDeadlineExceeded
	}
	return err
}

func releaseAll(ev []frame.Event) {
	for _, e := range ev {
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
}

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

// armRead sets the carrier's read deadline to the connection's. During the handshake there is none.
func (c *Conn) armRead() error {
	c.arming.Lock()
	defer c.arming.Unlock()
	return c.carrier.SetReadDeadline(c.readDeadline.time())
}

// SetWriteDeadline implements net.Conn. The carrier does not see it: a Write that it ends leaves the connection usable.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.closing.Load() {
		return net.ErrClosed
	}
	c.writeDeadline.set(t)
	return nil
}
