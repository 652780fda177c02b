package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	_ "github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/tun/carrier"
	"github.com/encase-tls/encase/wrap/datagram"
)

// serve answers questions until ctx ends. It leaves the certificate to trust in dir.
func serve(ctx context.Context, device *carrier.Device, dir string, stdout io.Writer) error {
	ca, err := ephemeral.New("ipframes CA")
	if err != nil {
		return err
	}
	if err := ca.WriteFiles(dir, nil); err != nil {
		return err
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		return err
	}
	conn, err := device.Listen(device.Addresses()[0])
	if err != nil {
		return err
	}
	listener, err := datagram.NewListener(conn, &datagram.Config{
		TLS:         &tls.Config{Certificates: []tls.Certificate{cert}},
		MTU:         conn.MTU(), // what fits a packet
		IdleTimeout: 30 * time.Second,
		Handler:     answer,
	}, datagram.ListenOptions{})
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Fprintln(stdout, "listening on", conn.LocalAddr())
	select {
	case <-ctx.Done():
		return nil
	case <-device.Ended(): // somebody has deleted the interface
		return device.Err()
	}
}

// answer answers a question, "1 2 3", with itself and the sum: the client may have asked twice.
func answer(c *datagram.Conn, question []byte) {
	sum := 0
	for field := range strings.FieldsSeq(string(question)) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return
		}
		sum += n
	}
	fmt.Fprintf(c, "%s = %d", question, sum)
}
