package datagram

import (
	"errors"
	"io"
	"net"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// Client returns the client's end of a connection over carrier, which it takes over: one frame of the carrier is one
// datagram. Over a carrier of bytes, such as wrap.Stream, the codec must tell its frames apart. It does not work over
// wrap.Callbacks: see the package documentation for poll loops.
//
// A goroutine receives from the beginning of the handshake until Close.
func Client(carrier wrap.Carrier, cfg *Config) (*Conn, error) {
	return over(carrier, cfg, frame.Client)
}

// Server returns the server's end of a connection over carrier; see Client.
func Server(carrier wrap.Carrier, cfg *Config) (*Conn, error) {
	return over(carrier, cfg, frame.Server)
}

func over(carrier wrap.Carrier, cfg *Config, role frame.Role) (*Conn, error) {
	if cfg == nil {
		return nil, errNoConfig
	}
	c := &Conn{cfg: cfg, role: role, addrs: carrier, owner: nobody{}}
	if err := c.codec.init(cfg, role); err != nil {
		return nil, err
	}
	d := c.codec.delimiter()
	if c.codec.stream = wrap.Delimit(carrier, d, cfg.maxFrame()); !c.codec.stream {
		c.out = &carried{carrier}
	} else {
		c.out = newLane(carrier, c)
	}
	if c.codec.stream && d == nil {
		return nil, errors.New("datagram: the codec's frames cannot be told apart in a stream (no FrameLen)")
	}
	if err := c.assemble(); err != nil {
		return nil, err
	}
	return c, nil
}

// A carried is the output over a wrap.Carrier for packets.
type carried struct{ carrier wrap.Carrier }

func (o *carried) limits() frame.Limits { return o.carrier.Limits() }
func (o *carried) full() bool           { return false }
func (o *carried) taken()               {}
func (o *carried) end(*Conn) error      { return o.carrier.Close() }
func (o *carried) start(c *Conn)        { go receive(c, o.carrier, func() bool { return true }) }

func (o *carried) send(_ *Conn, frames []*frame.Buf) error {
	sent, err := o.carrier.Send(frames)
	releaseAll(frames[sent:])
	if sent < len(frames) && err == nil {
		err = io.ErrShortWrite
	}
	return err
}

func releaseAll(frames []*frame.Buf) {
	for _, b := range frames {
		b.Release()
	}
}

// receive gives c what comes from a carrier, until that ends or room says that nobody wants more.
func receive(c *Conn, carrier wrap.Carrier, room func() bool) {
	for room() {
		b, err := carrier.Recv()
		switch {
		case c.closed.Load() || errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, frame.ErrMalformed):
			c.refuse(err)
			return
		case err != nil:
			c.carrierEnded(err)
			return
		}
		c.deliver(b.Bytes(), 0, endpoint{})
	}
}
