//go:build unix

// Twofiles speaks TLS through two FIFOs, one for each direction: two processes that share nothing but a folder. With
// two serial lines, or any other pair of one-way files, the program would be the same.
//
//	$ mkdir /tmp/line && go run ./examples/twofiles server /tmp/line &
//	$ echo hello | go run ./examples/twofiles client /tmp/line
//	hello
//
// In OpenSSL's terms: SSL_set_rfd(ssl, in) and SSL_set_wfd(ssl, out), or a BIO for each; in wolfSSL's:
// wolfSSL_set_read_fd and wolfSSL_set_write_fd.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "twofiles:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "server":
		return serve(ctx, args[1])
	case len(args) == 2 && args[0] == "client":
		return talk(ctx, args[1], stdin, stdout)
	}
	return errors.New("usage: twofiles server|client FOLDER")
}

// serve says back what one client says.
func serve(ctx context.Context, dir string) error {
	cert, err := prepare(dir)
	if err != nil {
		return err
	}
	// An open of a FIFO waits for its other end, so both processes must open the two in the same order: had each begun
	// with the one that it reads, both would wait for ever.
	in, err := os.OpenFile(filepath.Join(dir, "to-server"), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(dir, "to-client"), os.O_WRONLY, 0)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	conn := wrap.Server(wrap.Stream(wrap.Join(in, out)), &wrap.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
	})
	defer conn.Close() // for the returns with an error
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.Copy(conn, conn); err != nil {
		return err
	}
	return conn.Close() // sends close_notify (SSL_shutdown), waits until it is in the FIFO, closes both files
}

// talk sends what it reads from in, and writes what comes back to out.
func talk(ctx context.Context, dir string, stdin io.Reader, stdout io.Writer) error {
	roots, err := trusted(dir)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(dir, "to-server"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	in, err := os.OpenFile(filepath.Join(dir, "to-client"), os.O_RDONLY, 0)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	conn := wrap.Client(wrap.Stream(wrap.Join(in, out)), &wrap.Config{
		TLS: &tls.Config{RootCAs: roots, ServerName: "server.example"},
	})
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// Both directions at once: who first sends all and then reads all is stuck when the answer fills its FIFO.
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, stdin)
		sent <- errors.Join(err, conn.CloseWrite()) // half-close: the server sees the end, the answer still comes
	}()
	// This ends with the server's close_notify, or, if the files end without one, with bio.ErrTruncated.
	if _, err := io.Copy(stdout, conn); err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	return conn.Close()
}

// prepare makes the FIFOs in dir, and a certificate that a client finds there.
func prepare(dir string) (cert tls.Certificate, err error) {
	ca, err := ephemeral.New("twofiles CA")
	if err != nil {
		return cert, err
	}
	if cert, err = ca.Issue("server.example"); err != nil {
		return cert, err
	}
	if err := ca.WriteFiles(dir, nil); err != nil {
		return cert, err
	}
	for _, name := range []string{"to-server", "to-client"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
			return cert, fmt.Errorf("FIFO %s: %w", name, err)
		}
	}
	return cert, nil
}

func trusted(dir string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("is the server running? %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("ca.crt holds no certificate")
	}
	return roots, nil
}
