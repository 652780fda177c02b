//go:build !unix && !windows

package udp

const msgTrunc = 0

func isTooBig(error) bool      { return false }
func isUnreachable(error) bool { return false }
