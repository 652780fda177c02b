//go:build unix

package wrap

import (
	"io"
	"syscall"

	"github.com/encase-tls/encase/frame"
)

// tryWriter returns a function that writes as much of frames to rwc as goes without waiting, and returns how many bytes
// that is. It is nil where nothing is known to do that.
func tryWriter(rwc io.ReadWriteCloser) func(frames []*frame.Buf) int {
	_, raw := socketOf(rwc)
	if raw == nil {
		return nil
	}
	w := &tries{raw: raw}
	w.call = w.once
	return w.write
}

// tries writes to a socket, which is in non-blocking mode like all of package net.
type tries struct {
	raw    syscall.RawConn
	call   func(fd uintptr) bool // (*tries).once: made once, it costs no allocation
	frames []*frame.Buf
	vector vector
	n      int
}

func (w *tries) write(frames []*frame.Buf) int {
	w.frames, w.n = frames, 0
	w.raw.Write(w.call)
	w.frames = nil
	return w.n
}

// once returns true, whatever happens: false would mean "wait until there is room".
func (w *tries) once(fd uintptr) bool {
	w.n = w.vector.write(fd, w.frames)
	return true
}
