package wrap_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap"
)

// TestHandshaken: silent clients and refused ones do not keep others waiting, and what is handed over has shaken hands.
func TestHandshaken(t *testing.T) {
	t.Parallel() // it waits for a timeout
	client, server := configs(t)
	refused := make(chan error, 1)
	cfg := &wrap.Config{TLS: server, HandshakeTimeout: 2 * time.Second}
	inner, err := wrap.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := wrap.Handshaken(inner, 2, func(c *wrap.Conn, err error) { refused <- err })
	defer l.Close()
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dialed := make(chan error, 1)
	go func() {
		dialer := &wrap.Dialer{Config: &wrap.Config{TLS: client}}
		c, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
		if err == nil {
			defer c.Close()
		}
		dialed <- err
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !c.(*wrap.Conn).ConnectionState().HandshakeComplete {
		t.Error("a connection without a handshake was handed over")
	}
	if err := <-dialed; err != nil {
		t.Error(err)
	}
	if err := <-refused; err == nil {
		t.Error("the silent client was not refused")
	}
}

func TestHandshakenCloses(t *testing.T) {
	_, server := configs(t)
	inner, err := wrap.Listen("tcp", "127.0.0.1:0", &wrap.Config{TLS: server})
	if err != nil {
		t.Fatal(err)
	}
	l := wrap.Handshaken(inner, 0, nil)
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v, want net.ErrClosed", err)
	}
}
