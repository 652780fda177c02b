// Stdio speaks TLS over the standard input and output of a program that it starts, as one does with a program behind
// ssh or inetd, or in a container: no socket, no port. The parent is the TLS client, the child the server; the child
// answers with the SHA-256 of all that it was sent.
//
//	$ echo hello | go run ./examples/stdio
//	5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
//
// In OpenSSL's terms: SSL_set_rfd(ssl, 0) and SSL_set_wfd(ssl, 1) in the child.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stdio:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.ReadCloser, stdout io.WriteCloser) error {
	if len(args) == 2 && args[0] == "child" {
		return child(ctx, args[1], wrap.Join(stdin, stdout))
	}
	dir, err := os.MkdirTemp("", "stdio")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return parent(ctx, dir, stdin, stdout)
}

// child is the server. Its standard output belongs to TLS: not one byte of anything else may go there, least of all the
// log, which is what standard error is for.
func child(ctx context.Context, dir string, pipes io.ReadWriteCloser) error {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "child.crt"), filepath.Join(dir, "child.key"))
	if err != nil {
		return err
	}
	// Standard input has no read deadline; Stream sees that and reads on a goroutine of its own.
	conn := wrap.Server(wrap.Stream(pipes), &wrap.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	defer conn.Close() // for the returns with an error
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	sum := sha256.New()
	if _, err := io.Copy(sum, conn); err != nil { // until close_notify: data that was cut off gets no answer
		return err
	}
	if _, err := fmt.Fprintf(conn, "%x\n", sum.Sum(nil)); err != nil {
		return err
	}
	return conn.Close()
}

// parent is the client: it starts the child, sends it in and writes its answer to out.
func parent(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	ca, err := ephemeral.New("stdio CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("child.example")
	if err != nil {
		return err
	}
	if err := ca.WriteFiles(dir, map[string]tls.Certificate{"child": cert}); err != nil {
		return err
	}
	cmd, pipes, err := start(ctx, dir)
	if err != nil {
		return err
	}
	conn := wrap.Client(wrap.Stream(pipes), &wrap.Config{
		TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "child.example"},
	})
	err = ask(conn, in, out)
	conn.Close()                        // also closes the child's standard input: if it still reads, it ends now
	return errors.Join(err, cmd.Wait()) // only now: Wait closes the pipes, and what is still in them would be lost
}

// start starts this program again, as the child, and returns both pipes to it as one stream.
func start(ctx context.Context, dir string) (*exec.Cmd, io.ReadWriteCloser, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self, "child", dir)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, wrap.Join(stdout, stdin), cmd.Start()
}

// ask sends in, says that this was all, and copies the answer. Close would be too much: the answer comes after it.
func ask(conn *wrap.Conn, in io.Reader, out io.Writer) error {
	if _, err := io.Copy(conn, in); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil { // SSL_shutdown, once
		return err
	}
	_, err := io.Copy(out, conn)
	return err
}
