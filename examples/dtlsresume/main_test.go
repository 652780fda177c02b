package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap/datagram"
)

// TestRun checks that the resumed handshake is the cheap one: fewer datagrams and fewer bytes. How long each takes
// depends on the machine.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("it prints %q", out.String())
	}
	var datagrams, bytes [3]int
	for i, line := range lines {
		_, figures, _ := strings.Cut(line, ":")
		if _, err := fmt.Sscanf(strings.TrimSpace(figures), "%d datagrams, %d bytes", &datagrams[i], &bytes[i]); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if datagrams[1] >= datagrams[0] || bytes[1]*4 > bytes[0]*3 || datagrams[2] <= datagrams[1] {
		t.Errorf("resuming saves too little:\n%s", &out)
	}
}

// TestAnotherName asks the same server, under another name: no session of another name is resumed, and the name is not
// in the certificate.
func TestAnotherName(t *testing.T) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		t.Fatal(err)
	}
	server, err := newServer(cert)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	cfg := &datagram.Config{TLS: &tls.Config{
		RootCAs: ca.Pool(), ServerName: "server.example", ClientSessionCache: tls.NewLRUClientSessionCache(16),
	}}
	if _, err := connect(t.Context(), server.Addr().String(), cfg); err != nil {
		t.Fatal(err)
	}
	other := cfg.Clone()
	other.TLS = cfg.TLS.Clone()
	other.TLS.ServerName = "other.example"
	if c, err := connect(t.Context(), server.Addr().String(), other); err == nil {
		t.Errorf("a server with another name is believed: %+v", c)
	}
	if c, err := connect(t.Context(), server.Addr().String(), cfg); err != nil || !c.resumed {
		t.Errorf("the session is lost: %+v, %v", c, err)
	}
}
