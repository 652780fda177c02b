//go:build linux

// Epoll serves many TLS connections from one event loop over non-blocking sockets, with memory BIOs between socket and
// TLS, as servers in C do; the client is such a loop, too.
//
//	$ mkdir /tmp/echo && go run ./examples/epoll server 127.0.0.1:4433 /tmp/echo &
//	$ go run ./examples/epoll client 127.0.0.1:4433 /tmp/echo 100 65536
//	100 connections, 65536 bytes each: all came back
//
// loop.go knows sockets and epoll, conn.go is the glue between a socket and a TLS session, apps.go what is said.
// Nothing in Go needs this: package wrap with a goroutine for each connection is simpler. It is for those who have a
// loop already.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		log.Fatalln("epoll:", err)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	switch {
	case len(args) == 3 && args[0] == "server":
		return serve(ctx, args[1], args[2], stdout)
	case len(args) == 5 && args[0] == "client":
		count, err := strconv.Atoi(args[3])
		size, err2 := strconv.Atoi(args[4])
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		return ask(ctx, args[1], args[2], count, size, stdout)
	}
	return errors.New("usage: epoll server ADDRESS FOLDER | epoll client ADDRESS FOLDER COUNT BYTES")
}

// serve says back what its clients say, until ctx ends. It leaves the certificate to trust in dir.
func serve(ctx context.Context, address, dir string, stdout io.Writer) error {
	ca, err := ephemeral.New("epoll CA")
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
	engines, err := bio.TLS(&bio.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}) // SSL_CTX
	if err != nil {
		return err
	}
	l, err := newLoop(func(c *conn, err error) {
		if err != nil {
			fmt.Fprintf(stdout, "connection %d: %v\n", c.number, err)
		}
	})
	if err != nil {
		return err
	}
	defer l.close()
	bound, err := l.listen(address, func() (bio.Engine, app, error) {
		engine, err := engines(frame.Server)
		return engine, new(echo), err
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "listening on", bound)
	return l.run(ctx)
}

// ask opens count connections at once, and sends size random bytes through each.
func ask(ctx context.Context, address, dir string, count, size int, stdout io.Writer) error {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("ca.crt holds no certificate")
	}
	engines, err := bio.TLS(&bio.Config{TLS: &tls.Config{RootCAs: roots, ServerName: "server.example"}})
	if err != nil {
		return err
	}
	var failed []error
	l, err := newLoop(func(c *conn, err error) {
		if err != nil {
			failed = append(failed, fmt.Errorf("connection %d: %w", c.number, err))
		}
	})
	if err != nil {
		return err
	}
	defer l.close()
	for range count {
		text := make([]byte, size)
		rand.Read(text) // does not fail
		engine, err := engines(frame.Client)
		if err != nil {
			return err
		}
		if err := l.connect(address, engine, &asker{unsaid: text, unheard: text}); err != nil {
			return err
		}
	}
	if err := errors.Join(l.run(ctx), errors.Join(failed...)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d connections, %d bytes each: all came back\n", count, size)
	return err
}
