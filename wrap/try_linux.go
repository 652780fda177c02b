package wrap

import (
	"syscall"
	"unsafe"

	"github.com/encase-tls/encase/frame"
)

// A vector writes several frames with one system call.
type vector struct{ iov []syscall.Iovec }

// mostAtOnce is how many pieces Linux takes (IOV_MAX).
const mostAtOnce = 1024

// write returns how many bytes went, which may be negative.
func (v *vector) write(fd uintptr, frames []*frame.Buf) int {
	for _, b := range frames[:min(len(frames), mostAtOnce)] {
		piece := syscall.Iovec{Base: unsafe.SliceData(b.Bytes())}
		piece.SetLen(b.Len())
		v.iov = append(v.iov, piece)
	}
	n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(v.iov))),
		uintptr(len(v.iov)))
	clear(v.iov)
	v.iov = v.iov[:0]
	if errno != 0 {
		return 0
	}
	return int(n)
}
