//go:build !unix && !windows

package wrap

// isRefusal reports whether an error of a socket for datagrams says that nobody has the peer's port.
func isRefusal(error) bool { return false }

// isLoss reports whether an error of a socket for datagrams says no more than that a datagram did not get there. Nothing
// is known here that tells.
func isLoss(error) bool { return false }
