// Openvpn speaks to a real OpenVPN: as a client it connects to a server, as a server it takes a client, until the
// configuration has been pushed. TLS travels in OpenVPN's control channel, which is a codec; key method 2 and the push
// are what a program says inside of TLS, in keymethod.go and push.go. There is no tunnel: packets of the data channel
// are counted, and that is all.
//
//	$ go run ./examples/openvpn                                    # both ends here, over UDP
//	$ go run ./examples/openvpn client -addr vpn.example:1194 -ca ca.crt -cert client.crt -key client.key \
//	      -options tls-crypt=ta.key
//	$ go run ./examples/openvpn server -addr 10.0.0.1:1194 -proto tcp -ca ca.crt -cert server.crt -key server.key
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

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/openvpn"
	"github.com/encase-tls/encase/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "openvpn:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return demo(ctx, stdout)
	}
	e := &end{stdout: stdout}
	if err := e.parse(args); err != nil {
		return err
	}
	if args[0] == "server" {
		return e.serve(ctx)
	}
	return e.connect(ctx)
}

// An end is one end of connections.
type end struct {
	proto, addr string
	config      *wrap.Config
	stdout      io.Writer
}

// parse makes an end of the arguments of the command line.
func (e *end) parse(args []string) error {
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&e.proto, "proto", "udp", "udp or tcp")
	f.StringVar(&e.addr, "addr", "127.0.0.1:1194", "where the server is")
	options := f.String("options", "", "more options of the codec, such as tls-crypt=FILE")
	ca := f.String("ca", "ca.crt", "who signs the certificate of the other end")
	cert := f.String("cert", "", "this end's certificate")
	key := f.String("key", "", "and its key")
	version := f.String("tls", "1.3", "highest version of TLS, 1.2 or 1.3")
	if args[0] != "client" && args[0] != "server" {
		return fmt.Errorf("unknown command %q (have client, server)", args[0])
	}
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if e.proto != "udp" && e.proto != "tcp" {
		return fmt.Errorf("unknown protocol %q (have udp, tcp)", e.proto)
	}
	tlsConfig, err := tlsFiles(*ca, *cert, *key, *version)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(e.addr)
	if err != nil {
		return err
	}
	tlsConfig.ServerName = host
	spec := e.proto
	if *options != "" {
		spec += "," + *options
	}
	return e.configure(tlsConfig, spec)
}

// configure says what travels in what.
func (e *end) configure(tlsConfig *tls.Config, spec string) error {
	codec, err := openvpn.Parse(spec)
	if err != nil {
		return err
	}
	e.config = &wrap.Config{TLS: tlsConfig, Codec: codec}
	return nil
}

// tlsFiles returns a configuration for either end. In OpenVPN both show a certificate.
func tlsFiles(ca, cert, key, version string) (*tls.Config, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", ca)
	}
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	highest, ok := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[version]
	if !ok {
		return nil, fmt.Errorf("unknown version %q of TLS (have 1.2, 1.3)", version)
	}
	return mutual(pool, own, highest), nil
}

func mutual(pool *x509.CertPool, own tls.Certificate, highest uint16) *tls.Config {
	return &tls.Config{RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12, MaxVersion: highest}
}

// demo has a client connect to a server, both here.
func demo(ctx context.Context, stdout io.Writer) error {
	ca, err := ephemeral.New("example CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		return err
	}
	server := &end{proto: "udp", addr: "127.0.0.1:0", stdout: io.Discard}
	client := &end{proto: "udp", stdout: stdout}
	for _, e := range []*end{server, client} {
		config := mutual(ca.Pool(), cert, tls.VersionTLS13)
		config.ServerName = "127.0.0.1"
		if err := e.configure(config, "udp"); err != nil {
			return err
		}
	}
	pc, err := net.ListenPacket("udp", server.addr)
	if err != nil {
		return err
	}
	client.addr = pc.LocalAddr().String()
	served := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	go func() { served <- server.serveUDP(ctx, pc) }()
	err = client.connect(ctx)
	stop()
	return errors.Join(err, <-served)
}
