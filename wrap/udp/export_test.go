package udp

import "net"

// Portable returns a Socket that moves one datagram at a time, as From does on systems without anything better.
func Portable(conn *net.UDPConn) *Socket {
	s := &Socket{conn: conn}
	s.mover = newPortable(conn, &s.stats)
	return s
}
