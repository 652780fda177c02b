package forward

import "golang.org/x/sys/unix"

// tcpClosed is TCP_CLOSE of linux/tcp_states.h: what was unsent then will never be.
const tcpClosed = 7

// unsent returns how many bytes the peer's system has not acknowledged and still may, 0 after an error.
func (r *rawReader) unsent() (n int) {
	r.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && info.State == tcpClosed {
			return
		}
		n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	})
	return n
}
