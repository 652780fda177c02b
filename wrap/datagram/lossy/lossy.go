// Package lossy is a bad network on loopback, for tests: a relay between clients and a server that loses, repeats and
// reorders their datagrams, drops those that are too long, and gives a client a new address as a NAT does that has
// forgotten it.
package lossy

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Conditions say what a Relay does to datagrams, the same in both directions. The zero value is a good network.
type Conditions struct {
	Loss      float64       // share of datagrams that are lost, 0 to 1
	Duplicate float64       // share of those left that come twice
	Reorder   float64       // share of those left that are overtaken by the next
	Hold      time.Duration // how long one is held for the next to overtake it, at most; 0 is 2 ms
	MTU       int           // longest datagram that gets through, in bytes; 0: any
}

// Stats counts datagrams of both directions.
type Stats struct {
	Passed, Lost, Duplicated, Reordered, TooLong uint64
}

// A Relay passes datagrams between any number of clients and one server. Each client has a socket of its own towards
// the server, as behind a NAT. It is safe for concurrent use.
type Relay struct {
	server netip.AddrPort
	front  *net.UDPConn
	done   sync.WaitGroup

	mu     sync.Mutex
	tap    func(toServer bool, p []byte)
	luck   *luck
	paths  map[netip.AddrPort]*path
	stats  Stats
	closed bool
}

// A path is what the relay knows of a client.
type path struct {
	back               *net.UDPConn
	toServer, toClient lane
}

// New returns a Relay to server. What happens to a datagram depends on seed and on those before it only.
func New(server netip.AddrPort, c Conditions, seed uint64) (*Relay, error) {
	front, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(server.Addr(), 0)))
	if err != nil {
		return nil, err
	}
	front.SetReadBuffer(socketBuffer)
	r := &Relay{server: server, front: front, luck: newLuck(c, seed), paths: map[netip.AddrPort]*path{}}
	r.done.Go(r.fromClients)
	return r, nil
}

// socketBuffer is so large that what is lost was meant to be lost.
const socketBuffer = 4 << 20

// Addr returns the address that clients take for the server's.
func (r *Relay) Addr() netip.AddrPort { return r.front.LocalAddr().(*net.UDPAddr).AddrPort() }

// SetConditions changes the conditions from now on.
func (r *Relay) SetConditions(c Conditions) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.luck.Conditions = c
}

// Tap makes f see each datagram that arrives from now on, before anything happens to it. p is valid during the call. f
// must not use the Relay.
func (r *Relay) Tap(f func(toServer bool, p []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tap = f
}

// Stats returns the counters.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Rebind gives every client a new address towards the server. What the server sends to the old one is lost.
func (r *Relay) Rebind() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for client, p := range r.paths {
		old := p.back
		err := r.connect(client, p)
		if err == nil {
			old.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ToServer sends p to the server as if it came from each client.
func (r *Relay) ToServer(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, path := range r.paths {
		path.back.Write(p)
	}
}

// ToClients sends p to each client as if it came from the server.
func (r *Relay) ToClients(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for client := range r.paths {
		r.front.WriteToUDPAddrPort(p, client)
	}
}

// Close ends the relay and waits for its goroutines.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.closed = true
	err := r.front.Close()
	for _, p := range r.paths {
		p.back.Close()
		p.toServer.forget()
		p.toClient.forget()
	}
	r.mu.Unlock()
	r.done.Wait()
	return err
}

func (r *Relay) fromClients() {
	buf := make([]byte, 1<<16)
	for {
		n, client, err := r.front.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue // what ICMP says
		}
		if p := r.pathOf(client); p != nil {
			r.pass(&p.toServer, true, buf[:n])
		}
	}
}

// pathOf returns the path of a client, a new one if need be; nil if there is none to be had.
func (r *Relay) pathOf(client netip.AddrPort) *path {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.paths[client]; p != nil || r.closed {
		return p
	}
	p := &path{}
	if r.connect(client, p) != nil {
		return nil
	}
	p.toServer.send = func(d []byte) { p.back.Write(d) }
	p.toClient.send = func(d []byte) { r.front.WriteToUDPAddrPort(d, client) }
	r.paths[client] = p
	return p
}

// connect gives a client a socket towards the server.
func (r *Relay) connect(client netip.AddrPort, p *path) error {
	back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.server))
	if err != nil {
		return err
	}
	back.SetReadBuffer(socketBuffer)
	p.back = back
	r.done.Go(func() { r.fromServer(p, back) })
	return nil
}

func (r *Relay) fromServer(p *path, back *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, err := back.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue
		}
		r.pass(&p.toClient, false, buf[:n])
	}
}

func (r *Relay) pass(l *lane, toServer bool, d []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.tap != nil {
		r.tap(toServer, d)
	}
	r.treat(l, d)
}
