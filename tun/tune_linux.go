package tun

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// notSent is how much of a stream may wait in the kernel without having been sent. What waits there cannot be overtaken
// any more.
const notSent = 128 << 10

// tuned prepares a TCP connection for packets: little waits in the kernel.
func tuned(c net.Conn) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { // where that is not known, there is more delay, and no harm
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
	})
}
