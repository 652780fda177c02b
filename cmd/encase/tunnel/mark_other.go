//go:build !linux

package tunnel

import (
	"errors"
	"syscall"
)

// marked returns what refuses a mark: other systems have none.
func marked(mark uint32) func(network, address string, c syscall.RawConn) error {
	if mark == 0 {
		return nil
	}
	return func(string, string, syscall.RawConn) error {
		return errors.New("sockets have no mark on this system; set interface.fwmark = 0")
	}
}
