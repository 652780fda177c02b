// Dtlssignals is a DTLS server that ends as a service should when it is told to: it takes no new work, finishes what it
// has, says goodbye to every client, and exits with status 0.
//
//	$ mkdir /tmp/work && go build -o /tmp/work ./examples/dtlssignals
//	$ /tmp/work/dtlssignals server 127.0.0.1:4433 /tmp/work & sleep 1
//	$ /tmp/work/dtlssignals client 127.0.0.1:4433 /tmp/work 2s 3s & sleep 1
//	$ kill -TERM %1
//	ending: 1 job under way
//	2s: done
//	the server has said goodbye
//	goodbye: 1 job done, 0 given up
//
// SIGINT and SIGTERM end it within five seconds, a second one at once; SIGHUP reads the certificate anew, for clients
// that come later.
//
// What C programs need for this, sigaction without SA_RESTART, recvfrom that returns EINTR, and a flag that each loop
// looks at, is a channel here: signals arrive like anything else. Why all the trouble: UDP has no FIN. A client of a
// server that just vanishes waits until its own patience ends; after close_notify (SSL_shutdown, wolfSSL_shutdown) its
// Read returns io.EOF at once. It may get lost, so clients need their patience all the same.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 4) // a signal that finds it full is lost
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := run(context.Background(), os.Args[1:], os.Stdout, signals); err != nil {
		log.Fatalln("dtlssignals:", err)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer, signals <-chan os.Signal) error {
	switch {
	case len(args) == 3 && args[0] == "server":
		return serve(ctx, args[1], args[2], stdout, signals)
	case len(args) > 3 && args[0] == "client":
		return order(ctx, args[1], args[2], args[3:], stdout, signals)
	}
	return errors.New("usage: dtlssignals server ADDRESS FOLDER | dtlssignals client ADDRESS FOLDER DURATION...")
}
