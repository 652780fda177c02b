package eapol_test

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/codecs/eapol"
)

// A port is a packet socket for EAPOL on one interface. It sends to whoever has spoken last, and to the group before
// that; to its user both are one peer.
type port struct {
	file  *os.File
	raw   syscall.RawConn
	index int

	mu sync.Mutex
	to [8]byte
}

// openPort opens an interface. The caller is in its network namespace.
func openPort(name string) (*port, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	proto := uint16(eapol.EtherType>>8 | eapol.EtherType&0xff<<8)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		return nil, err
	}
	p := &port{file: os.NewFile(uintptr(fd), "eapol:"+name), index: ifi.Index}
	copy(p.to[:], eapol.Group[:])
	group := &unix.PacketMreq{Ifindex: int32(ifi.Index), Type: unix.PACKET_MR_MULTICAST, Alen: 6, Address: p.to}
	err = errors.Join(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: ifi.Index}),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, group))
	if err == nil {
		p.raw, err = p.file.SyscallConn()
	}
	if err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

func (p *port) ReadFrom(b []byte) (n int, from net.Addr, err error) {
	readErr := p.raw.Read(func(fd uintptr) bool {
		var sa unix.Sockaddr
		n, sa, err = unix.Recvfrom(int(fd), b, 0)
		if ll, ok := sa.(*unix.SockaddrLinklayer); ok && err == nil && ll.Pkttype != unix.PACKET_OUTGOING {
			p.mu.Lock()
			p.to = ll.Addr
			p.mu.Unlock()
		}
		return err != unix.EAGAIN
	})
	return n, station{}, errors.Join(readErr, err)
}

func (p *port) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	to := p.to
	p.mu.Unlock()
	var err error
	writeErr := p.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), b, 0, &unix.SockaddrLinklayer{
			Protocol: eapol.EtherType>>8 | eapol.EtherType&0xff<<8, Ifindex: p.index, Halen: 6, Addr: to})
		return err != unix.EAGAIN
	})
	return len(b), errors.Join(writeErr, err)
}

func (p *port) Close() error                       { return p.file.Close() }
func (p *port) LocalAddr() net.Addr                { return station{} }
func (p *port) SetDeadline(t time.Time) error      { return p.file.SetDeadline(t) }
func (p *port) SetReadDeadline(t time.Time) error  { return p.file.SetReadDeadline(t) }
func (p *port) SetWriteDeadline(t time.Time) error { return p.file.SetWriteDeadline(t) }

// station is whoever is at the other end of the wire.
type station struct{}

func (station) Network() string { return "eapol" }
func (station) String() string  { return "the other station" }
