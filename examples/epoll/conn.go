//go:build linux

package main

import (
	"bytes"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/bio"
)

const (
	handshakeTime = 10 * time.Second // for the whole handshake
	idleTime      = 60 * time.Second // and then between two signs of life
	lingerTime    = 2 * time.Second  // for the peer's FIN after ours
)

// A conn is the glue between a non-blocking socket and a TLS session over two memory BIOs:
//
//	read  ──▶ fromPeer ──▶ session ──▶ app
//	write ◀── unsent ◀── toPeer ◀── session ◀── app
//
// Its life: the app talks; when it is done, or the connection has failed, over is set; what is left is sent, the alert
// of a failure too; then our FIN; then the peer's is awaited, a little while. To close at once would lose the alert: a
// socket that is closed with unread input answers with a reset, which overtakes what was sent.
type conn struct {
	fd       int
	number   int
	watched  uint32 // what epoll watches for
	deadline time.Time

	session  *bio.Session
	fromPeer *bio.Memory // SSL_set_bio's rbio; bounded, unlike BIO_s_mem: a full one is a reason not to read the socket
	toPeer   *bio.Memory // its wbio
	unsent   []byte      // from toPeer, and refused by the socket; empty if the socket has taken all that there is
	app      app

	over bool  // the app is not called any more
	err  error // why, unless it was done
	fin  bool  // ours was sent
	eof  bool  // the peer's has come
}

func newConn(fd, number int, engine bio.Engine, a app) *conn {
	c := &conn{fd: fd, number: number, app: a, deadline: time.Now().Add(handshakeTime)}
	c.fromPeer, c.toPeer = bio.NewMemory(0), bio.NewMemory(0) // BIO_new(BIO_s_mem()), twice
	c.session = bio.NewSession(engine, c.fromPeer, c.toPeer)  // SSL_set_bio
	return c
}

// touch moves the deadline on after a sign of life: not during the handshake, which has to end at some time, and not
// when only the peer's FIN is awaited.
func (c *conn) touch() {
	if !c.fin && (c.over || c.session.Engine().State().Phase == bio.PhaseOpen) {
		c.deadline = time.Now().Add(idleTime)
	}
}

// interest returns what to wait for. It follows from what there is room for and what is left to send, not from whether
// the last call wanted to read or to write: "want read" often comes with output that has to leave first.
func (c *conn) interest() (events uint32) {
	if !c.eof && (c.over || c.fromPeer.Room() > 0) {
		events |= unix.EPOLLIN
	}
	if len(c.unsent) > 0 {
		events |= unix.EPOLLOUT
	}
	return events
}

// ready handles an event: it moves bytes as far as they go. buf is scratch. An error is one of the socket: nothing can
// be sent or received any more. done says that both sides have closed.
func (c *conn) ready(buf []byte) (done bool, err error) {
	if err := c.receive(buf); err != nil {
		return false, err
	}
	for !c.over {
		err := c.app.step(c.session)
		if err != bio.ErrWantRead && err != bio.ErrWantWrite {
			c.over, c.err = true, err
			break
		}
		if sent, err := c.send(buf); err != nil || sent == 0 {
			return false, err // the rest is for the next event; when something left, the app may have room again
		}
	}
	if _, err := c.send(buf); err != nil {
		return false, err
	}
	if len(c.unsent) == 0 && !c.fin {
		c.fin, c.deadline = true, time.Now().Add(lingerTime)
		if err := unix.Shutdown(c.fd, unix.SHUT_WR); err != nil {
			return false, err
		}
	}
	return c.fin && c.eof, nil
}

// receive reads the socket once: if there is more, epoll says so again, and the other connections have their turn.
func (c *conn) receive(buf []byte) error {
	if c.eof {
		return nil
	}
	if !c.over {
		buf = buf[:min(len(buf), c.fromPeer.Room())]
	}
	if len(buf) == 0 {
		return nil // or read would return 0, as at the end
	}
	n, err := unix.Read(c.fd, buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		c.eof = true
		return c.fromPeer.CloseWrite() // BIO_set_mem_eof_return: empty now means "end", and the session judges it
	case c.over:
		return nil // nobody listens any more
	}
	_, err = c.fromPeer.Write(buf[:n]) // BIO_write; there is room
	return err
}

// send writes what the session has to say, until nothing is left or the socket takes no more.
func (c *conn) send(buf []byte) (sent int, err error) {
	for {
		if len(c.unsent) == 0 {
			if err := c.session.Flush(); err != nil && err != bio.ErrWantWrite {
				return sent, err
			}
			n, err := c.toPeer.Read(buf) // BIO_read
			if err == bio.ErrWantRead {
				return sent, nil // nothing left
			} else if err != nil {
				return sent, err
			}
			c.unsent = buf[:n]
		}
		n, err := unix.Write(c.fd, c.unsent)
		if n > 0 {
			sent += n
			c.unsent = c.unsent[n:]
		}
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			c.unsent = bytes.Clone(c.unsent) // buf is everybody's
			return sent, nil
		default:
			return sent, err
		}
	}
}
