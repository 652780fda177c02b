package tun

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
)

// settings are what all sessions of a client or a server have in common.
type settings struct {
	queueLimit      int
	budget          *link.Budget // nil: none
	queueTarget     time.Duration
	keepalive, dead time.Duration
	writers         *link.Writers
	own             device.Offloads // of the device here
	log             *slog.Logger
	route           func(from *session, destination netip.Addr) (to *link.Queue, ok bool) // see link.Config; nil: as there

	// control handles what is not handled by every connection: Hello, Config, Attach.
	control func(c *connection, t wire.Type, body []byte) error
}

// A session is what two ends have agreed on, and the connections over which they move packets: one, or for a time
// several, when a connection is replaced by a new one, or when there are a stream and datagrams. Both ends choose for
// themselves where they send; they receive from all.
type session struct {
	settings *settings
	writer   *link.Writer // of all connections: a flow that moves from one to another stays in order
	id       string
	mtu      int
	far      []netip.Addr    // addresses of the other end's interface
	whole    device.Offloads // what the peer takes whole
	partial  bool
	allowed  func(netip.Addr) bool
	client   *client // whose it is; nil at a client

	active atomic.Pointer[connection] // where packets go; nil: nowhere, they are lost

	mu          sync.Mutex
	connections []*connection // in the order in which they came
	over        *wire.Bye     // why the session has ended; nil: it has not

	lost  atomic.Uint64 // packets without a connection
	moves atomic.Uint64 // times that active has changed to another kind
}

// push sends packets, which it takes over. They may be sent by the caller if others need not wait for that.
func (s *session) push(units []*link.Unit, others bool) {
	c := s.active.Load()
	switch {
	case c == nil:
		s.lost.Add(uint64(len(units)))
		release(units)
	case others:
		c.queue.Push(units...)
	default:
		c.link.Push(units...)
	}
}

func release(units []*link.Unit) {
	for _, u := range units {
		u.Release()
	}
}

// run adds a connection, which then moves packets until it ends, and returns why.
func (s *session) run(c *connection) error {
	s.mu.Lock()
	over := s.over
	s.connections = append(s.connections, c)
	s.mu.Unlock()
	if over != nil { // it has ended while the connection was on its way here
		go c.bye(*over)
	}
	s.choose(time.Now())
	c.followPath(time.Now())
	defer s.detach(c)
	return c.run()
}

func (s *session) detach(c *connection) {
	s.mu.Lock()
	s.connections = slices.DeleteFunc(s.connections, func(o *connection) bool { return o == c })
	s.mu.Unlock()
	s.choose(time.Now())
}

// list returns the connections.
func (s *session) list() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.connections)
}

// tick looks after the connections. It is called a few times in a second.
func (s *session) tick(now time.Time) {
	for _, c := range s.list() {
		ask, giveUp := c.health.look(now, c.link.Stats(), s.settings.keepalive, s.settings.dead)
		switch {
		case giveUp:
			c.end(&wire.Bye{Reason: wire.ReasonIdle})
		case ask || !c.health.proven() && now.Sub(c.began) < stallAfter:
			c.ping(now)
		}
		c.followPath(now)
		c.queue.Trim(now)
	}
	s.retire(now)
	s.choose(now)
}

// askAll asks on all connections whether the peer is there.
func (s *session) askAll(now time.Time) {
	for _, c := range s.list() {
		c.ping(now)
	}
}

// silent reports whether the peer should have been heard by now, and was on no connection.
func (s *session) silent(now time.Time) bool {
	return !slices.ContainsFunc(s.list(), func(c *connection) bool { return !c.health.silent(now) })
}

// maxConnections is how many connections of a kind a session may have: one, and those that replace each other.
const maxConnections = 4

// crowded returns the connection that must go because another of its kind comes, nil if none must.
func (s *session) crowded(carrier Carrier) *connection {
	list := slices.DeleteFunc(s.list(), func(c *connection) bool { return c.carrier != carrier || c.why.Load() != nil })
	if len(list) < maxConnections {
		return nil
	}
	return list[0]
}

func (c *connection) ping(now time.Time) {
	p := c.health.ask(now, c.counts(0))
	c.say(wire.TypePing, wire.AppendPing(nil, p))
}

// choose decides where packets go: to the newest connection of datagrams that works, or else to the newest stream that
// does. When none does, they go on where they went: whatever moves first shows it.
func (s *session) choose(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.active.Load()
	best := pick(s.connections, func(c *connection) bool {
		return c.carrier == Datagrams && c.health.proven() && c.health.works(now)
	})
	if best == nil {
		best = pick(s.connections, func(c *connection) bool { return c.carrier == Stream && c.health.works(now) })
	}
	if best == nil && was != nil && slices.Contains(s.connections, was) {
		return
	}
	if best == nil {
		best = pick(s.connections, func(*connection) bool { return true })
	}
	if best == was {
		return
	}
	s.active.Store(best)
	if was == nil {
		return
	}
	if best != nil {
		if best.carrier != was.carrier {
			s.moves.Add(1)
		}
		was.queue.MoveTo(best.queue)
	}
}

// pick returns the newest connection that f likes.
func pick(list []*connection, f func(*connection) bool) *connection {
	for _, c := range slices.Backward(list) {
		if f(c) {
			return c
		}
	}
	return nil
}

// end ends the session, and tells the peer why.
func (s *session) end(b wire.Bye) {
	s.mu.Lock()
	if s.over == nil {
		s.over = &b
	}
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range s.list() {
		all.Go(func() { c.bye(b) })
	}
	all.Wait()
}
