//go:build !linux

package tun

import "net"

func tuned(net.Conn) {}
