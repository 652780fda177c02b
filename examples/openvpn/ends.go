package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/encase-tls/encase/wrap"
)

// patience is how long a client takes for all of it.
const patience = 30 * time.Second

// connect is the client. It prints what the server pushes.
func (e *end) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, e.proto, e.addr)
	if err != nil {
		return err
	}
	carrier := wrap.Stream(raw)
	if udp, ok := raw.(net.PacketConn); ok {
		carrier = wrap.Datagram(udp, nil, 0)
	}
	c := wrap.Client(carrier, e.config)
	defer c.Close()
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	pushed, err := negotiate(ctx, c, e.proto)
	if ctx.Err() != nil {
		return fmt.Errorf("the server does not answer: %w", context.Cause(ctx))
	}
	for _, option := range pushed {
		fmt.Fprintln(e.stdout, option)
	}
	return err
}

// serve is the server, until ctx ends. Over TCP it has any number of clients, over UDP one after the other.
func (e *end) serve(ctx context.Context) error {
	e.config.Side = e.dataPacket
	if e.proto == "udp" {
		pc, err := net.ListenPacket("udp", e.addr)
		if err != nil {
			return err
		}
		return e.serveUDP(ctx, pc)
	}
	listener, err := wrap.Listen("tcp", e.addr, e.config)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		c, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		clients.Go(func() { e.attend(ctx, c.(*wrap.Conn)) })
	}
}

// serveUDP has one client after the other: each takes the socket over, and a new one is made for the next.
func (e *end) serveUDP(ctx context.Context, pc net.PacketConn) error {
	address := pc.LocalAddr().String()
	for {
		err := e.serveNext(ctx, pc)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			pc, err = net.ListenPacket("udp", address)
		}
		if err != nil {
			return err
		}
	}
}

// serveNext takes the sender of the first datagram for a client, and closes pc when it is gone.
func (e *end) serveNext(ctx context.Context, pc net.PacketConn) error {
	defer pc.Close()
	stop := context.AfterFunc(ctx, func() { pc.Close() })
	defer stop()
	first, err := firstOf(pc)
	if err == nil {
		e.attend(ctx, wrap.Server(wrap.Datagram(first, first.peer, 0), e.config))
	}
	return err
}

// attend has one client and says how that went.
func (e *end) attend(ctx context.Context, c *wrap.Conn) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	err := attend(c, e.proto, func(m *keyMessage) {
		fmt.Fprintf(e.stdout, "%v: %q\n", c.RemoteAddr(), m.info)
	})
	if err != nil && err != io.EOF && ctx.Err() == nil {
		fmt.Fprintf(e.stdout, "%v: %v\n", c.RemoteAddr(), err)
	}
}

// dataPacket takes a packet of the data channel. It shows that the client is there.
func (e *end) dataPacket(c *wrap.Conn, p []byte) {
	fmt.Fprintf(e.stdout, "%v: a packet of the data channel, %d bytes\n", c.RemoteAddr(), len(p))
	c.SetReadDeadline(time.Now().Add(idle))
}

// again is a socket whose first datagram is there to be read once more.
type again struct {
	net.PacketConn
	first []byte
	peer  net.Addr
}

// firstOf waits for a datagram.
func firstOf(pc net.PacketConn) (*again, error) {
	p := make([]byte, 2048)
	n, peer, err := pc.ReadFrom(p)
	return &again{pc, p[:n], peer}, err
}

// ReadFrom implements net.PacketConn.
func (a *again) ReadFrom(p []byte) (int, net.Addr, error) {
	if a.first == nil {
		return a.PacketConn.ReadFrom(p)
	}
	n := copy(p, a.first)
	a.first = nil
	return n, a.peer, nil
}
