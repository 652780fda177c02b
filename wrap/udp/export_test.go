package udp

import "net"

// Portable returns a Socket that moves one datagram at a time, as From does on systems without anything better.
func Portable(conn *net.UDPConn) *Socket {
	s := &Socket{conn: conn}
	s.mover = newPortable(conn, &s.stats)
	return s
}

// Conn returns what s moves its datagrams by.
func (s *Socket) Conn() net.PacketConn { return s.conn }
