package forward

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A party is one of those who can end a connection.
type party int

const (
	client party = iota // who has connected to us
	server              // whom we have connected to
	self
)

func (p party) String() string { return [...]string{"client", "server", "encase"}[p] }

// abortLinger is how long an end that is aborted has to deliver what it was given before.
const abortLinger = 5 * time.Second

// wholeRecord is the room that lets a wrap.Conn open a record where it is wanted, without a copy.
const wholeRecord = bio.MaxPlaintext + 256

// An end is one of the two sides of a connection that is forwarded.
type end struct {
	party      party
	sock       *socket
	tls        *wrap.Conn // nil: plain
	serverName string     // that TLS verifies, of a server
	dry        bool       // the last Read found nothing
	ahead      io.Reader  // what was read ahead of TLS, and then sock; nil: only sock
	left       slog.Attr  // what is known of TLS that an end has left
}

// newEnd returns an end over c, which it takes over; cfg is nil if it is plain.
func newEnd(p party, c net.Conn, cfg *wrap.Config) (*end, error) {
	sock, err := newSocket(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	e := &end{party: p, sock: sock}
	switch {
	case cfg == nil:
	case p == client:
		e.tls = wrap.Server(wrap.Stream(sock), cfg)
	default:
		e.tls = wrap.Client(wrap.Stream(sock), cfg)
		e.serverName = cfg.TLS.ServerName
	}
	if e.tls != nil {
		sock.counts = func() bool { return e.tls.Stats().FramesOut > 0 } // what precedes the first frame is a preamble
	}
	return e, nil
}

// handshake makes the end ready for receive.
func (e *end) handshake(ctx context.Context) error {
	if e.tls != nil {
		if err := e.tls.HandshakeContext(ctx); err != nil {
			return err
		}
	}
	e.sock.hasty = true
	return nil
}

// receive waits for data and returns it in a buffer from pool, as much as there is and fits. The buffer is the
// caller's, and nil if there is no data; data may come together with the error that follows it, io.EOF after an orderly
// end. While it waits no buffer is in use.
func (e *end) receive(pool *frame.Pool) (*frame.Buf, error) {
	for {
		if e.dry {
			err := e.sock.await()
			if err != nil && (e.tls == nil || !errors.Is(err, os.ErrDeadlineExceeded)) {
				return nil, err
			} // a deadline is how a wrap.Conn says that its codec has ended: Read tells
		}
		b := pool.Get(0)
		err := e.fill(b)
		if e.dry = err == errNothing; e.dry {
			err = nil
		}
		if b.Len() > 0 {
			return b, err
		}
		b.Release()
		if err != nil {
			return nil, err
		}
	}
}

// fill appends to b what there is, as long as there is room, and returns errNothing if it found that there is no more.
func (e *end) fill(b *frame.Buf) error {
	if e.tls == nil {
		err := readTo(b, e.source())
		if err == errNothing {
			e.ahead = nil
		}
		return err
	}
	for b.Tailroom() >= wholeRecord {
		if err := readTo(b, e.tls); err != nil {
			return err
		}
		if !canTry {
			break // the next Read would wait, with data in hand
		}
	}
	return nil
}

// source returns where data is read from.
func (e *end) source() io.Reader {
	switch {
	case e.tls != nil:
		return e.tls
	case e.ahead != nil:
		return e.ahead
	}
	return e.sock
}

// readTo appends what one Read returns.
func readTo(b *frame.Buf, src io.Reader) error {
	room := b.Append(b.Tailroom())
	n, err := src.Read(room)
	b.TrimBack(len(room) - n)
	return err
}

// send sends all of p.
func (e *end) send(p []byte) error {
	var err error
	if e.tls != nil {
		_, err = e.tls.Write(p)
	} else {
		_, err = e.sock.Write(p)
	}
	return err
}

// closeWrite tells the peer that no more follows; receiving goes on.
func (e *end) closeWrite() error {
	if e.tls != nil {
		return e.tls.CloseWrite()
	}
	return e.sock.CloseWrite()
}

// close ends the end in order. Nobody may be receiving.
func (e *end) close() {
	if e.tls != nil {
		e.sock.hasty = false // a codec may have to hear its peer before it can send the rest
		e.tls.Close()
		return
	}
	e.sock.Close()
}

// abort ends the end so that its peer cannot take what it got for complete, after that has been delivered.
func (e *end) abort() {
	e.sock.settle(abortLinger, e.flushed)
	e.reset()
}

// reset does it at once.
func (e *end) reset() {
	e.sock.reset()
	if e.tls != nil {
		e.tls.Close() // the socket is closed: no close_notify leaves
	}
}

// flushed reports whether all that was sent has been written to the socket.
func (e *end) flushed() bool {
	return e.tls == nil || e.sock.written.Load() >= int64(e.tls.Stats().WireOut)
}
