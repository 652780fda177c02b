package wrap

import (
	"io"
	"net"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// A Carrier moves frames to the peer and back. One goroutine at a time calls Send, one calls Recv; the other methods may
// be called at any time.
type Carrier interface {
	// Send sends frames, in order, and releases those that are sent. It waits as long as it must. After an error
	// frames[sent:] are still the caller's; a stream has taken off the first of them what was sent of it.
	Send(frames []*frame.Buf) (sent int, err error)

	// Recv waits for a frame. It is borrowed: it may be changed, until the next Recv. After the read deadline Recv
	// returns an error that wraps os.ErrDeadlineExceeded, and may be called again; at the end io.EOF.
	Recv() (*frame.Buf, error)

	// Limits returns the room, in bytes, that a frame given to Send must have around it, and the longest frame; Max is
	// 0 for "any".
	Limits() frame.Limits

	// SetReadDeadline makes Recv return, also one that waits already.
	SetReadDeadline(t time.Time) error

	LocalAddr() net.Addr
	RemoteAddr() net.Addr

	// Close ends Send and Recv.
	Close() error
}

// A byteCarrier is a Carrier that must be told where frames end.
type byteCarrier interface {
	Carrier
	delimit(d frame.Delimiter, maxFrame int)
	peeker() frame.Peeker
}

// A pollCarrier is a Carrier whose Send and Recv do not wait but return bio.ErrWantWrite and bio.ErrWantRead.
type pollCarrier interface {
	Carrier
	polls()
}

// Stream returns a Carrier over a byte stream, which it takes over: a TCP or Unix connection, net.Pipe, a serial line,
// or [Join]ed files. If rwc has no read deadlines, a goroutine reads for a Read that waits. On a net.Conn several frames
// leave with one writev.
func Stream(rwc io.ReadWriteCloser) Carrier {
	s := &stream{rwc: rwc, writer: frame.NewWriter(rwc)}
	s.src, s.deadline = readerOf(rwc)
	s.delimit(nil, 0)
	return s
}

type stream struct {
	rwc      io.ReadWriteCloser
	src      io.Reader
	deadline deadliner
	reader   *frame.Reader
	writer   *frame.Writer
}

func (s *stream) Send(frames []*frame.Buf) (int, error) { return s.writer.Write(frames) }
func (s *stream) Recv() (*frame.Buf, error)             { return s.reader.Next() }
func (s *stream) Limits() frame.Limits                  { return frame.Limits{} }
func (s *stream) SetReadDeadline(t time.Time) error     { return s.deadline.SetReadDeadline(t) }
func (s *stream) Close() error                          { return s.rwc.Close() }
func (s *stream) LocalAddr() net.Addr                   { return s.addr(net.Conn.LocalAddr) }
func (s *stream) RemoteAddr() net.Addr                  { return s.addr(net.Conn.RemoteAddr) }

func (s *stream) addr(of func(net.Conn) net.Addr) net.Addr {
	if c, ok := s.rwc.(net.Conn); ok {
		return of(c)
	}
	return streamAddr{}
}

// delimit changes how frames are cut; what was read already stays. It is called before the first Recv and by its caller.
func (s *stream) delimit(d frame.Delimiter, maxFrame int) {
	if s.reader == nil || maxFrame > 0 {
		s.reader = frame.NewReader(s.src, d, maxFrame)
		return
	}
	s.reader.SetDelimiter(d)
}

func (s *stream) peeker() frame.Peeker { return streamPeeker{s.reader, s.rwc} }

// records cuts a stream without framing at the ends of TLS records, so that one fits each buffer on its way. What does
// not look like one is handed on as it comes: to refuse it is the engine's part.
// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
type records struct{}

func (records) FrameLen(p []byte) (int, error) {
	const header, firstType, lastType, major = 5, 20, 24, 3
	switch {
	case p[0] < firstType || p[0] > lastType || len(p) > 1 && p[1] != major:
		return len(p), nil
	case len(p) < header:
		return 0, nil
	}
	return header + int(p[3])<<8 + int(p[4]), nil
}

type streamPeeker struct {
	*frame.Reader
	w io.Writer
}

func (p streamPeeker) Write(b []byte) (int, error) { return p.w.Write(b) }

// streamAddr is the address of a stream that has none.
type streamAddr struct{}

func (streamAddr) Network() string { return "stream" }
func (streamAddr) String() string  { return "stream" }

// Join makes one stream of two files, pipes or FIFOs: r is read, w is written, and Close closes both.
func Join(r io.ReadCloser, w io.WriteCloser) io.ReadWriteCloser { return &joined{r, w} }

type joined struct {
	io.ReadCloser
	w io.WriteCloser
}

func (j *joined) Write(p []byte) (int, error) { return j.w.Write(p) }

func (j *joined) Close() error {
	err := j.w.Close()
	if rerr := j.ReadCloser.Close(); err == nil {
		err = rerr
	}
	return err
}

// SetReadDeadline works if the file that is read has deadlines, as pipes and FIFOs do.
func (j *joined) SetReadDeadline(t time.Time) error {
	if d, ok := j.ReadCloser.(deadliner); ok {
		return d.SetReadDeadline(t)
	}
	return errNoDeadline
}

// An IOFunc is a callback: it moves bytes between p and where the application keeps them, and returns how many. It does
// not wait: it returns bio.ErrWantRead or bio.ErrWantWrite, as wolfSSL's callbacks return WANT_READ and WANT_WRITE, and
// io.EOF at the end. context is what Callbacks was given.
type IOFunc func(context any, p []byte) (n int, err error)

// Callbacks returns a Carrier over two functions and a context value, as wolfSSL_SetIORecv, wolfSSL_SetIOSend and
// wolfSSL_SetIOReadCtx. A Conn over it never waits and starts no goroutine: Handshake, Read, Write and Flush return
// bio.ErrWantRead or bio.ErrWantWrite, and are called again when the callbacks have more to give or to take.
func Callbacks(recv, send IOFunc, context any) Carrier {
	c := &callbacks{recv: recv, send: send, context: context}
	return &polled{stream{rwc: c, src: c, deadline: c, reader: frame.NewReader(c, nil, 0), writer: frame.NewWriter(c)}}
}

type polled struct{ stream }

func (*polled) polls() {}

type callbacks struct {
	recv, send IOFunc
	context    any
}

func (c *callbacks) Read(p []byte) (int, error) {
	n, err := c.recv(c.context, p)
	if n == 0 && err == nil {
		err = bio.ErrWantRead
	}
	return n, err
}

func (c *callbacks) Write(p []byte) (done int, err error) {
	for done < len(p) && err == nil {
		var n int
		if n, err = c.send(c.context, p[done:]); n == 0 && err == nil {
			err = bio.ErrWantWrite
		}
		done += n
	}
	return done, err
}

func (c *callbacks) Close() error                    { return nil }
func (c *callbacks) SetReadDeadline(time.Time) error { return nil }
