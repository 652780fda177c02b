// Turn has DTLS go through a TURN server: over UDP or TCP to the server, in ChannelData, which is a codec, and from
// there on to peers that know nothing of TURN. pion/turn asks the server for an address and keeps it; control.go lets
// it share the connection.
//
//	$ go run ./examples/turn                                        # all of it here
//	$ turn client -turn turn.example:3478 -user alice -password-file secret -peer 192.0.2.7:5684 -ca ca.crt
//	$ turn server -turn turn.example:3478 -proto tcp -peer 192.0.2.9:40000,192.0.2.9:40001 -cert server.crt \
//	      -key server.key
//
// A client reaches a DTLS server by way of the relay. A server is itself behind the relay: it prints the address where
// its peers, which have to be known, reach it, and answers each message with the same.
//
// relay.go, control.go and channel.go are for taking along: a [Channel] is a wrap.Carrier. A server whose peers nobody
// knows before they come does without: datagram.NewListener takes the net.PacketConn that pion/turn allocates, which
// does the framing then (TestListenerBehindCoturn).
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
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "turn:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return demo(ctx, stdout)
	}
	e, err := parse(args)
	if err != nil {
		return err
	}
	e.stdout = &lines{w: stdout}
	relay, err := Dial(ctx, e.proto, e.server, e.user)
	if err != nil {
		return err
	}
	defer relay.Close()
	if args[0] == "server" {
		return e.serve(ctx, relay)
	}
	return e.ask(ctx, relay)
}

// An end is one end of DTLS, which reaches its peers by way of a Relay.
type end struct {
	proto, server string
	user          Credentials
	peers         []*net.UDPAddr
	say           string
	tls           *tls.Config
	stdout        *lines
}

// flags are what the command line says.
type flags struct {
	peers, passwordFile       string
	ca, cert, key, serverName string
}

func parse(args []string) (*end, error) {
	var e end
	var v flags
	if args[0] != "client" && args[0] != "server" {
		return nil, fmt.Errorf("unknown command %q (have client, server)", args[0])
	}
	f := flag.NewFlagSet("turn "+args[0], flag.ContinueOnError)
	f.StringVar(&e.server, "turn", "127.0.0.1:3478", "`address` of the TURN server")
	f.StringVar(&e.proto, "proto", "udp", "how to speak to it: udp or tcp")
	f.StringVar(&e.user.Username, "user", "", "whom it knows; nobody if it lets in everybody")
	f.StringVar(&v.passwordFile, "password-file", "", "`file` with the password")
	f.StringVar(&v.peers, "peer", "", "`address` behind the relay; a server takes several, with commas")
	f.StringVar(&v.ca, "ca", "", "`file` with the authority that the other end's certificate is from")
	f.StringVar(&v.cert, "cert", "", "`file` with a certificate")
	f.StringVar(&v.key, "key", "", "`file` with its key")
	f.StringVar(&v.serverName, "server-name", "", "whom the server's certificate is for (default: the peer's host)")
	f.StringVar(&e.say, "say", "hello", "what a client says")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if e.proto != "udp" && e.proto != "tcp" {
		return nil, fmt.Errorf("unknown protocol %q (have udp, tcp)", e.proto)
	}
	return &e, e.load(&v)
}

// load reads the files and looks up the peers.
func (e *end) load(v *flags) error {
	for _, address := range strings.Split(v.peers, ",") {
		peer, err := net.ResolveUDPAddr("udp4", address)
		if err != nil || address == "" {
			return fmt.Errorf("-peer %q: want HOST:PORT (%v)", address, err)
		}
		e.peers = append(e.peers, peer)
	}
	if v.passwordFile != "" {
		password, err := os.ReadFile(v.passwordFile)
		if err != nil {
			return fmt.Errorf("-password-file: %w", err)
		}
		e.user.Password = strings.TrimSpace(string(password))
	}
	if v.serverName == "" {
		v.serverName, _, _ = net.SplitHostPort(strings.Split(v.peers, ",")[0])
	}
	return e.loadTLS(v)
}

// loadTLS returns what TLS has to know. A server that has an authority wants certificates from clients.
func (e *end) loadTLS(v *flags) error {
	e.tls = &tls.Config{ServerName: v.serverName}
	if v.ca != "" {
		pem, err := os.ReadFile(v.ca)
		if err != nil {
			return fmt.Errorf("-ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return fmt.Errorf("-ca: no certificate in %s", v.ca)
		}
		e.tls.RootCAs, e.tls.ClientCAs, e.tls.ClientAuth = pool, pool, tls.RequireAndVerifyClientCert
	}
	if v.cert == "" && v.key == "" {
		return nil
	}
	own, err := tls.LoadX509KeyPair(v.cert, v.key)
	if err != nil {
		return fmt.Errorf("-cert, -key: %w", err)
	}
	e.tls.Certificates = []tls.Certificate{own}
	return nil
}
