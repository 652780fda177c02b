// Eap is a RADIUS server that lets in who has a certificate, with EAP-TLS, and a peer that asks to be let in.
//
//	$ go run ./examples/eap
//	server: let in "user@example.org", TLS 1.2, session 0d6c0d58...
//	peer: let in, TLS 1.2, session 0d6c0d58...
//	server: let in "user@example.org", TLS 1.3, session 0d1f2c9e...
//	peer: let in, TLS 1.3, session 0d1f2c9e...
//
// It is both ends then, with certificates of its own. With -listen it is the server for clients of RADIUS, such as
// access points, hostapd or eapol_test, and with -connect the peer of a server such as FreeRADIUS, access point and
// all:
//
//	$ eap -listen 127.0.0.1:1812 -secret-file radius.secret -ca ca.crt -cert server.crt -key server.key
//	$ eap -connect 127.0.0.1:1812 -secret-file radius.secret -ca ca.crt -cert client.crt -key client.key
//
// The peer is what a program usually is: a connection of package wrap, over UDP. The server has many sessions on one
// socket and no goroutine for any of them: session.go puts an engine and a Machine together by hand, and server.go
// gives each packet to its session.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/codecs/radius"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "eap:", err)
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct {
	listen, connect        string
	secretFile             string
	ca, cert, key          string
	identity, serverName   string
	version                string
	mtu                    int
	secret                 *radius.Secret
	tlsConfig              *tls.Config
	certificates           tls.Certificate
	authorities            *x509.CertPool
	minVersion, maxVersion uint16
	resend                 time.Duration // when a request is repeated; 0: as is usual
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	s, err := parse(args)
	switch {
	case err != nil:
		return err
	case s.listen == "" && s.connect == "":
		return demo(ctx, stdout)
	}
	if err := s.load(); err != nil {
		return err
	}
	if s.connect != "" {
		return s.ask(ctx, stdout)
	}
	conn, err := net.ListenPacket("udp", s.listen)
	if err != nil {
		return err
	}
	return s.serve(ctx, conn, stdout)
}

func parse(args []string) (*settings, error) {
	var s settings
	flags := flag.NewFlagSet("eap", flag.ContinueOnError)
	flags.StringVar(&s.listen, "listen", "", "be a server at this `address`")
	flags.StringVar(&s.connect, "connect", "", "be a peer of the server at this `address`")
	flags.StringVar(&s.secretFile, "secret-file", "", "`file` with the RADIUS secret, mode 0600")
	flags.StringVar(&s.ca, "ca", "", "`file` with the authority that the other end's certificate is from")
	flags.StringVar(&s.cert, "cert", "", "`file` with a certificate")
	flags.StringVar(&s.key, "key", "", "`file` with its key")
	flags.StringVar(&s.identity, "identity", "", "what the peer calls itself")
	flags.StringVar(&s.serverName, "server-name", "", "whom the server's certificate is for (default: the host)")
	flags.StringVar(&s.version, "tls", "", "the `version` of TLS, 1.2 or 1.3 (default: either)")
	flags.IntVar(&s.mtu, "mtu", 0, "longest EAP packet in bytes (default: 1020)")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch s.version {
	case "":
	case "1.2":
		s.minVersion, s.maxVersion = tls.VersionTLS12, tls.VersionTLS12
	case "1.3":
		s.minVersion, s.maxVersion = tls.VersionTLS13, tls.VersionTLS13
	default:
		return nil, fmt.Errorf("-tls %s: have 1.2 and 1.3", s.version)
	}
	if s.listen != "" && s.connect != "" || flags.NArg() > 0 {
		return nil, errors.New("want -listen or -connect, or nothing")
	}
	return &s, nil
}

// load reads the files.
func (s *settings) load() (err error) {
	if s.secret, err = radius.ReadSecret(s.secretFile); err != nil {
		return fmt.Errorf("-secret-file: %w", err)
	}
	if s.certificates, err = tls.LoadX509KeyPair(s.cert, s.key); err != nil {
		return fmt.Errorf("-cert, -key: %w", err)
	}
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		return fmt.Errorf("-ca: %w", err)
	}
	s.authorities = x509.NewCertPool()
	if !s.authorities.AppendCertsFromPEM(pem) {
		return fmt.Errorf("-ca: no certificate in %s", s.ca)
	}
	return nil
}

// config returns what TLS has to know. Both ends show a certificate.
func (s *settings) config() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{s.certificates},
		RootCAs:      s.authorities,
		ClientCAs:    s.authorities,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   s.minVersion,
		MaxVersion:   s.maxVersion,
	}
}

// options returns what the codec has to know.
func (s *settings) options(x *eap.Exchange) radius.Options {
	return radius.Options{Secret: s.secret, Resend: s.resend,
		EAP: eap.Options{Identity: s.identity, MTU: s.mtu, Exchange: x}}
}

// demo is both ends.
func demo(ctx context.Context, stdout io.Writer) error {
	ca, err := ephemeral.New("eap CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("localhost")
	if err != nil {
		return err
	}
	secret, err := radius.NewSecret([]byte("of this demonstration"))
	if err != nil {
		return err
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := settings{secret: secret, certificates: cert, authorities: ca.Pool(), identity: "user@example.org",
			serverName: "localhost", mtu: 400, minVersion: version, maxVersion: version}
		if err := s.both(ctx, stdout); err != nil {
			return err
		}
	}
	return nil
}

// both runs a server until a peer has been let in.
func (s *settings) both(ctx context.Context, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.connect = conn.LocalAddr().String()
	stdout = &lines{w: stdout}
	served := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	go func() { served <- s.serve(serving, conn, stdout) }()
	err = s.ask(ctx, stdout)
	stop()
	return errors.Join(err, <-served)
}

// lines lets several goroutines write.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
