// Ipframes asks a server for the sum of numbers, with DTLS that travels in IP packets of its own: there is no UDP and
// no port, but packets of protocol 253, which a TUN device hands to the kernel, and routers forward. It needs Linux and
// root.
//
// On the server's machine, which has nothing else at 198.18.0.1, and on the client's, with nothing else at 198.18.0.2:
//
//	# sysctl -w net.ipv4.ip_forward=1
//	# ip route add 198.18.0.2 via CLIENT                     (the client: 198.18.0.1 via SERVER)
//	# go run ./examples/ipframes server 198.18.0.1 /tmp/sum
//	# go run ./examples/ipframes client 198.18.0.2 198.18.0.1 /tmp/sum 1 2 3
//	6
//
// The client wants /tmp/sum/ca.crt, which the server writes. tcpdump -n ip proto 253 shows what travels.
//
// Package carrier makes the packets, and gives out a net.PacketConn for what comes to an address, and a net.Conn to one
// peer. All else is as over UDP: wrap.Datagram makes a carrier of the net.Conn, and datagram.NewListener serves many
// clients by the net.PacketConn.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"
	"os/signal"

	"github.com/encase-tls/encase/tun/carrier"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		log.Fatalln("ipframes:", err)
	}
}

const usage = `usage: ipframes server ADDRESS FOLDER
       ipframes client ADDRESS SERVER FOLDER NUMBER...`

func run(ctx context.Context, args []string, stdout io.Writer) error {
	switch {
	case len(args) == 3 && args[0] == "server":
		device, err := open(args[1], stdout)
		if err != nil {
			return err
		}
		defer device.Close()
		return serve(ctx, device, args[2], stdout)
	case len(args) > 4 && args[0] == "client":
		device, err := open(args[1], stdout)
		if err != nil {
			return err
		}
		defer device.Close()
		return ask(ctx, device, args[2], args[3], args[4:], stdout)
	}
	return errors.New(usage)
}

// open makes the interface, behind which this end has its address.
func open(address string, stdout io.Writer) (*carrier.Device, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	return carrier.Open(carrier.Config{
		Addresses: []netip.Addr{a},
		Warn:      func(err error) { fmt.Fprintln(stdout, "warning:", err) },
	})
}
