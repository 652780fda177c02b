package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// maxDatagram is the longest that UDP can carry.
const maxDatagram = 65507

// serveUDP says back what it hears, to whoever has said it, until ctx ends.
func serveUDP(ctx context.Context, address string, stdout io.Writer) error {
	socket, err := net.ListenPacket("udp", address) // socket, bind
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	defer socket.Close()
	fmt.Fprintln(stdout, "listening on", socket.LocalAddr())
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := socket.ReadFrom(buf) // recvfrom: one datagram, whole
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			time.Sleep(10 * time.Millisecond) // what the system has to say about one datagram ends no server
			continue
		}
		// sendto. from may be forged: then somebody else gets an answer that he has not asked for. DTLS is what checks
		// that; over UDP alone, answer with no more than came in.
		socket.WriteTo(buf[:n], from)
	}
}

// askUDP has messages said back.
func askUDP(ctx context.Context, address string, messages []string, stdout io.Writer) error {
	conn, err := net.Dial("udp", address) // socket, connect: nothing is sent, but strangers' datagrams are dropped
	if err != nil {
		return err
	}
	defer conn.Close()
	return askAll(ctx, conn, messages, stdout)
}
