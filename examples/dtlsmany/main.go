// Dtlsmany is a server for many DTLS clients at once, on one socket and, however many they are, on one goroutine for
// each processor: sensors report what they measure, and are told the mean of it so far.
//
//	$ mkdir /tmp/many && go run ./examples/dtlsmany server 127.0.0.1:4433 /tmp/many &
//	$ go run ./examples/dtlsmany client 127.0.0.1:4433 /tmp/many 500 20
//	500 sensors, 20 reports each: all arrived, and were counted once
//
// Tutorials start a thread for each client, with a socket of its own that is bound to the same port and connected to
// the client. That is not done here: a datagram.Listener reads one socket, finds out whose each datagram is, and calls
// a function with the message in it. A client that says nothing costs a few kilobytes and no thread. Those who prefer a
// goroutine for each client leave out Handler and call Accept: see dtlsecho, where "go" in front of echo would do.
//
// What a server must bound, since anybody can send datagrams in anybody's name: handshakes under way (Limits), clients
// (MaxPeers), and how long one may be silent (IdleTimeout).
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	_ "github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap/admission"
	"github.com/encase-tls/encase/wrap/datagram"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		log.Fatalln("dtlsmany:", err)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	switch {
	case len(args) == 3 && args[0] == "server":
		return serve(ctx, args[1], args[2], stdout)
	case len(args) == 5 && args[0] == "client":
		count, err := strconv.Atoi(args[3])
		reports, err2 := strconv.Atoi(args[4])
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		return reportAll(ctx, args[1], args[2], count, reports, stdout)
	}
	return errors.New("usage: dtlsmany server ADDRESS FOLDER | dtlsmany client ADDRESS FOLDER SENSORS REPORTS")
}

// serve serves until ctx ends. It leaves the certificate to trust in dir.
func serve(ctx context.Context, address, dir string, stdout io.Writer) error {
	ca, err := ephemeral.New("dtlsmany CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		return err
	}
	if err := ca.WriteFiles(dir, nil); err != nil {
		return err
	}
	s := newStation()
	listener, err := datagram.Listen("udp", address, &datagram.Config{
		TLS:         &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler:     s.heard,
		IdleTimeout: time.Minute,
	}, datagram.ListenOptions{
		Shards:   runtime.GOMAXPROCS(0), // sockets with SO_REUSEPORT: the kernel deals the clients out
		MaxPeers: 10_000,
		Closed:   s.gone,
		// The sensors of this demonstration all have one address, as those behind a NAT have. An address may do less.
		Limits: admission.Limits{HelloRate: 2000, HalfOpenPerAddr: 512},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "listening on", listener.Addr())
	<-ctx.Done()
	err = listener.Close() // says goodbye to each
	fmt.Fprintln(stdout, s.summary(listener.Stats()))
	return err
}

// clientConfig returns what a sensor needs to trust the server whose certificate dir vouches for.
func clientConfig(dir string) (*datagram.Config, error) {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("ca.crt holds no certificate")
	}
	return &datagram.Config{TLS: &tls.Config{RootCAs: roots, ServerName: "server.example"}}, nil
}
