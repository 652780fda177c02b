//go:build unix

package wrap

import (
	"io"
	"net"
	"os"
	"syscall"
)

// lateReader returns a reader of conn that waits without memory, see frame.LateReader, nil where there is none.
func lateReader(conn io.ReadWriteCloser) io.Reader {
	c, raw := socketOf(conn)
	if raw == nil {
		return nil
	}
	r := &lateSocket{Conn: c, raw: raw}
	r.call = r.once
	return r
}

// socketOf returns a socket of package net, which is in non-blocking mode, nil for any other stream. A type that embeds
// one may have a Read and a Write of its own.
func socketOf(rwc io.ReadWriteCloser) (net.Conn, syscall.RawConn) {
	var raw syscall.RawConn
	var err error
	switch c := rwc.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	default:
		return nil, nil
	}
	if err != nil {
		return nil, nil
	}
	return rwc.(net.Conn), raw
}

// A lateSocket is a frame.LateReader.
type lateSocket struct {
	net.Conn
	raw  syscall.RawConn
	call func(fd uintptr) bool // (*lateSocket).once: made once, it costs no allocation

	// Of the call of ReadLate that is under way.
	room func() []byte
	idle func()
	n    int
	err  error
}

// ReadLate implements frame.LateReader.
func (r *lateSocket) ReadLate(room func() []byte, idle func()) (int, error) {
	r.room, r.idle, r.n, r.err = room, idle, 0, nil
	err := r.raw.Read(r.call)
	switch {
	case err != nil:
		if op, ok := err.(*net.OpError); ok {
			op.Op = "read" // as net would have it
		}
		return 0, err
	case r.err != nil:
		return 0, &net.OpError{Op: "read", Net: r.LocalAddr().Network(), Source: r.LocalAddr(), Addr: r.RemoteAddr(),
			Err: os.NewSyscallError("read", r.err)}
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// once reads if there is something. It returns false for "wait until there is", and is called again then.
func (r *lateSocket) once(fd uintptr) bool {
	p := r.room()
	for {
		switch r.n, r.err = receive(fd, p); r.err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			r.idle()
			return false
		default:
			return true
		}
	}
}
