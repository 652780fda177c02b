// Membuffers runs a TLS client and a TLS server that meet in memory only: two engines that do no I/O, each with four
// buffers around it, and callbacks that carry the bytes. The server says everything back in capital letters:
//
//	$ echo hello | go run ./examples/membuffers
//	HELLO
//
// Those who know "SSL with memory buffers" find their calls named in party.go.
package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "membuffers:", err)
		os.Exit(1)
	}
}

func run(stdin io.Reader, stdout io.Writer) error {
	ca, err := ephemeral.New("membuffers CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		return err
	}
	return talk(stdin, stdout,
		&tls.Config{RootCAs: ca.Pool(), ServerName: "server.example"},
		&tls.Config{Certificates: []tls.Certificate{cert}})
}

// talk sends what it reads from in through the client to the server, and writes what comes back to out.
func talk(in io.Reader, out io.Writer, clientTLS, serverTLS *tls.Config) error {
	client, err := newParty(clientTLS, frame.Client)
	if err != nil {
		return err
	}
	server, err := newParty(serverTLS, frame.Server)
	if err != nil {
		return err
	}

	// The callbacks. This is the network: what one sends the other receives, and seldom a whole record at once.
	client.onCipher = func(p []byte) (int, error) { return server.receive(p[:min(len(p), 1000)]), nil }
	server.onCipher = func(p []byte) (int, error) { return client.receive(p[:min(len(p), 1000)]), nil }
	// And these are the applications.
	client.onClear = out.Write
	server.onClear = func(p []byte) (int, error) { return server.write(bytes.ToUpper(p)), nil }

	for {
		// A party that has failed goes on flushing: its alert is what tells the other why.
		moved := client.step() + server.step()
		if state := server.engine.State(); state.PeerClosed && server.drained() && state.Phase == bio.PhaseOpen {
			server.failed(server.engine.CloseWrite())
			continue
		}
		if moved > 0 {
			continue
		}
		if client.err != nil || server.err != nil || client.closing {
			break // one of them has failed, or all is said
		}
		if err := client.readFrom(in); err != nil {
			return err
		}
	}
	// The network is gone. Only now a missing close_notify shows: TransportEOF tells "closed" from "cut off".
	client.failed(client.engine.TransportEOF())
	server.failed(server.engine.TransportEOF())
	return errors.Join(client.err, server.err)
}

// readFrom takes the application's next bytes, and closes after the last.
func (p *party) readFrom(in io.Reader) error {
	buf := make([]byte, bufferLen)
	n, err := in.Read(buf)
	p.write(buf[:n]) // all fits: the buffer is empty whenever nothing moves
	if err == io.EOF {
		p.closing = true
		return nil
	}
	return err
}
