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

// failedPause is how long a client whose server could not be reached is not listened to.
const failedPause = time.Second

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

// enter returns an exchange for a new client; nil if the limits do not allow it. forget is called when another may take
// its place.
func (p *port) enter(peer net.Addr, forget func()) *exchange {
	rt := p.route.Load()
	if limit, g := p.admit(rt); g != nil {
		p.refuse(rt, limit, g, "peer", peerText(peer))
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired {
		p.leave(rt)
		return nil
	}
	var x *exchange
	out := func() {
		forget()
		p.leave(rt)
		p.left(x)
	}
	x = newExchange(rt, peer, func(failed bool) {
		if failed && !p.isRetired() { // each datagram of this client would begin another attempt
			time.AfterFunc(failedPause, out)
			return
		}
		out()
	})
	p.inside[x] = true
	return x
}

// admit lets a client through the gates. If it may not pass, admit returns the gate that is closed, and the name of its
// limit.
func (p *port) admit(rt *route) (limit string, closed *gate) {
	if !p.s.all.enter() {
		return limitAll, &p.s.all
	}
	if !rt.gate.enter() {
		p.s.all.leave()
		return limitOne, rt.gate
	}
	return "", nil
}

func (p *port) leave(rt *route) {
	rt.gate.leave()
	p.s.all.leave()
}

// fullGate returns the gate that is closed, and its limit's name; nil if a client may pass.
func (p *port) fullGate(rt *route) (limit string, closed *gate) {
	switch {
	case p.s.all.full():
		return limitAll, &p.s.all
	case rt.gate.full():
		return limitOne, rt.gate
	}
	return "", nil
}

const limitAll, limitOne = "limits.max_connections", "forward.limits.max_connections"

func (p *port) refuse(rt *route, limit string, g *gate, attrs ...any) {
	p.full.warn(rt.log, "too many connections", append(attrs, "limit", limit, "most", g.most.Load(),
		"refused", g.refused.Load())...)
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
