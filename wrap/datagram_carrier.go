package wrap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/frame"
)

const (
	// DefaultMTU is the longest datagram, in bytes, that is sent if nothing else is said: every path of today carries
	// it. https://www.rfc-editor.org/rfc/rfc9000#section-14
	DefaultMTU = 1200

	// longestDatagram is how much is received at once: there is no longer one in UDP.
	longestDatagram = 1 << 16
)

// Datagram returns a Carrier over pc, which it takes over: one frame, one datagram, to and from peer. mtu is the
// longest datagram to send, in bytes; 0 means DefaultMTU. If pc is connected, as from net.Dial, peer may be nil.
//
// TLS needs a stream, and datagrams get lost: a [Conn] over this Carrier works with a frame.Machine that repeats what
// was lost, such as that of OpenVPN's control channel. For DTLS, which carries messages, see package datagram.
//
// Datagrams from anybody but peer are dropped, and counted in [Stats]. What the network says about a datagram that was
// sent, such as "connection refused", ends nothing: the datagram is lost, as others are, and its sender need not be
// believed. Only a Close that has nothing but goodbyes left to deliver takes its word. Linux says it for connected
// sockets only.
func Datagram(pc net.PacketConn, peer net.Addr, mtu int) Carrier {
	d := &datagrams{pc: pc, peer: peer, mtu: positiveOr(mtu, DefaultMTU), buf: make([]byte, longestDatagram)}
	if conn, ok := pc.(net.Conn); ok && conn.RemoteAddr() != nil {
		d.conn, d.peer = conn, conn.RemoteAddr()
		return d
	}
	udp, isConn := pc.(*net.UDPConn)
	to, isAddr := peer.(*net.UDPAddr)
	if isConn && isAddr {
		d.udp, d.to = udp, plain(to.AddrPort())
	}
	if peer != nil {
		d.name = peer.String()
	}
	return d
}

// datagrams has a way of its own for UDP, which allocates nothing.
type datagrams struct {
	pc   net.PacketConn
	peer net.Addr
	mtu  int

	conn net.Conn     // pc, if it is connected
	udp  *net.UDPConn // pc, if that is what it is, and not connected
	to   netip.AddrPort
	name string // of peer

	buf  []byte
	view frame.Buf

	refused   func() // called when the network says that the peer's port is closed; nil: nobody wants to know
	strangers atomic.Uint64
}

var errNoPeer = errors.New("wrap: Datagram needs a peer: the socket is not connected")

// Send implements Carrier.
func (d *datagrams) Send(frames []*frame.Buf) (int, error) {
	for i, b := range frames {
		if b.Len() > d.mtu {
			return i, fmt.Errorf("wrap: a frame of %d bytes: the MTU is %d: %w", b.Len(), d.mtu, frame.ErrTooLarge)
		}
		if err := d.write(b.Bytes()); err != nil && !d.lost(err) {
			return i, err
		}
		b.Release()
	}
	return len(frames), nil
}

// lost reports whether err says no more than that a datagram did not get there.
func (d *datagrams) lost(err error) bool {
	if d.refused != nil && isRefusal(err) {
		d.refused()
	}
	return isLoss(err)
}

func (d *datagrams) write(p []byte) (err error) {
	switch {
	case d.conn != nil:
		_, err = d.conn.Write(p)
	case d.udp != nil:
		_, err = d.udp.WriteToUDPAddrPort(p, d.to)
	case d.peer != nil:
		_, err = d.pc.WriteTo(p, d.peer)
	default:
		err = errNoPeer
	}
	return err
}

// Recv implements Carrier.
func (d *datagrams) Recv() (*frame.Buf, error) {
	for {
		n, known, err := d.read()
		switch {
		case err != nil && d.lost(err):
		case err != nil:
			return nil, err
		case !known:
			d.strangers.Add(1)
		default:
			d.view.Borrow(d.buf, 0, n)
			return &d.view, nil
		}
	}
}

// read receives a datagram and reports whether it is from the peer.
func (d *datagrams) read() (n int, known bool, err error) {
	switch {
	case d.conn != nil:
		n, err = d.conn.Read(d.buf)
		return n, true, err
	case d.udp != nil:
		n, from, err := d.udp.ReadFromUDPAddrPort(d.buf)
		return n, plain(from) == d.to, err
	case d.peer == nil:
		return 0, false, errNoPeer
	}
	n, from, err := d.pc.ReadFrom(d.buf)
	return n, from != nil && from.String() == d.name, err
}

// plain returns an address of IPv4 as one, also when a socket for both versions writes it as IPv6.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func (d *datagrams) Limits() frame.Limits              { return frame.Limits{Max: d.mtu} }
func (d *datagrams) SetReadDeadline(t time.Time) error { return d.pc.SetReadDeadline(t) }
func (d *datagrams) LocalAddr() net.Addr               { return d.pc.LocalAddr() }
func (d *datagrams) RemoteAddr() net.Addr              { return d.peer }
func (d *datagrams) Close() error                      { return d.pc.Close() }

func (d *datagrams) onRefusal(f func()) { d.refused = f }
func (d *datagrams) ignored() uint64    { return d.strangers.Load() }
