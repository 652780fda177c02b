// Dtlsecho is the first step of every tutorial on DTLS, and the one before it: a server that says back what it hears,
// over UDP (udp.go), and then the same with DTLS (dtls.go).
//
//	$ go run ./examples/dtlsecho udp-server 127.0.0.1:4433 &
//	$ go run ./examples/dtlsecho udp-client 127.0.0.1:4433 hello world
//	hello
//	world
//	$ mkdir /tmp/echo && go run ./examples/dtlsecho dtls-server 127.0.0.1:4434 /tmp/echo &
//	$ go run ./examples/dtlsecho dtls-client 127.0.0.1:4434 /tmp/echo hello world
//
// What DTLS adds is where the connection comes from; how it is used, ask.go, stays the same, since DTLS leaves to its
// user what UDP does: messages have boundaries, and may get lost or overtake each other. Two things do become better: a
// message is what the peer has sent, and none comes twice.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		log.Fatalln("dtlsecho:", err)
	}
}

const usage = `usage: dtlsecho udp-server ADDRESS
       dtlsecho udp-client ADDRESS MESSAGE...
       dtlsecho dtls-server ADDRESS FOLDER
       dtlsecho dtls-client ADDRESS FOLDER MESSAGE...`

func run(ctx context.Context, args []string, stdout io.Writer) error {
	program := ""
	if len(args) > 0 {
		program = args[0]
	}
	switch {
	case program == "udp-server" && len(args) == 2:
		return serveUDP(ctx, args[1], stdout)
	case program == "udp-client" && len(args) > 2:
		return askUDP(ctx, args[1], args[2:], stdout)
	case program == "dtls-server" && len(args) == 3:
		return serveDTLS(ctx, args[1], args[2], stdout)
	case program == "dtls-client" && len(args) > 3:
		return askDTLS(ctx, args[1], args[2], args[3:], stdout)
	}
	return errors.New(usage)
}
