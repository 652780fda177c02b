//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/bio/dtls"
)

const (
	maxPeers  = 1000
	maxUnsent = 64      // datagrams
	atOnce    = 64      // datagrams that are received before timeouts are looked at
	maxUDP    = 1 << 16 // bytes of a datagram
)

// A loop is one socket, the peers behind it, and one goroutine.
type loop struct {
	fd      int
	bell    *bell
	peers   map[netip.AddrPort]*peer
	engines func() (*dtls.Engine, error) // makes what serves a stranger; nil: there are no strangers
	app     app

	in     []byte     // scratch: a datagram that was received
	list   [][]byte   // scratch: the messages in it
	out    []byte     // scratch: a datagram to send
	unsent []datagram // refused by the socket, which was full
}

type datagram struct {
	to   netip.AddrPort
	data []byte
}

func newLoop(address netip.AddrPort, a app) (*loop, error) {
	b, err := newBell()
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &loop{fd: -1, bell: b, peers: map[netip.AddrPort]*peer{}, app: a, in: make([]byte, maxUDP)}
	l.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(l.fd, sockaddr(address))
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("socket for %v: %w", address, err)
	}
	return l, nil
}

// close ends what run has left.
func (l *loop) close() {
	for _, p := range l.peers {
		l.bye(p)
	}
	l.bell.close()
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
}

// run serves until ctx ends or, if there are no strangers to wait for, until the last peer is gone.
func (l *loop) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { l.bell.ring(nil) })()
	for ctx.Err() == nil && (l.engines != nil || len(l.peers) > 0) {
		wants := []unix.PollFd{{Fd: int32(l.fd), Events: l.interest()}, {Fd: int32(l.bell.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(wants, l.patience(time.Now())); err != nil && err != unix.EINTR {
			return fmt.Errorf("poll: %w", err)
		}
		if wants[0].Revents&unix.POLLOUT != 0 {
			l.sendUnsent()
		}
		if wants[0].Revents&^unix.POLLOUT != 0 {
			l.receive()
		}
		if wants[1].Revents != 0 {
			for p := range l.bell.answer() {
				l.attend(p)
			}
		}
		l.expire(time.Now())
	}
	return nil
}

func (l *loop) interest() int16 {
	if len(l.unsent) > 0 {
		return unix.POLLIN | unix.POLLOUT
	}
	return unix.POLLIN
}

// receive takes datagrams from the socket. If there are more, poll says so again.
func (l *loop) receive() {
	for range atOnce {
		n, from, err := unix.Recvfrom(l.fd, l.in, 0)
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			continue // EINTR, or what ICMP has to say about something sent: anybody can send that
		}
		if a, ok := from.(*unix.SockaddrInet4); ok {
			l.received(netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), l.in[:n])
		}
	}
}

// received finds out whose a datagram is.
func (l *loop) received(from netip.AddrPort, data []byte) {
	p := l.peers[from]
	if p == nil && l.engines != nil && len(l.peers) < maxPeers && beginsHandshake(data) {
		engine, err := l.engines()
		if err != nil {
			return // too little memory, or randomness: later, perhaps
		}
		p = l.add(from, engine)
	}
	if p != nil {
		l.open(p, data)
	}
}

// beginsHandshake reports whether a datagram may be the first of a client: a record of epoch 0 with the beginning of a
// ClientHello. All else would only cost memory.
func beginsHandshake(p []byte) bool {
	const handshake, clientHello, headerLen = 22, 1, 13
	return len(p) > headerLen && p[0] == handshake && p[3] == 0 && p[4] == 0 && p[headerLen] == clientHello
}

// send sends a datagram, or keeps a copy of it while the socket is full. When too many wait it is lost, as a router
// would lose it.
func (l *loop) send(to netip.AddrPort, data []byte) {
	if len(l.unsent) == 0 && l.trySend(to, data) {
		return
	}
	if len(l.unsent) < maxUnsent {
		l.unsent = append(l.unsent, datagram{to, append([]byte(nil), data...)})
	}
}

// trySend reports whether the socket has done with a datagram what it can.
func (l *loop) trySend(to netip.AddrPort, data []byte) bool {
	err := unix.Sendto(l.fd, data, 0, sockaddr(to))
	return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
}

func (l *loop) sendUnsent() {
	for len(l.unsent) > 0 && l.trySend(l.unsent[0].to, l.unsent[0].data) {
		l.unsent = l.unsent[1:]
	}
}

// address returns where the socket is bound.
func (l *loop) address() (netip.AddrPort, error) {
	a, err := unix.Getsockname(l.fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	b := a.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(b.Addr), uint16(b.Port)), nil
}

func sockaddr(a netip.AddrPort) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}
