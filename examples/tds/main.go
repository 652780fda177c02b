// Tds is a server and a client of MS-TDS 7.4, the protocol of SQL Server, with TLS by way of the codec tds. The server
// knows one statement, SELECT of a constant, but what is around it is the protocol: programs made for SQL Server log in
// to it and read their row.
//
//	$ go run ./examples/tds
//	everything encrypted: TLS 1.3, TLS_AES_128_GCM_SHA256
//	the login encrypted: what follows it is in clear
//
// With a certificate of one's own, in three terminals or one:
//
//	$ go run ./examples/tds server 127.0.0.1:1433 server.crt server.key freetds,login-only
//	$ go run ./examples/tds client 127.0.0.1:1433 ca.crt "" "SELECT 1"
//	$ tsql -S example -U sa -P secret
//
// where freetds.conf says
//
//	[example]
//	host = 127.0.0.1
//	port = 1433
//	tds version = 7.4
//	encryption = require
//	ca file = ca.crt
//
// With encryption = request, tsql asks for encryption of the login alone; this server grants it because it has the
// option login-only, and without it would insist on all. That is the part to read here: packet.go, where a connection
// changes from TLS to clear text behind one packet. With encryption = off the server refuses it.
//
// Clients of TDS 8.0 ("strict") begin with TLS. That needs no codec, and is not served here.
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
	"os/signal"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tds:", err)
		os.Exit(1)
	}
}

const usage = `usage:
	tds                                     both ends, with encryption of everything and of the login
	tds server LISTEN CERT KEY [OPTIONS]    until it is interrupted
	tds client TARGET CA OPTIONS SQL...     prints the rows
OPTIONS are those of the codec tds, such as freetds,login-only`

func run(ctx context.Context, args []string, stdout io.Writer) error {
	switch {
	case len(args) == 0:
		return demonstrate(ctx, stdout)
	case len(args) >= 4 && len(args) <= 5 && args[0] == "server":
		cert, err := tls.LoadX509KeyPair(args[2], args[3])
		if err != nil {
			return err
		}
		cfg, err := config(&tls.Config{Certificates: []tls.Certificate{cert}}, args[4:]...)
		if err != nil {
			return err
		}
		return listen(ctx, args[1], cfg, stdout)
	case len(args) >= 5 && args[0] == "client":
		roots, err := rootsFrom(args[2])
		if err != nil {
			return err
		}
		cfg, err := config(&tls.Config{RootCAs: roots}, args[3])
		if err != nil {
			return err
		}
		return ask(ctx, args[1], cfg, args[4:], stdout)
	}
	return errors.New(usage)
}

// config returns a configuration with the codec tds and its options, if there are any.
func config(t *tls.Config, options ...string) (*wrap.Config, error) {
	arg := ""
	if len(options) > 0 {
		arg = options[0]
	}
	codec, err := tds.Parse(arg)
	return &wrap.Config{TLS: t, Codec: codec}, err
}

func rootsFrom(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return roots, nil
}

// demonstrate runs a server that grants what it is asked for, and clients that ask for one and the other.
func demonstrate(ctx context.Context, stdout io.Writer) error {
	ca, err := ephemeral.New("tds CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("db.example")
	if err != nil {
		return err
	}
	serverConfig, err := config(&tls.Config{Certificates: []tls.Certificate{cert}}, "login-only")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	go serve(listener, serverConfig, os.Stderr)
	for _, options := range []string{"", "login-only"} {
		cfg, err := config(&tls.Config{RootCAs: ca.Pool(), ServerName: "db.example"}, options)
		if err != nil {
			return err
		}
		if err := ask(ctx, listener.Addr().String(), cfg, []string{"SELECT encryption"}, stdout); err != nil {
			return err
		}
	}
	return nil
}

// listen serves at an address, which it prints, until ctx ends.
func listen(ctx context.Context, address string, cfg *wrap.Config, stdout io.Writer) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	fmt.Fprintln(stdout, "listening at", listener.Addr())
	serve(listener, cfg, os.Stderr)
	return nil
}
