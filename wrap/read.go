package wrap

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// Read moves application data to p. It returns io.EOF after the peer's close_notify, and an error that wraps
// bio.ErrTruncated if the carrier ended without one. What arrived before an error is returned before it.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.awaitHandshake(c.readDeadline.done()); err != nil {
		return 0, deadlineError(err)
	}
	locked := c.waitForTurn()
	if locked {
		defer c.unlockReading()
	}
	switch {
	case c.closing.Load():
		return 0, net.ErrClosed
	case !locked || c.readDeadline.passed():
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
		switch {
		case n > 0:
			return n, nil
		case c.closing.Load():
			return 0, net.ErrClosed
		case err != nil && c.plain == nil:
			return 0, err
		}
	}
}

// waitForTurn makes a Read the one that reads, within its deadline. It interrupts one who only hears.
func (c *Conn) waitForTurn() bool {
	if c.lockReading(closedNow, nil) {
		return true
	}
	c.want(1)
	defer c.want(-1)
	return c.lockReading(c.readDeadline.done(), c.quit.Done())
}

// lockReading makes the caller the one that reads. It waits until then, or until stop or quit, and tells whether it is.
func (c *Conn) lockReading(stop, quit <-chan struct{}) bool {
	select {
	case c.reading <- struct{}{}:
		return true
	default:
	}
	select {
	case c.reading <- struct{}{}:
		return true
	case <-stop:
		return false
	case <-quit:
		return false
	}
}

func (c *Conn) unlockReading() {
	if c.closing.Load() {
		c.dropPlain()
	}
	<-c.reading
}

func (c *Conn) takePlain(p []byte) int {
	n := copy(p, c.plain.Bytes())
	if c.plain.TrimFront(n); c.plain.Len() == 0 {
		c.dropPlain()
		c.out.hear() // it may have been too much
	}
	return n
}

func (c *Conn) dropPlain() {
	if c.plain != nil {
		c.plain.Release()
		c.plain = nil
	}
}

// step receives one frame and handles what it means. Application data goes to p if it has room for all of it, and
// otherwise to c.plain. An error that is not for ever leaves readErr nil. Once TLS has failed, the frame means something
// to the machine alone.
func (c *Conn) step(p []byte) (n int, err error) {
	failed := c.failedTLS()
	c.applyRaw()
	if c.polls {
		c.out.pollNow()
	}
	b, err := c.carrier.Recv()
	if err != nil {
		return 0, c.recvFailed(err)
	}
	ev, err := c.recv(b)
	for i, e := range ev {
		switch {
		case failed && (e.Kind == frame.In || e.Kind == frame.Side):
		case e.Kind == frame.In:
			var m int
			m, c.readErr = c.openAll(p[n:], e.Buf.Bytes())
			if n += m; c.readErr != nil {
				releaseAll(ev[i:])
				return n, c.readErr
			}
		case e.Kind == frame.Side && c.cfg.Side != nil:
			c.cfg.Side(c, e.Buf.Bytes())
		case e.Kind == frame.SwitchRaw:
			c.raw.Store(true)
			c.applyRaw()
		case e.Kind == frame.Done:
			c.deafen(c.ended(e.Err))
		}
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
	if err != nil && c.readErr == nil {
		c.refuse(err)
	}
	return n, c.readErr
}

// refuse takes in that a frame was refused: that ends a stream, of which nobody knows where it goes on. A datagram,
// which anybody may have sent, is dropped.
func (c *Conn) refuse(err error) {
	err = c.blamePeer(err)
	if _, stream := c.carrier.(byteCarrier); stream || !errors.Is(err, frame.ErrMalformed) {
		c.deafen(err)
	}
}

// deafen takes in that no more frames will come that mean anything; err is what Read returns.
func (c *Conn) deafen(err error) {
	c.readErr, c.deaf = err, err
	if err == io.EOF { // the peer has closed TLS before: nothing is wrong but that this end is not done
		c.deaf = io.ErrClosedPipe
	}
}

// failedTLS reports whether what the peer's TLS says means nothing any more.
func (c *Conn) failedTLS() bool { return c.readErr != nil && c.readErr != io.EOF }

// recv gives a frame to the machine and sends what it answers.
func (c *Conn) recv(b *frame.Buf) (ev []frame.Event, err error) {
	c.stats.framesIn.Add(1)
	c.stats.wireIn.Add(uint64(b.Len()))
	var traced []byte
	if c.cfg.Trace != nil {
		traced = append([]byte{}, b.Bytes()...) // Recv takes the frame apart in place
	}
	raw := c.raw.Load()
	switch {
	case raw:
		ev = append(c.events[:0], frame.Event{Kind: frame.In, Buf: b})
	case c.paired:
		ev, err = c.mach.Recv(c.events[:0], b)
	default:
		ev, err = c.out.recv(c.events[:0], b)
	}
	c.events = ev
	if c.cfg.Trace != nil {
		t := Trace{Frame: traced}
		if len(ev) > 0 && ev[0].Kind == frame.In && (raw || c.paired) {
			t.TLS = ev[0].Buf.Bytes()
		}
		c.cfg.Trace(t)
	}
	return ev, err
}

// recvFailed takes in an error of the carrier.
func (c *Conn) recvFailed(err error) error {
	over := c.over.Load()
	switch timeout := errors.Is(err, os.ErrDeadlineExceeded); {
	case timeout && over == nil:
		return os.ErrDeadlineExceeded
	case errors.Is(err, bio.ErrWantRead):
		return bio.ErrWantRead
	}
	switch {
	case over != nil:
		err = c.ended(*over)
	case errors.Is(err, frame.ErrMalformed):
		err = c.blamePeer(err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = c.ended(nil)
	default:
		err = fmt.Errorf("wrap: carrier: %w", err)
	}
	c.deafen(err)
	return err
}

// blamePeer counts a frame that was refused, and says whose it was.
func (c *Conn) blamePeer(err error) error {
	if errors.Is(err, frame.ErrMalformed) {
		c.stats.malformed.Add(1)
	}
	return fmt.Errorf("wrap: from %v: %w", c.RemoteAddr(), err)
}

// ended takes in that no more frames will come. Whether that is an end in good order TLS knows, and nobody else.
func (c *Conn) ended(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
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
	bytes, ok := c.carrier.(byteCarrier)
	if !ok {
		return
	}
	var d frame.Delimiter = records{}
	if c.cfg.maxFrame() < maxRecord {
		d = nil // the carrier's limit is for frames: records come in pieces then
	}
	bytes.delimit(d, 0)
}

func releaseAll(ev []frame.Event) {
	for _, e := range ev {
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
}
