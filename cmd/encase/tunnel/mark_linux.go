package tunnel

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// marked returns what marks a socket before it connects, so that its packets stay out of the tunnel; nil for mark 0.
func marked(mark uint32) func(network, address string, c syscall.RawConn) error {
	if mark == 0 {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) (err error) {
		if other := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		}); other != nil {
			return other
		}
		if err != nil {
			return fmt.Errorf("the mark %#x: %w; it needs CAP_NET_ADMIN", mark, err)
		}
		return nil
	}
}
