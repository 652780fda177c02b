package main

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

func TestRun(t *testing.T) {
	const want = "a.example over web/1: welcome to a.example\n" +
		"b.example over web/1: welcome to b.example\n" +
		"a.example over admin/1: refused\n" +
		"c.example over web/1: refused\n"
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

// TestNobodyElseWaits has ten clients wait for one slow certificate, and checks that a client of another site is served
// meanwhile.
func TestNobodyElseWaits(t *testing.T) {
	ca, addr, registry := start(t, time.Second)
	registry.sites["b.example"].delay = 0
	begun := time.Now()
	var slow sync.WaitGroup
	for range 10 {
		slow.Go(func() {
			said, err := visit{"a.example", "web/1"}.pay(t.Context(), addr, ca.Pool(), frame.Raw)
			if err != nil || said != "welcome to a.example\n" {
				t.Errorf("a.example: %q, %v", said, err)
			}
		})
	}
	if _, err := (visit{"b.example", "web/1"}).pay(t.Context(), addr, ca.Pool(), frame.Raw); err != nil {
		t.Errorf("b.example: %v", err)
	}
	if d := time.Since(begun); d >= time.Second {
		t.Errorf("b.example was served after %v, with a.example", d)
	}
	slow.Wait()
}

// TestRefusal checks that who is refused is told so.
func TestRefusal(t *testing.T) {
	ca, addr, _ := start(t, 0)
	for _, v := range []visit{{"c.example", "web/1"}, {"a.example", "admin/1"}} {
		_, err := v.pay(t.Context(), addr, ca.Pool(), frame.Raw)
		var alert *bio.AlertError
		if !errors.As(err, &alert) || alert.Sent {
			t.Errorf("%v: %v, want the server's alert", v, err)
		}
	}
}

// TestChoiceEnds checks that a choice does not outlive the time for the handshake.
func TestChoiceEnds(t *testing.T) {
	ca, _, registry := start(t, time.Hour)
	ended := make(chan error, 1)
	listener, err := wrap.Listen("tcp", "127.0.0.1:0", &wrap.Config{
		TLS:              &tls.Config{},
		HandshakeTimeout: 2 * time.Second,
		Choose: func(ctx context.Context, hello *tls.ClientHelloInfo) (*tls.Config, error) {
			cfg, err := registry.choose(ctx, hello)
			ended <- err
			return cfg, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go serve(t.Context(), listener)
	addr := listener.Addr().String()
	if _, err := (visit{"a.example", "web/1"}).pay(t.Context(), addr, ca.Pool(), frame.Raw); err == nil {
		t.Error("the client got a certificate that was never issued")
	}
	if err := <-ended; err == nil {
		t.Error("the choice ended with success")
	}
}

// start runs a server for a.example and b.example without framing.
func start(t *testing.T, delay time.Duration) (ca *ephemeral.Authority, addr string, r *registry) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	r = newRegistry(ca, delay, "a.example", "b.example")
	listener, err := wrap.Listen("tcp", "127.0.0.1:0", &wrap.Config{TLS: &tls.Config{}, Choose: r.choose})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		serve(ctx, listener)
		close(served)
	}()
	t.Cleanup(func() { stop(); <-served })
	return ca, listener.Addr().String(), r
}
