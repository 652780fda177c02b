package wrap

import (
	"errors"
	"syscall"
)

// Errors of Winsock that package syscall does not name.
const (
	wsaeNetUnreach  = syscall.Errno(10051)
	wsaeNetReset    = syscall.Errno(10052)
	wsaeConnRefused = syscall.Errno(10061)
	wsaeHostUnreach = syscall.Errno(10065)
)

// isRefusal reports whether an error of a socket for datagrams says that nobody has the peer's port.
func isRefusal(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, wsaeConnRefused)
}

// isLoss reports whether an error of a socket for datagrams says no more than that a datagram did not get there.
func isLoss(err error) bool {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return false
	}
	switch no {
	case syscall.WSAECONNRESET, wsaeNetUnreach, wsaeNetReset, wsaeConnRefused, wsaeHostUnreach:
		return true
	}
	return false
}
