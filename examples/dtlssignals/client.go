package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/encase-tls/encase/wrap/datagram"
)

// order has jobs done, one after the other, until the server or a signal ends it.
func order(ctx context.Context, address, dir string, list []string, stdout io.Writer, signals <-chan os.Signal) error {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("ca.crt holds no certificate")
	}
	ctx, stop := untilSignal(ctx, signals)
	defer stop()
	conn, err := datagram.Dial(ctx, "udp", address, &datagram.Config{
		TLS: &tls.Config{RootCAs: roots, ServerName: "server.example"},
	})
	if err != nil {
		return err
	}
	defer conn.Close()                                      // says goodbye, also after a signal
	defer context.AfterFunc(ctx, func() { conn.Close() })() // ends a Read that waits
	for _, job := range list {
		answer, err := have(conn, job)
		switch {
		case err == io.EOF:
			fmt.Fprintln(stdout, "the server has said goodbye")
			return nil
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		fmt.Fprintln(stdout, answer)
	}
	return nil
}

// have has one job done. It is not ordered again if there is no answer: it may have been done.
func have(conn net.Conn, job string) (answer string, err error) {
	length, err := time.ParseDuration(job)
	if err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(job)); err != nil {
		return "", err
	}
	conn.SetReadDeadline(time.Now().Add(length + patience)) // the job, the answer and a goodbye can get lost
	buf := make([]byte, 200)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

// untilSignal returns a context that ends with a signal that means so.
func untilSignal(ctx context.Context, signals <-chan os.Signal) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig == syscall.SIGHUP {
					continue
				}
				stop()
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, stop
}
