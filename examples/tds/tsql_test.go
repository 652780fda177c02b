package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap/needtest"
)

// TestTSQL has FreeTDS log in, with everything encrypted, with the login alone, and without. Debian has no other server
// of TDS that this one could be compared with.
func TestTSQL(t *testing.T) {
	tsql := needtest.Program(t, "tsql", "freetds-bin")
	dir := certificates(t)
	const (
		all   = "everything encrypted: TLS 1.2, "
		first = "the login encrypted: what follows it is in clear"
		none  = "Adaptive Server connection failed"
	)
	for _, c := range []struct {
		encryption, options string
		want                string
		refused             string // in the server's log
	}{
		{"require", "freetds", all, ""},
		{"require", "freetds,login-only", all, ""},
		{"require", "freetds,size=512", all, ""},
		{"request", "freetds", all, ""},
		{"request", "freetds,login-only", first, ""},
		{"off", "freetds", none, "ENCRYPT_NOT_SUP"},
		{"off", "freetds,login-only", none, "ENCRYPT_NOT_SUP"},
	} {
		t.Run(c.encryption+" of "+c.options, func(t *testing.T) {
			address, refused := startServer(t, dir, c.options)
			out, sent := runTSQL(t, tsql, address, c.encryption, password, filepath.Join(dir, "ca.crt"))
			if !strings.Contains(out, c.want) || c.refused == "" && !strings.Contains(out, "\n42\n(1 row affected)") {
				t.Errorf("tsql says\n%s", out)
			}
			if what := refused(); !strings.Contains(what, c.refused) || c.refused == "" && what != "" {
				t.Errorf("the server says %q, want %q", what, c.refused)
			}
			if clear := bytes.Contains(sent, wide("select 42")); clear != (c.want == first) {
				t.Errorf("the statement is on the wire in clear: %t", clear)
			}
			if bytes.Contains(sent, wide("TSQL")) { // its name in LOGIN7
				t.Error("the login is on the wire in clear")
			}
		})
	}
}

// TestTSQLRefused has FreeTDS give the wrong password, and meet a server that it has no reason to trust.
func TestTSQLRefused(t *testing.T) {
	tsql := needtest.Program(t, "tsql", "freetds-bin")
	dir := certificates(t)
	address, _ := startServer(t, dir, "freetds,login-only")
	for _, encryption := range []string{"require", "request"} {
		out, _ := runTSQL(t, tsql, address, encryption, "guessed", filepath.Join(dir, "ca.crt"))
		if !strings.Contains(out, "Login failed for user") || strings.Contains(out, "1 row") {
			t.Errorf("with %s and the wrong password: %s", encryption, out)
		}
		out, sent := runTSQL(t, tsql, address, encryption, password, filepath.Join(certificates(t), "ca.crt"))
		in := strings.Contains(out, "1 row") || bytes.Contains(sent, wide("select"))
		if in || !strings.Contains(out, "connection failed") {
			t.Errorf("with %s and another authority: %s", encryption, out)
		}
	}
}

// TestTSQLLongChain gives FreeTDS certificates that need two packets.
func TestTSQLLongChain(t *testing.T) {
	tsql := needtest.Program(t, "tsql", "freetds-bin")
	ca, err := ephemeral.New("tds CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		other, err := ca.Issue("padding.example")
		if err != nil {
			t.Fatal(err)
		}
		cert.Certificate = append(cert.Certificate, other.Certificate[0])
	}
	dir := t.TempDir()
	if err := ca.WriteFiles(dir, map[string]tls.Certificate{"server": cert}); err != nil {
		t.Fatal(err)
	}
	address, _ := startServer(t, dir, "freetds")
	out, _ := runTSQL(t, tsql, address, "require", password, filepath.Join(dir, "ca.crt"))
	if !strings.Contains(out, "\n42\n") {
		t.Errorf("tsql says\n%s", out)
	}
}

// runTSQL runs tsql with two statements. It returns what it prints, and what it has sent.
func runTSQL(t *testing.T, tsql, address, encryption, password, ca string) (out string, sent []byte) {
	t.Helper()
	tap, heard := listenBetween(t, address)
	_, port, err := net.SplitHostPort(tap)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "freetds.conf")
	text := fmt.Sprintf("[global]\n tds version = 7.4\n encryption = %s\n ca file = %s\n client charset = UTF-8\n"+
		"[under-test]\n host = 127.0.0.1\n port = %s\n", encryption, ca, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, tsql, "-S", "under-test", "-U", user, "-P", password)
	cmd.Env = append(os.Environ(), "FREETDSCONF="+conf, "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader("select encryption\ngo\nselect 42\ngo\nexit\n")
	p, _ := cmd.CombinedOutput() // its status is no judge: it is 0 or 1 for many reasons
	return string(p), <-heard
}

// listenBetween listens in front of an address for one connection, and returns what the client sends when it is over.
func listenBetween(t *testing.T, target string) (address string, heard <-chan []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	said := make(chan []byte, 1)
	go func() {
		var sent bytes.Buffer
		defer func() { said <- sent.Bytes() }()
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer server.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			copyAll(client, server, nil)
		}()
		copyAll(server, client, &sent)
		<-done
	}()
	return l.Addr().String(), said
}

// copyAll copies until the end, and passes that on.
func copyAll(dst, src net.Conn, seen *bytes.Buffer) {
	p := make([]byte, 32<<10)
	for {
		n, err := src.Read(p)
		if seen != nil {
			seen.Write(p[:n])
		}
		if _, werr := dst.Write(p[:n]); err != nil || werr != nil {
			dst.(*net.TCPConn).CloseWrite()
			return
		}
	}
}
