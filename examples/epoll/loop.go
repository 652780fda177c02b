//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/bio"
)

const (
	maxConns = 1000
	tick     = 100 * time.Millisecond
)

// A loop serves sockets with one epoll, level-triggered, on one goroutine.
type loop struct {
	epoll    int
	listener int    // -1: none
	accepts  bool   // epoll watches it
	crowded  bool   // the system has no more descriptors, until the next tick
	buf      []byte // scratch
	conns    map[int]*conn
	number   int
	accepted func() (bio.Engine, app, error) // makes what serves a connection
	ended    func(c *conn, err error)        // err: nil if both sides have closed in order
}

func newLoop(ended func(*conn, error)) (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &loop{
		epoll:    fd,
		listener: -1,
		buf:      make([]byte, bio.DefaultMemory),
		conns:    map[int]*conn{},
		ended:    ended,
	}, nil
}

func (l *loop) close() {
	for _, c := range l.conns {
		l.drop(c, context.Canceled)
	}
	if l.listener >= 0 {
		unix.Close(l.listener)
	}
	unix.Close(l.epoll)
}

// run serves until ctx ends or, without a listener, until the last connection has.
func (l *loop) run(ctx context.Context) error {
	events := make([]unix.EpollEvent, 128)
	for next := time.Now(); ctx.Err() == nil && (l.listener >= 0 || len(l.conns) > 0); {
		if err := l.watchListener(); err != nil {
			return err
		}
		n, err := unix.EpollWait(l.epoll, events, int(tick.Milliseconds()))
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll: wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			l.handle(int(e.Fd))
		}
		if now := time.Now(); now.After(next) {
			next = now.Add(tick)
			l.expire(now)
		}
	}
	return nil
}

// handle handles what has happened to fd. If another connection got the number of one that was closed a moment ago, it
// may be called for nothing: nothing waits, so nothing is lost.
func (l *loop) handle(fd int) {
	if fd == l.listener {
		l.acceptAll()
	} else if c := l.conns[fd]; c != nil {
		l.serve(c)
	}
}

func (l *loop) serve(c *conn) {
	done, err := c.ready(l.buf)
	if done || err != nil {
		l.drop(c, err)
		return
	}
	c.touch()
	if events := c.interest(); events != c.watched {
		c.watched = events
		if err := l.control(unix.EPOLL_CTL_MOD, c.fd, events); err != nil {
			l.drop(c, err)
		}
	}
}

// drop ends a connection. err is what its socket has to say: that counts less than why TLS has failed, and nothing once
// all was said and sent.
func (l *loop) drop(c *conn, err error) {
	delete(l.conns, c.fd)
	unix.Close(c.fd)              // epoll forgets it with that
	c.session.Engine().Abort(nil) // SSL_free; a handshake that is under way has a goroutine, which ends
	if c.err != nil || c.fin {
		err = c.err
	}
	l.ended(c, err)
}

func (l *loop) expire(now time.Time) {
	l.crowded = false
	for _, c := range l.conns {
		if now.After(c.deadline) {
			l.drop(c, unix.ETIMEDOUT)
		}
	}
}

func (l *loop) add(fd int, engine bio.Engine, a app) error {
	l.number++
	c := newConn(fd, l.number, engine, a)
	c.watched = unix.EPOLLIN | unix.EPOLLOUT // connected, or failed: the first read or write tells
	if err := l.control(unix.EPOLL_CTL_ADD, fd, c.watched); err != nil {
		unix.Close(fd)
		return err
	}
	l.conns[fd] = c
	return nil
}

func (l *loop) control(op, fd int, events uint32) error {
	return unix.EpollCtl(l.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

const socketType = unix.SOCK_STREAM | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC

// connect begins a connection; the loop finishes it.
func (l *loop) connect(address string, engine bio.Engine, a app) error {
	addr, err := parse(address)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, socketType, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, addr); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	return l.add(fd, engine, a)
}

// listen makes the loop accept connections, and returns the address with the port that it got.
func (l *loop) listen(address string, accepted func() (bio.Engine, app, error)) (netip.AddrPort, error) {
	l.accepted = accepted
	addr, err := parse(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if l.listener, err = unix.Socket(unix.AF_INET, socketType, 0); err != nil {
		return netip.AddrPort{}, fmt.Errorf("socket: %w", err)
	}
	if err := unix.SetsockoptInt(l.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return netip.AddrPort{}, fmt.Errorf("SO_REUSEADDR: %w", err)
	}
	if err := unix.Bind(l.listener, addr); err != nil {
		return netip.AddrPort{}, fmt.Errorf("bind to %s: %w", address, err)
	}
	if err := unix.Listen(l.listener, unix.SOMAXCONN); err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen: %w", err)
	}
	bound, err := unix.Getsockname(l.listener)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	b := bound.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(b.Addr), uint16(b.Port)), nil
}

// watchListener watches the listener as long as there is room for another connection. A level-triggered epoll would not
// let the loop rest over one that nobody accepts.
func (l *loop) watchListener() error {
	want := l.listener >= 0 && len(l.conns) < maxConns && !l.crowded
	if want == l.accepts {
		return nil
	}
	l.accepts = want
	if want {
		return l.control(unix.EPOLL_CTL_ADD, l.listener, unix.EPOLLIN)
	}
	return l.control(unix.EPOLL_CTL_DEL, l.listener, 0)
}

func (l *loop) acceptAll() {
	for len(l.conns) < maxConns {
		fd, _, err := unix.Accept4(l.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EINTR, unix.ECONNABORTED:
			continue
		case unix.EAGAIN:
			return
		default: // no more descriptors, or no memory: what is there is served
			l.crowded = true
			return
		}
		engine, a, err := l.accepted()
		if err == nil {
			err = l.add(fd, engine, a)
		} else {
			unix.Close(fd)
		}
		if err != nil {
			l.crowded = true
			return
		}
	}
}

// parse returns an IPv4 address and port.
func parse(address string) (*unix.SockaddrInet4, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().Is4() {
		return nil, fmt.Errorf("bad address %q: want IPv4 and port, as in 127.0.0.1:4433", address)
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
}
