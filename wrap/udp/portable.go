package udp

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
)

// portable moves one datagram at a time over any conn.
type portable struct {
	conn  net.PacketConn
	udp   *net.UDPConn // conn, if it is one: it has calls that do not allocate
	peer  peer
	stats *counters

	reading, writing sync.Mutex
	to               netip.AddrPort // the last address that was sent to, and
	toAddr           net.Addr       // the same as conn wants it
}

func newPortable(conn net.PacketConn, stats *counters) *portable {
	m := &portable{conn: conn, peer: peerOf(conn), stats: stats}
	m.udp, _ = conn.(*net.UDPConn)
	return m
}

// A peer is who a connected socket sends to.
type peer struct {
	connected bool
	addr      netip.AddrPort // zero if the conn has no IP addresses
}

func peerOf(conn net.PacketConn) peer {
	if c, ok := conn.(net.Conn); ok && c.RemoteAddr() != nil {
		return peer{true, addrPort(c.RemoteAddr())}
	}
	return peer{}
}

// check returns why a packet to addr cannot be sent, whatever the kernel would say.
func (p *peer) check(addr netip.AddrPort) error {
	switch {
	case !addr.IsValid() && !p.connected:
		return errNoAddress
	case addr.IsValid() && p.connected && addr != p.addr:
		return errOtherPeer
	}
	return nil
}

func (m *portable) pathMTU(netip.AddrPort) (int, error) { return 0, errUnknownMTU }
func (m *portable) offloads() (gso, gro bool)           { return false, false }
func (m *portable) withheld() []*OffloadError           { return oneByOne }

var oneByOne = []*OffloadError{{"GSO", errOneByOne}, {"GRO", errOneByOne}}

const errOneByOne plainError = "here datagrams are moved one by one"

func (m *portable) read(ps []Packet, l Lender) (n int, err error) {
	m.reading.Lock()
	defer m.reading.Unlock()
	if l == nil {
		return m.readSome(ps)
	}
	l.Lend(ps)
	if n, err = m.readSome(ps); n == 0 {
		l.Return(ps)
	}
	return n, err
}

func (m *portable) readSome(ps []Packet) (int, error) {
	for p := &ps[0]; ; {
		n, from, cut, err := m.readOne(p.Data[:cap(p.Data)])
		m.stats.syscallsIn.Add(1)
		switch {
		case cut:
			m.stats.truncated.Add(1)
			continue
		case isTooBig(err), isUnreachable(err) && !m.peer.connected:
			continue // ICMP: who sends too much will be told; there are other peers
		case err != nil:
			m.stats.heard(err)
			return 0, err
		}
		*p = Packet{Addr: unmapped(from), Data: p.Data[:n]}
		m.stats.datagramsIn.Add(1)
		m.stats.bytesIn.Add(uint64(n))
		return 1, nil
	}
}

// readOne also tells whether there was too little room, where the system does.
func (m *portable) readOne(room []byte) (n int, from netip.AddrPort, cut bool, err error) {
	if m.udp != nil {
		n, _, flags, from, err := m.udp.ReadMsgUDPAddrPort(room, nil)
		return n, from, flags&msgTrunc != 0 || n > 0 && isTooBig(err), err // as Windows says it
	}
	n, addr, err := m.conn.ReadFrom(room)
	return n, addrPort(addr), false, err
}

func (m *portable) write(ps []Packet) (int, error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	for i := range ps {
		if err := m.writePacket(&ps[i]); err != nil {
			return i, err
		}
	}
	return len(ps), nil
}

// tooBig returns what is known of a datagram that was too long. A conn that is no socket may know the MTU.
func tooBig(err error, to netip.AddrPort, size int) error {
	if known, ok := errors.AsType[*TooBigError](err); ok {
		return known
	}
	return &TooBigError{Addr: to, Size: size, Err: err}
}

// writePacket sends what p holds until something is refused. It returns only what ends the conn, or the wait.
func (m *portable) writePacket(p *Packet) error {
	to := unmapped(p.Addr)
	if err := m.peer.check(to); err != nil {
		m.stats.refuse(p, to, err)
		return nil
	}
	if m.peer.connected {
		to = m.peer.addr
	}
	for datagram := range p.Datagrams() {
		err := m.writeOne(datagram, to)
		m.stats.syscallsOut.Add(1)
		switch {
		case isFinal(err):
			return err
		case isTooBig(err):
			m.stats.tooBig.Add(1)
			p.Err = tooBig(err, to, len(datagram))
			return nil
		case err != nil:
			m.stats.refuse(p, to, err)
			return nil
		}
		m.stats.datagramsOut.Add(1)
		m.stats.bytesOut.Add(uint64(len(datagram)))
	}
	return nil
}

func (m *portable) writeOne(p []byte, to netip.AddrPort) (err error) {
	switch {
	case m.peer.connected:
		c := m.conn.(net.Conn)
		_, err = c.Write(p)
		if isUnreachable(err) || isTooBig(err) { // it may be ICMP, of an earlier datagram: this one was not tried
			m.stats.heard(err)
			_, err = c.Write(p)
		}
	case m.udp != nil:
		_, err = m.udp.WriteToUDPAddrPort(p, to)
	default:
		if m.to != to {
			m.to, m.toAddr = to, net.UDPAddrFromAddrPort(to)
		}
		_, err = m.conn.WriteTo(p, m.toAddr)
	}
	return err
}

// isFinal reports whether err is not about one packet.
func isFinal(err error) bool {
	return err != nil && (errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, io.EOF))
}

// addrPort returns the IP address of a, zero if it has none.
func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case nil:
		return netip.AddrPort{}
	case interface{ AddrPort() netip.AddrPort }:
		return unmapped(a.AddrPort())
	}
	parsed, _ := netip.ParseAddrPort(a.String())
	return unmapped(parsed)
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
