package forward

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// A streamConn is a *net.TCPConn or a *net.UnixConn.
type streamConn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// A socket is a stream connection that can be read without waiting, so that nobody holds a buffer while nothing comes,
// and that can be ended as an abort. One goroutine reads it, another may write it.
type socket struct {
	streamConn
	reader  rawReader
	hasty   bool         // Read does not wait but returns errNothing
	counts  func() bool  // whether written counts what is written now; nil: it does
	written atomic.Int64 // bytes
	broken  atomic.Bool  // a Write has failed
}

// errNothing is what a hasty Read returns: to those who read through the socket it is a read deadline that has passed,
// after which they may try again.
var errNothing = os.ErrDeadlineExceeded

func newSocket(c net.Conn) (*socket, error) {
	sc, ok := c.(streamConn)
	if !ok {
		return nil, errors.New("forward: neither TCP nor a Unix socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{streamConn: sc}
	s.reader.init(sc, raw)
	return s, nil
}

// Read reads, and waits if there is nothing, unless the socket is hasty.
func (s *socket) Read(p []byte) (int, error) {
	if s.hasty {
		return s.reader.now(p)
	}
	return s.streamConn.Read(p)
}

// Write counts what it writes.
func (s *socket) Write(p []byte) (int, error) {
	n, err := s.streamConn.Write(p)
	s.note(int64(n), err)
	return n, err
}

// WriteBuffers implements [frame.BuffersWriter]: what it counts leaves with one system call.
func (s *socket) WriteBuffers(bufs *net.Buffers) (int64, error) {
	n, err := bufs.WriteTo(s.streamConn)
	s.note(n, err)
	return n, err
}

// note takes in what a write has come to.
func (s *socket) note(n int64, err error) {
	if s.counts == nil || s.counts() {
		s.written.Add(n)
	}
	if err != nil {
		s.broken.Store(true)
	}
}

// await waits until a Read of a hasty socket returns something else than errNothing.
func (s *socket) await() error { return s.reader.await() }

// settle waits until the peer's system has everything that was written, done reports that nothing more will be written,
// or limit has passed. Without it, what reset throws away includes bytes that are on their way.
func (s *socket) settle(limit time.Duration, done func() bool) {
	const shortest, longest = time.Millisecond, 20 * time.Millisecond
	end := time.Now().Add(limit)
	for pause := shortest; time.Now().Before(end) && !s.broken.Load(); pause = min(2*pause, longest) {
		if done() && s.reader.unsent() == 0 {
			return
		}
		time.Sleep(pause)
	}
}

// reset ends the connection so that the peer cannot take it for complete: over TCP with RST. A Unix socket has no such
// thing; its peer sees an end of file.
func (s *socket) reset() {
	if tcp, ok := s.streamConn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	s.broken.Store(true)
	s.Close()
}
