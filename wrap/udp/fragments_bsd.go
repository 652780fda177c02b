//go:build darwin || freebsd

package udp

import "golang.org/x/sys/unix"

// forbidFragments sets what the system has; one of the two families always fails.
func forbidFragments(fd uintptr) {
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
}
