package main

import (
	"net"
	"sync"
	"time"
)

// A roaming is a UDP socket that can get another address while it is in use. It is a net.PacketConn.
type roaming struct {
	mu     sync.Mutex
	sock   *net.UDPConn
	closed bool
}

func newRoaming() (*roaming, error) {
	r := new(roaming)
	return r, r.move()
}

// move gives it a new address. What is still sent to the old one is lost.
func (r *roaming) move() error {
	// In real life on another interface; here only the port changes. Both are the same to the server.
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		sock.Close()
		return net.ErrClosed
	}
	if r.sock != nil {
		r.sock.Close() // whoever reads from it goes on with the new one
	}
	r.sock = sock
	return nil
}

func (r *roaming) current() *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sock
}

// ReadFrom implements net.PacketConn.
func (r *roaming) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		sock := r.current()
		n, from, err := sock.ReadFrom(p)
		if err == nil || sock == r.current() {
			return n, from, err
		}
	}
}

// WriteTo implements net.PacketConn. A datagram that is sent during a move may be lost: so may any.
func (r *roaming) WriteTo(p []byte, to net.Addr) (int, error) {
	for {
		sock := r.current()
		n, err := sock.WriteTo(p, to)
		if err == nil || sock == r.current() {
			return n, err
		}
	}
}

// Close implements net.PacketConn.
func (r *roaming) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.sock.Close()
}

// LocalAddr implements net.PacketConn.
func (r *roaming) LocalAddr() net.Addr { return r.current().LocalAddr() }

// SetDeadline implements net.PacketConn, for the address that it has now. A datagram.Conn does not use it.
func (r *roaming) SetDeadline(t time.Time) error { return r.current().SetDeadline(t) }

// SetReadDeadline implements net.PacketConn, as SetDeadline does.
func (r *roaming) SetReadDeadline(t time.Time) error { return r.current().SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn, as SetDeadline does.
func (r *roaming) SetWriteDeadline(t time.Time) error { return r.current().SetWriteDeadline(t) }

var _ net.PacketConn = (*roaming)(nil)
