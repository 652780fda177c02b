package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/encase-tls/encase/wrap/udp"
)

// drainQuiet is how long a client of UDP may say nothing while the program ends: nothing else tells that it is done.
const drainQuiet = 2 * time.Second

// maxShards bounds the sockets of one address.
const maxShards = 64

// Buffers of the kernel, for bursts. It may grant less, which costs datagrams and nothing else.
const (
	listenBuffer = 4 << 20
	dialBuffer   = 1 << 20
)

// A port is a UDP address that is listened on, by as many sockets as there are processors. Its sockets are those of its
// clients, too: they are closed when nobody is there any more.
type port struct {
	address address
	s       *service
	route   atomic.Pointer[route]
	full    sparseLog

	mu      sync.Mutex
	inside  map[*exchange]bool
	retired bool
	empty   chan struct{} // closed when it is retired, and nobody is inside
}

func (p *port) init(s *service, a address) {
	p.s, p.address, p.inside, p.empty = s, a, map[*exchange]bool{}, make(chan struct{})
}

func (p *port) use(rt *route)   { p.route.Store(rt) }
func (p *port) current() *route { return p.route.Load() }

// enter returns an exchange for a new client; nil if the limits do not allow it. ended is told when it has ended.
func (p *port) enter(peer net.Addr, ended func(failed bool)) *exchange {
	rt := p.route.Load()
	switch {
	case !p.s.all.enter():
		p.refuse(rt, peer, "limits.max_connections", &p.s.all)
		return nil
	case !rt.gate.enter():
		p.s.all.leave()
		p.refuse(rt, peer, "forward.limits.max_connections", rt.gate)
		return nil
	}
	var x *exchange
	leave := func(failed bool) {
		if ended != nil {
			ended(failed)
		}
		rt.gate.leave()
		p.s.all.leave()
		p.left(x)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired {
		rt.gate.leave()
		p.s.all.leave()
		return nil
	}
	x = newExchange(rt, peer, leave)
	p.inside[x] = true
	return x
}

func (p *port) refuse(rt *route, peer net.Addr, limit string, g *gate) {
	p.full.warn(rt.log, "too many connections", "peer", peerText(peer), "limit", limit, "most", g.most.Load(),
		"refused", g.refused.Load())
}

// left takes in that an exchange is over.
func (p *port) left(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.inside, x)
	if p.retired && len(p.inside) == 0 {
		close(p.empty)
	}
}

// retire lets nobody in from now on. Those who are there may finish, soon if the program ends.
func (p *port) retire(soon bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.retired {
		p.retired = true
		if len(p.inside) == 0 {
			close(p.empty)
		}
	}
	for x := range p.inside {
		if soon {
			x.hasten(drainQuiet)
		}
	}
}

func (p *port) isRetired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.retired
}

// wait waits until the port is retired and everybody has gone. When ctx ends, all go.
func (p *port) wait(ctx context.Context) {
	select {
	case <-p.empty:
		return
	case <-ctx.Done():
	}
	p.mu.Lock()
	var all []*exchange
	for x := range p.inside {
		all = append(all, x)
	}
	p.mu.Unlock()
	for _, x := range all {
		go x.end(self, context.Cause(ctx))
	}
	<-p.empty
}

// shards returns how many sockets share an address.
func shards() int { return min(runtime.GOMAXPROCS(0), maxShards) }

// checkFree returns an error if a program has the address. Sockets that share one do so with any program of the same
// user, so that two would get the half of the clients each.
func checkFree(a address) error {
	if shards() == 1 || a.anyPort() {
		return nil
	}
	sock, err := udp.Open(a.network, a.target, udp.Options{})
	if err != nil {
		return listenUDPError(err)
	}
	return sock.Close()
}

func listenUDPError(err error) error {
	remedy := listenRemedy(err)
	if errors.Is(err, syscall.EADDRINUSE) {
		remedy = "; another program has that port, or an earlier configuration of this one: ss -lunp shows which"
	}
	return fmt.Errorf("forward: %w%s", err, remedy)
}

// addrOf returns an address in the form of package net.
func addrOf(a netip.AddrPort) net.Addr { return net.UDPAddrFromAddrPort(a) }
