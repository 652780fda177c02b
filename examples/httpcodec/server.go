package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/encase-tls/encase/wrap"
)

// A listener hands over connections for HTTP/1.1 and HTTP/2 whose handshakes are done: net/http asks a connection for its
// ConnectionState as soon as it has it.
type listener struct{ net.Listener }

func newListener(inner net.Listener) net.Listener {
	return listener{wrap.Handshaken(inner, 0, nil)}
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if shaken := conn.(*wrap.Conn); shaken.ConnectionState().NegotiatedProtocol == "h2" {
		return h2Conn{conn, shaken}, nil
	}
	return conn, nil
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
