package wrap

import (
	"errors"
	"net"
	"sync"
	"time"
)

// DefaultHandshakes is how many handshakes Handshaken has under way at once.
const DefaultHandshakes = 256

// acceptRetry is how long a listener waits after an error that passes, such as "too many open files".
const acceptRetry = 50 * time.Millisecond

// Listen listens on a stream network of package net. Accept does not wait for handshakes.
func Listen(network, address string, cfg *Config) (net.Listener, error) {
	if err := checkServer(cfg); err != nil {
		return nil, err
	}
	inner, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return NewListener(inner, cfg), nil
}

// NewListener returns a Listener whose connections are *Conn, servers over those of inner.
func NewListener(inner net.Listener, cfg *Config) net.Listener { return &listener{inner, cfg} }

type listener struct {
	net.Listener
	cfg *Config
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Server(Stream(c), l.cfg), nil
}

// Handshaken returns a Listener that hands over the connections of inner, which must be *Conn, once their handshakes
// are done: for servers such as net/http, which ask for the ConnectionState before they read. At most atOnce (0:
// DefaultHandshakes) are under way or wait for Accept, each for as long as its Config allows; who fails is closed and,
// if refused is not nil, told of there. Closing the Listener closes inner and the connections that nobody has
// accepted.
func Handshaken(inner net.Listener, atOnce int, refused func(c *Conn, err error)) net.Listener {
	if atOnce <= 0 {
		atOnce = DefaultHandshakes
	}
	l := &handshaken{
		Listener: inner,
		refused:  refused,
		slots:    make(chan struct{}, atOnce),
		ready:    make(chan net.Conn),
		ended:    make(chan struct{}),
	}
	go l.acceptAll()
	return l
}

type handshaken struct {
	net.Listener
	refused func(c *Conn, err error)
	slots   chan struct{} // one for each handshake under way
	ready   chan net.Conn
	end     sync.Once
	ended   chan struct{} // closed with the Listener
}

// Accept implements net.Listener.
func (l *handshaken) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *handshaken) Close() error {
	l.end.Do(func() { close(l.ended) })
	return l.Listener.Close()
}

func (l *handshaken) acceptAll() {
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.ended:
			return
		}
		c, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			l.end.Do(func() { close(l.ended) })
			return
		case err != nil:
			<-l.slots
			select { // Close ends the wait
			case <-time.After(acceptRetry):
			case <-l.ended:
			}
		default:
			go l.shake(c.(*Conn))
		}
	}
}

func (l *handshaken) shake(c *Conn) {
	defer func() { <-l.slots }()
	if err := c.Handshake(); err != nil {
		if l.refused != nil {
			l.refused(c, err)
		}
		c.Close()
		return
	}
	select {
	case l.ready <- c:
	case <-l.ended:
		c.Close()
	}
}
