//go:build unix

package wrap

import (
	"errors"
	"syscall"
)

// isRefusal reports whether an error of a socket for datagrams says that nobody has the peer's port.
func isRefusal(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// isLoss reports whether an error of a socket for datagrams says no more than that a datagram did not get there: an ICMP
// message that anybody could have sent, a link that is down for a while, a queue that is full.
func isLoss(err error) bool {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return false
	}
	switch no {
	case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN,
		syscall.ENETDOWN, syscall.ENOBUFS:
		return true
	}
	return false
}
