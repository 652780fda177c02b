package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/encase-tls/encase/tun/carrier"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

// ask asks the server at an address, for which the folder dir vouches, for a sum, and prints it.
func ask(ctx context.Context, device *carrier.Device, server, dir string, numbers []string, stdout io.Writer) error {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("ca.crt holds no certificate")
	}
	to, err := netip.ParseAddr(server)
	if err != nil {
		return err
	}
	raw, err := device.Dial(to)
	if err != nil {
		return err
	}
	conn, err := datagram.Client(wrap.Datagram(raw, nil, raw.MTU()), &datagram.Config{
		TLS: &tls.Config{RootCAs: roots, ServerName: "server.example"},
		MTU: raw.MTU(), HandshakeTimeout: 15 * time.Second,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	sum, err := exchange(conn, strings.Join(numbers, " "))
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, sum)
	return nil
}

// exchange asks until there is an answer: packets get lost.
func exchange(conn *datagram.Conn, question string) (answer string, err error) {
	const tries, wait = 8, 500 * time.Millisecond
	buf := make([]byte, 2048)
	for range tries {
		if _, err = io.WriteString(conn, question); err != nil {
			return "", err
		}
		conn.SetReadDeadline(time.Now().Add(wait))
		n, err := conn.Read(buf)
		if sum, ok := strings.CutPrefix(string(buf[:n]), question+" = "); ok && err == nil {
			return sum, nil
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return "", err
		}
	}
	return "", fmt.Errorf("no answer in %v", tries*wait)
}
