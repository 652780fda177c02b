package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/needtest"
)

// In the scripts the command encase is this test binary.
func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	testscript.Main(m, map[string]func(){"encase": main})
}

func TestScript(t *testing.T) { runScripts(t, "testdata/script") }

// These scripts talk with the openssl program.
func TestOpenSSL(t *testing.T) {
	needtest.Program(t, "openssl", "openssl")
	runScripts(t, "testdata/openssl")
}

func runScripts(t *testing.T, dir string) {
	capture := capture(t)
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			return errors.Join(identities(env.WorkDir), os.WriteFile(filepath.Join(env.WorkDir, "tls.pcap"), capture, 0o644))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"await": await,
		},
	})
}

// capture returns a capture of TLS 1.3 in frames of length:16be.
func capture(t *testing.T) []byte {
	var framed []tsharktest.Message
	for _, m := range tsharktest.Handshake(t, tls.VersionTLS13) {
		m.Data = append(binary.BigEndian.AppendUint16(nil, uint16(len(m.Data))), m.Data...)
		framed = append(framed, m)
	}
	return tsharktest.Conversation(4433, framed...).File()
}

// exits runs a program and compares its exit status: exits STATUS PROGRAM ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var status *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &status) {
		got = status.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// await waits until a file is there: await PATH
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await PATH")
	}
	for range 6000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s is not there after a minute", args[0])
}

// identities writes an authority and certificates of it, another authority, and a certificate that has expired.
func identities(dir string) error {
	ca, err := ephemeral.New("test authority")
	if err != nil {
		return err
	}
	server, err := ca.Issue("server.example", "127.0.0.1")
	if err != nil {
		return err
	}
	client, err := ca.Issue("client.example")
	if err != nil {
		return err
	}
	expired, err := expired("server.example")
	if err != nil {
		return err
	}
	certs := map[string]tls.Certificate{"server": server, "client": client, "expired": expired}
	if err := ca.WriteFiles(dir, certs); err != nil {
		return err
	}
	other, err := ephemeral.New("other authority")
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "other"), 0o755); err != nil {
		return err
	}
	return other.WriteFiles(filepath.Join(dir, "other"), nil)
}

// expired returns a certificate, signed by itself, that was good until an hour ago.
func expired(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-2 * time.Hour),
		NotAfter:     time.Now().Add(-time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
