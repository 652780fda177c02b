package datagram

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

// A manner is a way in which a client comes and goes.
type manner int

const (
	polite    manner = iota // talks, and says goodbye
	vanishing               // talks, and is not heard of any more
	timid                   // sends a ClientHello, and is not heard of any more
	unlucky                 // talks through a bad network
	manners
)

func (m manner) String() string { return [...]string{"polite", "vanishing", "timid", "unlucky"}[m] }

// A crowd is many clients that come and go.
type crowd struct {
	server netip.AddrPort
	client *Config
	visits [manners]atomic.Int64
	gaveUp atomic.Int64 // of the unlucky
}

// TestSoakCrowd has clients come and go for minutes: what the server takes stays what it is at the beginning, and in the
// end nothing is left of any.
func TestSoakCrowd(t *testing.T) {
	_, duration := soaked(t, 0, 3*time.Minute)
	client, server := configs(t, "length:16be", func(o *dtls.Options) { o.SendCID = true })
	server.Handler, server.IdleTimeout, server.HandshakeTimeout = echo, 5*time.Second, 5*time.Second
	l := listen(t, server, ListenOptions{Shards: 2})
	c := &crowd{server: netip.MustParseAddrPort(l.Addr().String()), client: client}

	const rounds = 8
	before := settled()
	var loads []load
	for round := range rounds {
		c.come(t, uint64(round), duration/rounds)
		eventually(t, "all have gone", func() bool {
			s := l.Stats()
			return s.Peers == 0 && s.Admission.HalfOpen == 0 && loadNow().goroutines <= before.goroutines
		})
		loads = append(loads, settled())
	}
	t.Logf("before %v; after each of %d rounds: %v", before, rounds, loads)
	for m := range manners {
		t.Logf("%d were %v", c.visits[m].Load(), m)
	}
	t.Logf("%d gave up; %+v", c.gaveUp.Load(), l.Stats())
	// The first rounds fill pools and tables, which stay.
	if early, late := loads[1], loads[rounds-1]; late.memory > early.memory+1<<20 {
		t.Errorf("memory grows: %v after the second round, %v after the last", early, late)
	}
	mustEcho(t, dial(t, l, client), "and it still works")
}

// come lets clients come and go for some time, some of them through a bad network.
func (c *crowd) come(t *testing.T, seed uint64, duration time.Duration) {
	relay, err := lossy.New(c.server, lossy.Conditions{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1}, seed)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	end := time.Now().Add(duration)
	var workers sync.WaitGroup
	for worker := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, worker))
		workers.Go(func() {
			for time.Now().Before(end) {
				m := []manner{polite, polite, polite, vanishing, vanishing, timid, unlucky}[rng.IntN(7)]
				c.visits[m].Add(1)
				if err := c.visit(m, relay.Addr()); err != nil {
					t.Errorf("a %v client: %v", m, err)
					return
				}
			}
		})
	}
	workers.Wait()
}

// visit is one client from beginning to end. relay is the way of the unlucky, who may fail.
func (c *crowd) visit(m manner, relay netip.AddrPort) error {
	switch m {
	case timid:
		return c.peek()
	case unlucky:
		if c.talk(m, relay) != nil {
			c.gaveUp.Add(1)
		}
		return nil
	}
	return c.talk(m, c.server)
}

func (c *crowd) talk(m manner, to netip.AddrPort) error {
	conn, err := c.shake(to, 20*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range 3 {
		if err := ask(conn, fmt.Sprintf("message %d", i)); err != nil {
			return err
		}
	}
	if m == vanishing {
		conn.eng.Abort(errVanished) // so that Close says nothing
	}
	return nil
}

// peek begins a handshake and leaves at once.
func (c *crowd) peek() error {
	conn, err := c.shake(c.server, time.Millisecond)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if err == nil {
		conn.Close() // so fast
	}
	return err
}

// shake connects a client within a time.
func (c *crowd) shake(to netip.AddrPort, limit time.Duration) (*Conn, error) {
	sock, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	conn, err := Client(wrap.Datagram(sock, nil, 0), c.client)
	if err != nil {
		sock.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
