package wrap

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/frame"
)

// A vector writes several frames with one system call.
type vector struct{ iov []unix.Iovec }

// mostAtOnce is how many pieces Linux takes (IOV_MAX).
const mostAtOnce = 1024

// write returns how many bytes went. As receive, it does not wait, so Go's scheduler need not hear of the call, which
// would cost much of the time of a frame that is sent alone.
func (v *vector) write(fd uintptr, frames []*frame.Buf) int {
	for _, b := range frames[:min(len(frames), mostAtOnce)] {
		piece := unix.Iovec{Base: unsafe.SliceData(b.Bytes())}
		piece.SetLen(b.Len())
		v.iov = append(v.iov, piece)
	}
	message := unix.Msghdr{Iov: unsafe.SliceData(v.iov)}
	message.SetIovlen(len(v.iov))
	n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&message)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	clear(v.iov)
	v.iov = v.iov[:0]
	if errno != 0 {
		return 0
	}
	return int(n)
}

// receive reads from a socket what has come.
func receive(fd uintptr, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
