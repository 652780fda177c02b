package wrap

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// A Carrier moves frames to the peer and back. One goroutine at a time calls Send, one calls Recv; the other methods
// may be called at any time.
type Carrier interface {
	// Send sends frames, in order, and releases those that are sent. It waits as long as it must. After an error
	// frames[sent:] are still the caller's; a stream has taken off the first of them what was sent of it.
	Send(frames []*frame.Buf) (sent int, err error)

	// Recv waits for a frame. It is borrowed: it may be changed, until the next Recv. It may also be released, so it
	// must not be of a pool: see frame.Buf.Borrow. After the read deadline Recv returns an error that wraps
	// os.ErrDeadlineExceeded, and may be called again; at the end io.EOF.
	Recv() (*frame.Buf, error)

	// Limits returns the room, in bytes, that a frame given to Send must have around it, and the longest frame; Max is
	// 0 for "any".
	Limits() frame.Limits

	// SetReadDeadline makes Recv return, also one that waits already.
	SetReadDeadline(t time.Time) error

	// LocalAddr and RemoteAddr return what the methods of the Conn return; neither may be nil.
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
	bare() net.Conn // the stream by itself, from where the last frame ended
}

// Delimit tells a Carrier over a byte stream how to cut it into frames of at most maxFrame bytes, before its first Recv.
// It is for those who use a Carrier themselves, as package datagram does; a Conn needs no help. A nil Delimiter changes
// nothing. Delimit reports whether c is over a byte stream; other Carriers deliver frames as they come.
func Delimit(c Carrier, d frame.Delimiter, maxFrame int) (stream bool) {
	bytes, stream := c.(byteCarrier)
	if stream && d != nil {
		bytes.delimit(d, maxFrame)
	}
	return stream
}

// A pollCarrier is a Carrier whose Send and Recv do not wait but return bio.ErrWantWrite and bio.ErrWantRead.
type pollCarrier interface {
	Carrier
	polls()
}

// A tryCarrier is a Carrier that may be able to send without waiting.
type tryCarrier interface {
	Carrier
	canTry() bool // a constant
	// try sends what can be sent without waiting, and releases frames[:sent], which have left. Off the next it takes what
	// has. An error is for Send to find.
	try(frames []*frame.Buf) (sent int)
}

// A refusable is a Carrier that may learn of the network that nobody takes what it sends. It calls f then, from Send and
// Recv. It is told f before either.
type refusable interface {
	onRefusal(f func())
}

// Stream returns a Carrier over a byte stream, which it takes over: a TCP or Unix connection, net.Pipe, a serial line,
// or [Join]ed files. If rwc has no read deadlines, a goroutine reads for a Read that waits; it ends when rwc's Read
// returns, which Close may or may not bring about. On a net.Conn several frames leave with one writev.
func Stream(rwc io.ReadWriteCloser) Carrier {
	s := &stream{rwc: rwc, writer: frame.NewWriter(rwc), tryWrite: tryWriter(rwc)}
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
	tryWrite func(frames []*frame.Buf) int // how many bytes went without waiting; nil: cannot
}

func (s *stream) Send(frames []*frame.Buf) (int, error) { return s.writer.Write(frames) }
func (s *stream) Limits() frame.Limits                  { return frame.Limits{} }
func (s *stream) SetReadDeadline(t time.Time) error     { return s.deadline.SetReadDeadline(t) }
func (s *stream) Close() error                          { return s.rwc.Close() }
func (s *stream) LocalAddr() net.Addr                   { return s.addr(net.Conn.LocalAddr) }
func (s *stream) RemoteAddr() net.Addr                  { return s.addr(net.Conn.RemoteAddr) }

// Recv implements Carrier. After an error, such as a deadline, it may be long until the next call.
func (s *stream) Recv() (*frame.Buf, error) {
	b, err := s.reader.Next()
	if err != nil {
		s.reader.Release()
	}
	return b, err
}

func (s *stream) canTry() bool { return s.tryWrite != nil }

func (s *stream) try(frames []*frame.Buf) int { return frame.Sent(frames, s.tryWrite(frames)) }

func (s *stream) addr(of func(net.Conn) net.Addr) net.Addr {
	if c, ok := s.rwc.(net.Conn); ok {
		return of(c)
	}
	return streamAddr{}
}

// delimit changes how frames are cut; what was read already stays. It is called before the first Recv and by its
// caller.
func (s *stream) delimit(d frame.Delimiter, maxFrame int) {
	if s.reader == nil || maxFrame > 0 {
		s.reader = frame.NewReader(s.src, d, maxFrame)
		return
	}
	s.reader.SetDelimiter(d)
}

func (s *stream) peeker() frame.Peeker { return streamPeeker{s.reader, s.rwc} }

// records cuts a stream without framing at the ends of TLS records, so that one fits each buffer on its way. What does
// not look like one is handed on at once: to refuse it is the engine's part.
// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
type records struct{}

const (
	recordHeader = 5

	// maxRecord is the longest record: TLS 1.2 allows a ciphertext 2048 bytes more than its plaintext.
	// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3
	maxRecord = recordHeader + bio.MaxPlaintext + 2048
)

// FrameLen implements frame.Delimiter.
func (records) FrameLen(p []byte) (int, error) {
	const firstType, lastType, major = 20, 24, 3
	if len(p) < recordHeader {
		return 0, nil
	}
	n := recordHeader + int(p[3])<<8 + int(p[4])
	if p[0] < firstType || p[0] > lastType || p[1] != major || n > maxRecord {
		return recordHeader, nil
	}
	return n, nil
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
// io.EOF at the end. context is what Callbacks was given. It is called with locks held and must not use the Conn.
type IOFunc func(context any, p []byte) (n int, err error)

// Callbacks returns a Carrier over two functions and a context value, as wolfSSL_SetIORecv, wolfSSL_SetIOSend and
// wolfSSL_SetIOReadCtx. A Conn over it never waits and starts no goroutine, but for the one of crypto/tls that ends
// with the handshake: Handshake, Read, Write and Flush return bio.ErrWantRead or bio.ErrWantWrite, and are called
// again when the callbacks have more to give or to take.
//
// Every call first sends what an earlier one had to leave. Read may have an answer for the peer that send does not
// take yet; Flush tells. Close does not wait either: call CloseWrite, and Flush until it returns nil, before it.
// Timeouts are the caller's, and so is the clock of a codec that has timers: its time is looked at when a method is
// called.
func Callbacks(recv, send IOFunc, context any) Carrier {
	c := &callbacks{recv: recv, send: send, context: context}
	return &polled{stream{rwc: c, src: c, deadline: c, writer: frame.NewWriter(c)}}
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
		n, err = c.send(c.context, p[done:])
		switch {
		case n < 0 || n > len(p)-done:
			return done, errCount
		case n == 0 && err == nil:
			err = bio.ErrWantWrite
		}
		done += n
	}
	return done, err
}

var errCount = errors.New("wrap: a callback returned an impossible count")

func (c *callbacks) Close() error                    { return nil }
func (c *callbacks) SetReadDeadline(time.Time) error { return nil }
