//go:build unix

package wrap

import (
	"io"
	"syscall"
)

// tryWriter returns a function that writes as much of p to rwc as goes without waiting, and returns how much that is.
// It is nil where nothing is known to do that.
func tryWriter(rwc io.ReadWriteCloser) func(p []byte) int {
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
	raw  syscall.RawConn
	call func(fd uintptr) bool // (*tries).once: made once, it costs no allocation
	p    []byte
	n    int
}

func (w *tries) write(p []byte) int {
	w.p, w.n = p, 0
	w.raw.Write(w.call)
	w.p = nil
	return max(w.n, 0)
}

// once returns true, whatever happens: false would mean "wait until there is room".
func (w *tries) once(fd uintptr) bool {
	w.n, _ = syscall.Write(int(fd), w.p)
	return true
}
