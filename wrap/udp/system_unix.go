//go:build unix

package udp

import (
	"errors"
	"syscall"
)

const msgTrunc = syscall.MSG_TRUNC

func isTooBig(err error) bool { return errors.Is(err, syscall.EMSGSIZE) }

// isUnreachable reports whether err can be what an ICMP message said, of a datagram sent earlier.
func isUnreachable(err error) bool {
	var e syscall.Errno
	return errors.As(err, &e) && unreachable(e)
}

func unreachable(e syscall.Errno) bool {
	switch e {
	case syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN,
		syscall.ENOPROTOOPT, syscall.EPROTO, syscall.EACCES:
		return true
	}
	return false
}
