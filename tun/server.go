package tun

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/tun/lease"
	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
)

// A ServerConfig says what a server is like. It must not change while the server runs.
type ServerConfig struct {
	Interface Interface
	// Addresses of the interface. Pools hold those of the clients, at most one of IPv4 and one of IPv6; LeaseFile is
	// where it is kept who has which, empty for nowhere.
	Addresses []netip.Prefix
	Pools     []netip.Prefix
	LeaseFile string

	Entrances []Entrance

	// Authorize decides whether a client, whose certificate TLS has verified, is let in, and what it gets. It is asked
	// for each connection, and what it grants at the first counts. An error refuses the client, and is logged; a
	// *wire.Bye in it is told. nil: all are let in.
	Authorize func(id Identity) (Grant, error)

	Push Push // what clients are told, until SetPush

	Keepalive, Dead, Rekey time.Duration // 0 means the defaults

	ClientToClient ClientToClient

	Limits      Limits
	QueueTarget time.Duration // how long packets may wait as a rule; 0 means link.DefaultTarget

	Log *slog.Logger // nil: slog.Default
}

// Defaults of a ServerConfig.
const (
	DefaultKeepalive = 25 * time.Second
	DefaultDead      = 60 * time.Second
	DefaultRekey     = time.Hour

	// openTime bounds how long a connection may take until it belongs to a session.
	openTime = 15 * time.Second
	// graceTime is how long a session without a connection keeps its place.
	graceTime = time.Minute
)

// A Server is a tunnel with many clients.
type Server struct {
	cfg      ServerConfig
	log      *slog.Logger
	settings settings
	leases   *lease.Book
	dev      *opened
	table    table
	limits   Limits
	gate     *gate

	mu       sync.Mutex
	byKey    map[string]*client
	byToken  map[string]*client
	stopping bool
	failures meter  // of what is logged
	totals   Totals // of connections that have ended

	running sync.WaitGroup

	push atomic.Pointer[Push]

	refused, unroutable, duplicates atomic.Uint64
}

// NewServer makes the device and prepares everything, so that Run will not fail for a reason that is known now.
func NewServer(cfg ServerConfig) (*Server, error) {
	if len(cfg.Entrances) == 0 {
		return nil, errors.New("tun: a server needs an entrance for its clients")
	}
	s, err := newServer(cfg)
	if err != nil {
		return nil, err
	}
	dev, err := cfg.Interface.open()
	if err != nil {
		return nil, err
	}
	if err := dev.network.Apply(dev.device.Index(), cfg.Interface.settings(cfg.Addresses, cfg.Interface.mtu())); err != nil {
		dev.close(s.log)
		return nil, err
	}
	s.use(dev)
	return s, nil
}

// newServer returns a Server without a device.
func newServer(cfg ServerConfig) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, byKey: map[string]*client{}, byToken: map[string]*client{}}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.limits = cfg.Limits.settle()
	s.gate = newGate(s.limits)
	s.push.Store(&cfg.Push)
	own := make([]netip.Addr, len(cfg.Addresses))
	for i, a := range cfg.Addresses {
		own[i] = a.Addr()
	}
	if len(own) == 0 || len(cfg.Pools) == 0 {
		return nil, errors.New("tun: a server needs an address, and a pool for its clients")
	}
	var err error
	s.leases, err = lease.Open(cfg.LeaseFile, cfg.Pools, own...)
	return s, err
}

// use gives a Server its device.
func (s *Server) use(dev *opened) {
	s.dev = dev
	s.settings = settings{
		queueLimit: s.limits.Queue, budget: link.NewBudget(s.limits.QueueAll), queueTarget: s.cfg.QueueTarget,
		writers: dev.writers, own: dev.device.Offloads(), log: s.log,
		keepalive: positive(s.cfg.Keepalive, DefaultKeepalive), dead: positive(s.cfg.Dead, DefaultDead),
		control: s.control, route: s.routeFor,
	}
}

func positive[T int | time.Duration](n, def T) T {
	if n > 0 {
		return n
	}
	return def
}

// Run serves until ctx ends, and returns nil then. Clients are told that the server stops.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.log.Info("tunnel is up", "interface", s.dev.device.Name(), "offloads", s.dev.device.Offloads().String())
	s.running.Go(func() { cancel(s.dev.pump(s.route)) })
	for _, e := range s.cfg.Entrances {
		s.running.Go(func() { s.enter(ctx, e) })
	}
	s.running.Go(func() { s.look(ctx) })
	<-ctx.Done()
	err := context.Cause(ctx)
	s.stop()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// stop ends everything.
func (s *Server) stop() {
	s.mu.Lock()
	s.stopping = true
	all := make([]*client, 0, len(s.byKey))
	for _, c := range s.byKey {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, e := range s.cfg.Entrances {
		if e.Stream != nil {
			e.Stream.Close()
		}
	}
	var told sync.WaitGroup
	for _, c := range all {
		told.Go(func() { c.end(wire.Bye{Reason: wire.ReasonStop}) })
	}
	told.Wait()
	for _, e := range s.cfg.Entrances {
		if e.Datagrams != nil {
			e.Datagrams.Close() // and with it its socket, which the farewell needed
		}
	}
	for _, c := range all {
		s.remove(c)
	}
	s.dev.close(s.log)
	s.running.Wait()
	s.saveLeases()
	s.log.Info("tunnel is down")
}

// route leads packets of the device to their clients, at once those that follow each other to the same address.
func (s *Server) route(units []*link.Unit) {
	for others := false; len(units) > 0; {
		to, n := units[0].Destination(), 1
		for n < len(units) && units[n].Destination() == to {
			n++
		}
		others = others || n < len(units)
		if c := s.table.lookup(to); c != nil {
			c.push(units[:n], others)
		} else {
			s.unroutable.Add(uint64(n))
			release(units[:n])
		}
		units = units[n:]
	}
}

const lookInterval = 250 * time.Millisecond

// look looks after all sessions.
func (s *Server) look(ctx context.Context) {
	const saveEvery = 20 // looks
	for i := 1; wait(ctx, lookInterval); i++ {
		now := time.Now()
		for _, c := range s.clients() {
			c.tick(now)
			s.mu.Lock()
			over := !c.empty.IsZero() && now.Sub(c.empty) > graceTime
			again := c.told.due(now)
			s.mu.Unlock()
			if again {
				s.offer(c, now)
			}
			if over {
				s.log.Info("client gone", "client", c.id.Name, "session", c.session.id)
				s.remove(c)
			}
		}
		s.dev.warn(s.log)
		if i%saveEvery == 0 {
			s.saveLeases()
		}
	}
}

func (s *Server) clients() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*client, 0, len(s.byKey))
	for _, c := range s.byKey {
		list = append(list, c)
	}
	return list
}

func (s *Server) saveLeases() {
	if err := s.leases.Save(); err != nil {
		s.log.Error("leases are not kept", "error", err)
	}
}

// wait waits, and reports whether ctx is still there.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
