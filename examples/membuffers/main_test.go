package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

func TestRun(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":      "",
		"a line":       "hello\n",
		"many records": strings.Repeat("some words, ", 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := run(strings.NewReader(in), &out); err != nil {
				t.Fatal(err)
			}
			if out.String() != strings.ToUpper(in) {
				t.Errorf("%d bytes came back from %d", out.Len(), len(in))
			}
		})
	}
}

// https://www.rfc-editor.org/rfc/rfc8446#section-6.2
const badCertificate tls.AlertError = 42

// TestAlert checks that the server learns why the client has gone: the alert is sent after the error.
func TestAlert(t *testing.T) {
	client, server := configs(t)
	client.ServerName = "other.example"
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client.MaxVersion = version
		err := talk(strings.NewReader("hello"), new(bytes.Buffer), client, server)
		both, ok := err.(interface{ Unwrap() []error })
		if !ok || len(both.Unwrap()) != 2 {
			t.Fatalf("%s: %v, want an error of each end", tls.VersionName(version), err)
		}
		var wrongName *tls.CertificateVerificationError
		if err := both.Unwrap()[0]; !errors.As(err, &wrongName) {
			t.Errorf("%s: the client reports %v", tls.VersionName(version), err)
		}
		var alert *bio.AlertError
		if err := both.Unwrap()[1]; !errors.As(err, &alert) || alert.Sent || alert.Alert != badCertificate {
			t.Errorf("%s: the server reports %v", tls.VersionName(version), err)
		}
	}
}

// TestOneByteAtATime checks that no callback is expected to take all that it is given, and that what comes in pieces
// stays in order.
func TestOneByteAtATime(t *testing.T) {
	clientTLS, serverTLS := configs(t)
	client, server := newTestParty(t, clientTLS, frame.Client), newTestParty(t, serverTLS, frame.Server)
	const said = "one byte after the other"
	var heard []byte
	client.onCipher = func(p []byte) (int, error) { return server.receive(p[:1]), nil }
	server.onCipher = func(p []byte) (int, error) { return client.receive(p[:1]), nil }
	client.onClear = func(p []byte) (int, error) { heard = append(heard, p[0]); return 1, nil }
	server.onClear = func(p []byte) (int, error) { return server.write(p[:1]), nil }
	client.write([]byte(said))
	for client.step()+server.step() > 0 {
	}
	if string(heard) != said {
		t.Errorf("%q came back, want %q", heard, said)
	}
	if err := client.engine.TransportEOF(); !errors.Is(err, bio.ErrTruncated) {
		t.Errorf("the network ends before the server has closed: %v, want ErrTruncated", err)
	}
}

func newTestParty(t *testing.T, cfg *tls.Config, role frame.Role) *party {
	p, err := newParty(cfg, role)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func configs(t *testing.T) (client, server *tls.Config) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: ca.Pool(), ServerName: "server.example"},
		&tls.Config{Certificates: []tls.Certificate{cert}}
}
