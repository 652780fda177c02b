package forward

import "golang.org/x/sys/unix"

// unsent returns how many bytes the peer's system has not acknowledged, 0 after an error.
func (r *rawReader) unsent() (n int) {
	r.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n
}
