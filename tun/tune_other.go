//go:build !linux

package tun

import "net"

// Tune does nothing here: there is more delay, and no harm.
func Tune(net.Conn) {}
