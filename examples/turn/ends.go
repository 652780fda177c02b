package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	_ "github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap/datagram"
)

const (
	patience = 20 * time.Second       // for an answer
	again    = 500 * time.Millisecond // messages get lost: how long until it is said again
	silence  = 2 * time.Minute        // until a server gives up on a client and takes the next from its address
)

// ask is a client: it says something to its peer until that answers, and prints the answer.
func (e *end) ask(ctx context.Context, relay *Relay) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	channel, err := relay.Bind(ctx, e.peers[0])
	if err != nil {
		return err
	}
	c, err := datagram.Client(channel, &datagram.Config{TLS: e.tls, Codec: channel.Codec()})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	answer, err := exchange(ctx, c, e.say+"\n")
	if err == nil {
		e.stdout.printf("%v answers %q", c.RemoteAddr(), answer)
	}
	return err
}

// exchange sends a message until another comes.
func exchange(ctx context.Context, c net.Conn, message string) (answer string, err error) {
	p := make([]byte, 1<<14)
	for ctx.Err() == nil {
		if _, err := c.Write([]byte(message)); err != nil {
			return "", err
		}
		c.SetReadDeadline(time.Now().Add(again))
		n, err := c.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return string(p[:n]), err
		}
	}
	return "", fmt.Errorf("%v does not answer: %w", c.RemoteAddr(), ctx.Err())
}

// serve is a server, until ctx or the relay ends. Each peer has a channel, and one connection after the other.
func (e *end) serve(ctx context.Context, relay *Relay) error {
	e.stdout.printf("reached at %v", relay.Addr())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var peers sync.WaitGroup
	for _, peer := range e.peers {
		peers.Go(func() {
			for ctx.Err() == nil {
				if err := e.serveNext(ctx, relay, peer); err != nil {
					cancel(err)
				}
			}
		})
	}
	peers.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serveNext serves a peer's next connection, or returns after a while without one. How that ends is printed; an error
// is the relay's.
func (e *end) serveNext(ctx context.Context, relay *Relay, peer *net.UDPAddr) error {
	channel, err := relay.Bind(ctx, peer)
	if err != nil {
		return err
	}
	c, err := datagram.Server(channel, &datagram.Config{TLS: e.tls, Codec: channel.Codec(), IdleTimeout: silence})
	if err != nil {
		channel.Close()
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := echo(c); err != nil && ctx.Err() == nil && c.Stats().FramesIn > 0 {
		e.stdout.printf("%v: %v", peer, err)
	}
	return relay.why()
}

// echo answers each message with the same, until the peer says goodbye.
func echo(c net.Conn) error {
	p := make([]byte, 1<<14)
	for {
		n, err := c.Read(p)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			_, err = c.Write(p[:n])
		}
		if err != nil {
			return err
		}
	}
}

// lines are printed by several goroutines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format+"\n", args...)
}
