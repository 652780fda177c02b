package forward

import (
	"context"
	"errors"
	"net"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

// run reaches the server, receives from it, and ends the exchange when that has ended.
func (x *exchange) run() {
	receive, err := x.reach()
	if err != nil {
		x.fail(err)
		return
	}
	x.log.Debug("connected", "peer", peerText(x.peer), "target", x.target.String())
	go func() { x.end(server, receive()) }() // with a new stack: dialing has made this one large
}

// reach connects to the first address that answers. receive returns when nothing more comes.
func (x *exchange) reach() (receive func() error, err error) {
	var all error
	for _, a := range x.connect.addresses {
		x.mu.Lock()
		x.target = a
		x.mu.Unlock()
		var back outlet
		var conn *datagram.Conn
		if back, conn, receive, err = x.dial(a); err == nil {
			return receive, x.enter(back, conn)
		}
		if x.ctx.Err() != nil {
			return nil, errOver
		}
		all = errors.Join(all, err)
	}
	return nil, all
}

// enter lets datagrams go to the server.
func (x *exchange) enter(back outlet, conn *datagram.Conn) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		go back.close()
		return errOver
	}
	x.back, x.conns[server] = back, conn
	x.ways[client].open(back)
	return nil
}

func (x *exchange) dial(a address) (outlet, *datagram.Conn, func() error, error) {
	if x.connect.dtls == nil {
		return x.dialPlain(a)
	}
	conn, err := x.dialDTLS(a)
	if err != nil {
		return nil, nil, nil, err
	}
	return dtlsOutlet{conn}, conn, func() error { return untilEnd(conn) }, nil
}

// dialPlain connects a socket to a server of plain UDP. Nothing is sent.
func (x *exchange) dialPlain(a address) (outlet, *datagram.Conn, func() error, error) {
	c, err := (&net.Dialer{Timeout: x.limits.connect}).DialContext(x.ctx, a.network, a.target)
	if err != nil {
		return nil, nil, nil, &stageError{"connect", "is the address right?", err}
	}
	c.(*net.UDPConn).SetReadBuffer(dialBuffer)
	in, err := newPlainInlet(c.(*net.UDPConn))
	if err != nil {
		return nil, nil, nil, err
	}
	receive := func() error {
		in.receive(func(data []byte, segment int) { x.take(server, data, segment) })
		return nil
	}
	return &plainOutlet{sock: in.sock, own: true}, nil, receive, nil
}

// dialDTLS connects to a server and shakes hands.
func (x *exchange) dialDTLS(a address) (conn *datagram.Conn, err error) {
	side := x.connect
	cfg := side.dtls.config(frame.Client, x.limits.handshake)
	cfg.Socket.ReadBuffer = dialBuffer
	cfg.Handler = func(_ *datagram.Conn, message []byte) { x.take(server, message, 0) }
	if a.isUDP() {
		conn, err = datagram.Dial(x.ctx, a.network, a.target, cfg)
	} else {
		conn, err = x.dialStream(a, cfg)
	}
	if err != nil {
		return nil, &stageError{"handshake with the server", side.fault.inHandshake(err), err}
	}
	return conn, nil
}

// dialStream connects to a server of DTLS over a stream.
func (x *exchange) dialStream(a address, cfg *datagram.Config) (*datagram.Conn, error) {
	c, err := (&net.Dialer{Timeout: x.limits.connect}).DialContext(x.ctx, a.network, a.target)
	if err != nil {
		return nil, err
	}
	conn, err := datagram.Client(wrap.Stream(c), cfg)
	if err != nil {
		c.Close()
		return nil, err
	}
	if err := conn.HandshakeContext(x.ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// untilEnd waits until a connection ends whose messages go to a Handler, and returns why.
func untilEnd(conn *datagram.Conn) error {
	for {
		if _, err := conn.Read(nil); err != nil {
			return err
		}
	}
}

// serveDatagrams forwards the datagrams of DTLS over an accepted stream, which it takes over, and logs its end. ctx
// ends it at once; its cause says why.
func (rt *route) serveDatagrams(ctx context.Context, accepted net.Conn) {
	x := newExchange(rt, accepted.RemoteAddr(), nil)
	stop := context.AfterFunc(ctx, func() { x.end(self, context.Cause(ctx)) })
	defer stop()
	cfg := rt.accept.dtls.config(frame.Server, rt.limits.handshake)
	cfg.Handler = func(_ *datagram.Conn, message []byte) { x.take(client, message, 0) }
	conn, err := datagram.Server(wrap.Stream(accepted), cfg)
	if err != nil {
		accepted.Close()
	} else if err = conn.HandshakeContext(x.ctx); err != nil {
		conn.Close()
	}
	if err != nil {
		x.fail(&stageError{"handshake with the client", rt.accept.fault.inHandshake(err), err})
		return
	}
	x.log.Debug("accepted", "peer", peerText(x.peer))
	x.start(dtlsOutlet{conn}, conn)
	x.end(client, untilEnd(conn))
	<-x.done
}
