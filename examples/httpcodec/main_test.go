package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap"
)

func TestRun(t *testing.T) {
	const want = "HTTP/1.1 200 OK: GET /hello over TLS 1.3, HTTP/1.1\n" +
		"HTTP/2.0 200 OK: GET /hello over TLS 1.3, HTTP/2.0\n"
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

// TestBothWays sends a large body both ways at once, many times in parallel, and checks the protocol and how many
// connections that took.
func TestBothWays(t *testing.T) {
	for _, tt := range []struct {
		name      string
		transport func(*wrap.Config) *http.Transport
		major     int
		most      int32 // connections
	}{
		{"HTTP/1.1", http1, 1, 8},
		{"HTTP/2", http2, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, url, connections := start(t)
			transport := tt.transport(client)
			defer transport.CloseIdleConnections()
			post(t, transport, url, tt.major, nil) // HTTP/2: or each of the first requests would dial
			body := make([]byte, 1<<20)
			rand.Read(body)
			var requests sync.WaitGroup
			for range 8 {
				requests.Go(func() { post(t, transport, url, tt.major, body) })
			}
			requests.Wait()
			if n := connections.Load(); n > tt.most {
				t.Errorf("%d connections, want at most %d", n, tt.most)
			}
		})
	}
}

// TestSilentClient checks that one who connects and says nothing holds up nobody.
func TestSilentClient(t *testing.T) {
	client, url, _ := start(t)
	for range 10 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	begun := time.Now()
	transport := http1(client)
	defer transport.CloseIdleConnections()
	post(t, transport, url, 1, []byte("hello"))
	if d := time.Since(begun); d > wrap.DefaultHandshakeTimeout/2 {
		t.Errorf("served after %v", d)
	}
}

// TestPlainListener checks what the package comment says: for HTTP/1.1 alone wrap.Listen is enough.
func TestPlainListener(t *testing.T) {
	client, server, err := configs()
	if err != nil {
		t.Fatal(err)
	}
	l, err := wrap.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(echo)}
	go srv.Serve(l)
	defer srv.Close()
	transport := http1(client)
	defer transport.CloseIdleConnections()
	post(t, transport, "https://"+l.Addr().String(), 1, []byte("hello"))
}

// post sends body and expects it back.
func post(t *testing.T, transport *http.Transport, url string, major int, body []byte) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, body) || resp.ProtoMajor != major {
		t.Errorf("%d bytes of %d came back with %s: %v", len(got), len(body), resp.Proto, err)
	}
}

// start runs a server that sends back what it gets, and counts its connections.
func start(t *testing.T) (client *wrap.Config, url string, connections *atomic.Int32) {
	client, server, err := configs()
	if err != nil {
		t.Fatal(err)
	}
	l, err := wrap.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	srv := newServer(http.HandlerFunc(echo))
	srv.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(newListener(l)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return client, "https://" + l.Addr().String(), connections
}

func echo(w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1: or it would read the whole body first
	io.Copy(w, r.Body)                               // what fails here the client sees
}
