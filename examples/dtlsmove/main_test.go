package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	const want = `with connection IDs
  ADDR says hello, and is answered
  ADDR says hello, and is answered
  ADDR says hello, and is answered
  1 handshake, moved 2 times
without
  ADDR says hello, and is answered
  ADDR says hello, and is not answered
  1 handshake, moved 0 times
`
	if got := regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(out.String(), "ADDR"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestMoveWhileBusy moves fifty times while messages flow, in one connection.
func TestMoveWhileBusy(t *testing.T) {
	listener, client, err := prepare(dtls.Options{SendCID: true})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := newRoaming()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := datagram.Client(wrap.Datagram(socket, listener.Addr(), 0), client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	var talking sync.WaitGroup
	done := make(chan struct{})
	talking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				fmt.Fprint(conn, "hello")
				time.Sleep(time.Millisecond)
			}
		}
	})
	for i := range uint64(50) {
		if err := socket.move(); err != nil {
			t.Error(err)
		}
		for listener.Stats().Moved <= i && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	close(done)
	talking.Wait()
	if err := greet(ctx, conn, socket.LocalAddr()); err != nil {
		t.Errorf("after fifty moves: %v", err)
	}
	if s := listener.Stats(); s.Opened != 1 || s.Moved < 50 || s.Peers != 1 {
		t.Errorf("%d handshakes, moved %d times, %d peers", s.Opened, s.Moved, s.Peers)
	}
}

// TestRoaming checks the socket: who waits in ReadFrom gets what comes to the new address, and Close ends the wait.
func TestRoaming(t *testing.T) {
	r, err := newRoaming()
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		text string
		err  error
	}
	results := make(chan result)
	go func() {
		buf := make([]byte, 100)
		for range 2 {
			n, _, err := r.ReadFrom(buf)
			results <- result{string(buf[:n]), err}
		}
	}()
	time.Sleep(20 * time.Millisecond)
	if err := r.move(); err != nil {
		t.Fatal(err)
	}
	other, err := net.Dial("udp4", r.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.Write([]byte("here"))
	if got := <-results; got.text != "here" || got.err != nil {
		t.Errorf("after a move: %q, %v", got.text, got.err)
	}
	r.Close()
	if got := <-results; got.err == nil {
		t.Errorf("after Close: %q", got.text)
	}
	if err := r.move(); err == nil {
		t.Error("a closed one moves")
	}
}
