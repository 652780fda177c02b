package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

const (
	host     = "demo.encase.example"
	protocol = "http/1.1"
)

// A world is what all connections of the demonstration share.
type world struct {
	codec          frame.Maker
	client, server *tls.Config
}

// newWorld makes an authority and a server's certificate in memory.
func newWorld(codec frame.Maker) (*world, error) {
	ca, err := ephemeral.New("encase demo authority")
	if err != nil {
		return nil, err
	}
	cert, err := ca.Issue(host)
	if err != nil {
		return nil, err
	}
	return &world{
		codec:  codec,
		client: &tls.Config{RootCAs: ca.Pool(), ServerName: host, NextProtos: []string{protocol}},
		server: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protocol}},
	}, nil
}

func (w *world) wrapped(c *tls.Config) *wrap.Config { return &wrap.Config{TLS: c, Codec: w.codec} }

// A link is both ends of an established connection.
type link struct{ client, server net.Conn }

// link connects both ends with TLS in the codec over TCP.
func (w *world) link(ctx context.Context) (*link, error) {
	return connect(ctx,
		func(c net.Conn) shaker { return wrap.Client(wrap.Stream(c), w.wrapped(w.client)) },
		func(c net.Conn) shaker { return wrap.Server(wrap.Stream(c), w.wrapped(w.server)) })
}

// plainLink connects both ends with crypto/tls over TCP.
func (w *world) plainLink(ctx context.Context) (*link, error) {
	return connect(ctx,
		func(c net.Conn) shaker { return tls.Client(c, w.client) },
		func(c net.Conn) shaker { return tls.Server(c, w.server) })
}

// A shaker is a connection of crypto/tls or of wrap.
type shaker interface {
	net.Conn
	HandshakeContext(context.Context) error
}

func connect(ctx context.Context, client, server func(net.Conn) shaker) (*link, error) {
	inner, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	defer inner.Close()
	a, err := new(net.Dialer).DialContext(ctx, "tcp", inner.Addr().String())
	if err != nil {
		return nil, err
	}
	b, err := inner.Accept()
	if err != nil {
		a.Close()
		return nil, err
	}
	c, s := client(a), server(b)
	l := &link{c, s}
	served := make(chan error, 1)
	go func() { served <- s.HandshakeContext(ctx) }()
	err = c.HandshakeContext(ctx)
	if err != nil {
		l.close()
	}
	if err = errors.Join(err, <-served); err != nil {
		l.close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return l, nil
}

func listen(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
}

// close ends both ends at once.
func (l *link) close() {
	done := make(chan struct{})
	go func() {
		l.server.Close()
		close(done)
	}()
	l.client.Close()
	<-done
}

// until closes the link when ctx ends. stop must be called.
func (l *link) until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, l.close)
}
