package tun

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What operators do while a tunnel runs.

// A Pong is the answer of one connection to a ping.
type Pong struct {
	Carrier string  `json:"carrier"`
	RTT     float64 `json:"rtt_ms"`          // of this ping; 0: no answer
	Error   string  `json:"error,omitempty"` // why there was none
}

// ErrNoSession is wrapped by the error of Ping when there is none.
var ErrNoSession = errors.New("there is no such session")

// Ping asks a client, on each of its connections, whether it is there, and waits for the answers until ctx ends.
func (s *Server) Ping(ctx context.Context, name string) ([]Pong, error) {
	var pongs []Pong
	for _, c := range s.named(name) {
		pongs = append(pongs, c.ask(ctx)...)
	}
	if pongs == nil {
		return nil, fmt.Errorf("tun: %w: %s is not connected", ErrNoSession, name)
	}
	return pongs, nil
}

// Ping asks the server as Server.Ping does. The name has no meaning.
func (c *Client) Ping(ctx context.Context, _ string) ([]Pong, error) {
	j := c.current.Load()
	if j == nil {
		return nil, fmt.Errorf("tun: %w: the server is not connected", ErrNoSession)
	}
	return j.ask(ctx), nil
}

func (s *session) ask(ctx context.Context) []Pong {
	list := s.list()
	pongs := make([]Pong, len(list))
	done := make(chan struct{}, len(list))
	for i, c := range list {
		go func() {
			pongs[i] = c.ask(ctx)
			done <- struct{}{}
		}()
	}
	for range list {
		<-done
	}
	return pongs
}

// ask sends a Ping until one is answered. Answers are looked for and not waited for: others ask, too.
func (c *connection) ask(ctx context.Context) Pong {
	const lookEvery = 200 * time.Microsecond
	answered, _ := c.health.latest()
	next := time.Now()
	for {
		if now := time.Now(); !now.Before(next) {
			c.ping(now)
			next = now.Add(repeatAfter)
		}
		if n, rtt := c.health.latest(); n > answered {
			return Pong{Carrier: string(c.carrier), RTT: float64(rtt.Microseconds()) / 1000}
		}
		select {
		case <-ctx.Done():
			return Pong{Carrier: string(c.carrier), Error: "no answer"}
		case <-c.ended:
			return Pong{Carrier: string(c.carrier), Error: "the connection has ended"}
		case <-time.After(lookEvery):
		}
	}
}
