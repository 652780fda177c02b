package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	_ "github.com/encase-tls/encase/bio/dtls" // wolfDTLSv1_2_server_method, DTLS_method
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap/datagram"
)

// serveDTLS says back what it hears, to one client after the other, until ctx ends. It leaves the certificate to trust
// in dir.
//
// That it first makes sure that a client is where it says to be (DTLSv1_listen, with a cookie), repeats its part of the
// handshake (DTLSv1_handle_timeout, wolfSSL_dtls_got_timeout) and keeps clients apart who share the socket
// (wolfSSL_dtls_set_peer, and in C a second socket, bound and connected to the client) is what a Listener does.
func serveDTLS(ctx context.Context, address, dir string, stdout io.Writer) error {
	cert, err := newCertificate(dir)
	if err != nil {
		return err
	}
	listener, err := datagram.Listen("udp", address, &datagram.Config{
		TLS:         &tls.Config{Certificates: []tls.Certificate{cert}}, // SSL_CTX_use_certificate
		IdleTimeout: 30 * time.Second,                                   // a client may vanish without a word
	}, datagram.ListenOptions{})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	defer listener.Close() // tells each client, with close_notify
	fmt.Fprintln(stdout, "listening on", listener.Addr())
	for {
		conn, err := listener.Accept() // SSL_accept: the handshake is done
		if err != nil {
			return nil // net.ErrClosed
		}
		if err := echo(conn); err != nil {
			fmt.Fprintln(stdout, conn.RemoteAddr(), err)
		}
	}
}

// newCertificate returns one for server.example, and writes the one that issued it into dir.
func newCertificate(dir string) (tls.Certificate, error) {
	ca, err := ephemeral.New("dtlsecho CA")
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := ca.WriteFiles(dir, nil); err != nil {
		return tls.Certificate{}, err
	}
	return ca.Issue("server.example")
}

// echo says back what a client says until the client closes. Who reads too slowly loses messages, as with a socket: the
// queue behind a connection is bounded.
func echo(conn net.Conn) error {
	defer conn.Close() // SSL_shutdown
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf) // SSL_read: one message, whole
		switch {
		case err == io.EOF || errors.Is(err, net.ErrClosed): // the client has said goodbye, or this program ends
			return nil
		case err != nil:
			return err
		}
		if _, err := conn.Write(buf[:n]); err != nil { // SSL_write
			return err
		}
	}
}

// askDTLS has messages said back by the server whose certificate the folder dir vouches for.
func askDTLS(ctx context.Context, address, dir string, messages []string, stdout io.Writer) error {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool() // SSL_CTX_load_verify_locations
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("ca.crt holds no certificate")
	}
	conn, err := datagram.Dial(ctx, "udp", address, &datagram.Config{ // socket, BIO_new_dgram, SSL_connect
		TLS:              &tls.Config{RootCAs: roots, ServerName: "server.example"}, // SSL_set1_host
		HandshakeTimeout: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	defer conn.Close() // close_notify; nobody says whether it arrives
	return askAll(ctx, conn, messages, stdout)
}
