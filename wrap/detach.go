package wrap

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/encase-tls/encase/frame"
)

// Detach ends the use of TLS in the middle of a stream and returns the stream underneath, for the few protocols that go
// on in clear: MS-TDS where only the login is encrypted, FTP after CCC. The first byte to be read from it is the one
// behind the last record that was read; all that was written has left before, for which Detach waits at most
// Config.Linger. Deadlines stay as they were set. Nothing says goodbye: where the protocol wants close_notify, call
// CloseWrite, or Read until io.EOF, before.
//
// From here on nothing is protected: whoever is on the path reads, changes and ends what follows. That is why it takes
// a call and a net.Conn of another type to get there, and no codec can do it by itself.
//
// Detach fails, and the connection stays as it was, before the handshake is done, while another call is under way or
// has left something unread, over a carrier of packets, and where the framing has not ended: a codec that TLS is in, in
// frames, is not taken off with it. After it has succeeded the stream belongs to the caller, who closes it; the Conn is
// as after Close, but for ConnectionState and Machine.
//
// https://www.rfc-editor.org/rfc/rfc4217#section-7
func (c *Conn) Detach() (net.Conn, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.lockReading(closedNow, nil) {
		return nil, errors.New("wrap: Detach: a Read or a handshake is under way")
	}
	defer c.unlockReading()
	bytes, err := c.detachable()
	if err == nil {
		err = c.allSent()
	}
	if err != nil {
		return nil, err
	}
	c.detached.Store(true)
	if !c.closing.CompareAndSwap(false, true) {
		c.detached.Store(false)
		return nil, net.ErrClosed
	}
	c.cancel(net.ErrClosed) // from here on nothing of TLS can reach the stream
	c.eng.Abort(net.ErrClosed)
	c.out.abandon(net.ErrClosed)
	bare := bytes.bare()
	bare.SetWriteDeadline(c.writeDeadline.time()) // where there are none, it was the Conn that had them
	return bare, bare.SetReadDeadline(c.readDeadline.time())
}

// detachable returns the stream, or why it cannot be had.
func (c *Conn) detachable() (byteCarrier, error) {
	bytes, ok := c.carrier.(byteCarrier)
	switch {
	case c.closing.Load():
		return nil, net.ErrClosed
	case !c.open.Load():
		return nil, errors.New("wrap: Detach: the handshake is not done")
	case !ok:
		return nil, errors.New("wrap: Detach: the carrier is no stream")
	case !c.raw.Load() && !frame.IsRaw(c.mach):
		return nil, errors.New("wrap: Detach: the codec still frames what is sent")
	case c.raw.Load() && c.cfg.maxFrame() < maxRecord:
		// then records come in pieces, and with the last of one perhaps what follows it
		return nil, fmt.Errorf("wrap: Detach: Config.MaxFrame is less than a TLS record, %d bytes", maxRecord)
	case c.plain != nil:
		return nil, fmt.Errorf("wrap: Detach: %d bytes that came under TLS have not been read", c.plain.Len())
	case c.readErr != nil && c.readErr != io.EOF:
		return nil, c.readErr
	}
	return bytes, nil
}

// allSent waits until all that was written has left. No call that could add to it may be under way.
func (c *Conn) allSent() error {
	if c.polls {
		return c.out.pollNow()
	}
	c.out.drain(time.Now().Add(c.cfg.lingers()))
	switch sent, err := c.out.nothingLeft(); {
	case sent:
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("wrap: Detach: the peer did not take what was written: %w", os.ErrDeadlineExceeded)
}

// nothingLeft reports whether the carrier has taken everything, and why it never will, if that is so.
func (s *sender) nothingLeft() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && s.isQuiet() && len(s.queue) == 0, s.err
}

// Machine returns the framing, for what the package of its codec tells of it, such as what a dialogue with the peer has
// agreed on. It is nil where the configuration is wrong. Call none of the methods of frame.Machine and its companions:
// they are the Conn's to call. What a handshake sets may be looked at after it.
func (c *Conn) Machine() frame.Machine { return c.mach }

// A bareStream is a stream that no TLS uses any more. What was read ahead of TLS comes first.
type bareStream struct{ *stream }

func (b bareStream) Read(p []byte) (int, error)  { return b.reader.Read(p) }
func (b bareStream) Write(p []byte) (int, error) { return b.rwc.Write(p) }

// SetDeadline implements net.Conn.
func (b bareStream) SetDeadline(t time.Time) error {
	return errors.Join(b.SetReadDeadline(t), b.SetWriteDeadline(t))
}

// SetWriteDeadline implements net.Conn. It works if the stream has write deadlines.
func (b bareStream) SetWriteDeadline(t time.Time) error {
	if d, ok := b.rwc.(interface{ SetWriteDeadline(time.Time) error }); ok {
		return d.SetWriteDeadline(t)
	}
	return errNoWriteDeadline
}

var errNoWriteDeadline = errors.New("wrap: the stream has no write deadline")

func (s *stream) bare() net.Conn { return bareStream{s} }
