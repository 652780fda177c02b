package udp

import (
	"errors"

	"golang.org/x/sys/windows"
)

const msgTrunc = windows.MSG_TRUNC

func isTooBig(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }

// isUnreachable reports whether err can be what an ICMP message said, of a datagram sent earlier.
func isUnreachable(err error) bool {
	return errors.Is(err, windows.WSAECONNRESET) || errors.Is(err, windows.WSAENETRESET) ||
		errors.Is(err, windows.WSAEHOSTUNREACH) || errors.Is(err, windows.WSAENETUNREACH)
}

// forbidFragments sets what the system has; one of the two families always fails.
func forbidFragments(fd uintptr) {
	s := windows.Handle(fd)
	windows.SetsockoptInt(s, windows.IPPROTO_IP, windows.IP_MTU_DISCOVER, windows.IP_PMTUDISC_DO)
	windows.SetsockoptInt(s, windows.IPPROTO_IPV6, windows.IPV6_MTU_DISCOVER, windows.IP_PMTUDISC_DO)
}
