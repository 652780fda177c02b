package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/encase-tls/encase/wrap"
)

// maxShaking bounds the handshakes under way at once.
const maxShaking = 256

// A listener hands over connections whose handshakes are done, for HTTP/1.1 and HTTP/2. net/http asks a connection for
// its ConnectionState as soon as it has it; that of one whose handshake is still to come is empty.
type listener struct {
	net.Listener // of package wrap
	ready        chan net.Conn
	ended        chan struct{}
	err          error // of Accept, after ended
}

func newListener(inner net.Listener) net.Listener {
	l := &listener{Listener: inner, ready: make(chan net.Conn), ended: make(chan struct{})}
	go l.acceptAll()
	return l
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case <-l.ended:
		return nil, l.err
	}
}

func (l *listener) acceptAll() {
	defer close(l.ended)
	shaking := make(chan struct{}, maxShaking)
	for {
		shaking <- struct{}{}
		conn, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			l.err = err
			return
		}
		if err != nil {
			<-shaking
			time.Sleep(50 * time.Millisecond) // such as "too many open files": it passes
			continue
		}
		go func() {
			l.shake(conn.(*wrap.Conn)) // at most for Config.HandshakeTimeout
			<-shaking
		}()
	}
}

// shake shakes hands and hands the connection over. Who is refused was sent an alert, and is no concern of net/http.
func (l *listener) shake(conn *wrap.Conn) {
	if err := conn.Handshake(); err != nil {
		conn.Close()
		return
	}
	var ready net.Conn = conn
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		ready = h2Conn{conn, conn}
	}
	select {
	case l.ready <- ready:
	case <-l.ended:
		conn.Close()
	}
}

// An h2Conn is a connection for HTTP/2. It has no method ConnectionState: net/http would take it for one that speaks
// HTTP/1.1 alone.
type h2Conn struct {
	net.Conn
	tls *wrap.Conn
}

// newServer returns a server for the connections of a listener.
func newServer(handler http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           withTLS(handler),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		Protocols:         new(http.Protocols),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}

type connKey struct{}

// withTLS sets Request.TLS, which net/http knows with HTTP/1.1 only.
func withTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(h2Conn); ok {
			state := c.tls.ConnectionState()
			r = r.WithContext(r.Context()) // a copy
			r.TLS = &state
		}
		next.ServeHTTP(w, r)
	})
}
