//go:build unix

package forward

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// canTry says that a socket can be read without waiting.
const canTry = true

// A rawReader reads a socket without waiting. Its functions are made once, so that a Read allocates nothing.
type rawReader struct {
	raw         syscall.RawConn
	read, ready func(fd uintptr) (done bool)

	// Arguments and results of read.
	p   []byte
	n   int
	err error
}

func (r *rawReader) init(_ streamConn, raw syscall.RawConn) {
	r.raw = raw
	r.read = func(fd uintptr) bool {
		r.n, r.err = restarted(func() (int, error) { return unix.Read(int(fd), r.p) })
		return true
	}
	r.ready = func(fd uintptr) bool {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := restarted(func() (int, error) { return unix.Poll(fds[:], 0) })
		return n > 0 || err != nil
	}
}

// restarted repeats a system call that a signal has interrupted.
func restarted(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

// now reads what is there, or returns errNothing.
func (r *rawReader) now(p []byte) (int, error) {
	r.p = p
	err := r.raw.Read(r.read)
	n, readErr := r.n, r.err
	r.p, r.n, r.err = nil, 0, nil
	switch {
	case err != nil:
		return 0, err
	case readErr == unix.EAGAIN:
		return 0, errNothing
	case readErr != nil:
		return 0, os.NewSyscallError("read", readErr)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// await waits until there is something, be it an end or an error. It must look for itself: the poller tells of what has
// come since, not of what came before.
func (r *rawReader) await() error { return r.raw.Read(r.ready) }

// fileLimit returns how many files this process may have open, 0 if that is not known.
func fileLimit() int64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return int64(min(l.Cur, 1<<40))
}
