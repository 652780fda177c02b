package tun

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// notSent is how much of a stream may wait in the kernel without having been sent.
const notSent = 128 << 10

// Tune prepares a TCP connection for packets, before anything is sent on it: little waits in the kernel, where it could
// not be overtaken any more. A Server does that itself; it is for Endpoint.Dial. What is no TCP connection stays as it is.
func Tune(c net.Conn) {
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
