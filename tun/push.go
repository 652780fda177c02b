package tun

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/encase-tls/encase/tun/wire"
)

// A Push is what a server tells its clients, all of them alike.
type Push struct {
	Routes  []netip.Prefix
	DNS     []netip.Addr
	Domains []string
	MTU     int // of the tunnel, if less than that of the interface, in bytes; 0: the same
}

// What a client was told last, and whether it knows.
type told struct {
	body      []byte // of Config
	revision  uint32
	confirmed uint32
	mtu       int
	tries     int
	at        time.Time // of the last try
}

const (
	// mostTries is how often a Config is said until it is answered; over a stream once would do.
	mostTries = 15
)

// due reports whether a Config that was said is to be said again.
func (t *told) due(now time.Time) bool {
	return t.revision > t.confirmed && t.tries < mostTries && now.Sub(t.at) >= repeatAfter
}

// SetPush replaces what clients are told. Those that are connected are told at once, if they can be: others, which lack
// wire.FeatureUpdate, when they come again. The error says what is wrong with p for which clients; nothing changes for
// them, and everything for all others.
func (s *Server) SetPush(p Push) error {
	s.push.Store(&p)
	var first error
	for _, c := range s.clients() {
		if err := s.tellAnew(c); err != nil && first == nil {
			first = fmt.Errorf("%w (for %s)", err, shownKey(c.key))
		}
	}
	return first
}

// tellAnew tells a client what has changed for it, if something has.
func (s *Server) tellAnew(c *client) error {
	now := time.Now()
	s.mu.Lock()
	same, err := s.tellingOf(c, c.told.revision)
	if err != nil || bytes.Equal(same.body, c.told.body) {
		s.mu.Unlock()
		return err
	}
	next, err := s.tellingOf(c, c.told.revision+1)
	if err == nil {
		next.confirmed = c.told.confirmed
		c.told = next
	}
	s.mu.Unlock()
	if err == nil {
		s.offer(c, now)
	}
	return err
}

// offer says what a client is to be, if it understands that.
func (s *Server) offer(c *client, now time.Time) {
	s.mu.Lock()
	body := c.told.body
	c.told.at = now
	c.told.tries++
	s.mu.Unlock()
	if a := c.active.Load(); a != nil && slices.Contains(c.hello.Features, wire.FeatureUpdate) {
		a.say(wire.TypeConfig, body)
	}
}

// confirmed takes in that a client has become what it was told.
func (s *Server) confirmed(c *client, revision uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision <= c.told.revision {
		c.told.confirmed = max(c.told.confirmed, revision)
	}
}

// configOf returns the body of the Config for a client.
func (s *Server) configOf(c *client) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.told.body
}

// tellingOf makes out what a client is to be told; s.mu is held.
func (s *Server) tellingOf(c *client, revision uint32) (told, error) {
	push := s.push.Load()
	cfg := wire.Config{
		Version: wire.Version, Features: featuresOf(s.settings.own), Session: c.session.id, Token: c.token,
		MTU: s.mtu(c.hello, push), Revision: revision,
		Routes: append(slices.Clone(push.Routes), c.grant.Routes...), DNS: push.DNS, Domains: push.Domains,
		Keepalive: wire.Seconds(s.settings.keepalive), Dead: wire.Seconds(s.settings.dead),
		Rekey: wire.Seconds(positive(s.cfg.Rekey, DefaultRekey)),
	}
	for i, a := range c.lease.Addresses {
		cfg.Addresses = append(cfg.Addresses, netip.PrefixFrom(a, s.cfg.Pools[i].Bits()))
	}
	cfg.Datagrams = slices.ContainsFunc(s.cfg.Entrances, func(e Entrance) bool { return e.Datagrams != nil })
	for _, a := range s.cfg.Addresses {
		cfg.Gateways = append(cfg.Gateways, a.Addr())
	}
	t := told{body: wire.AppendJSON(nil, cfg), revision: revision, mtu: cfg.MTU}
	if _, err := wire.ParseConfig(t.body); err != nil {
		return told{}, fmt.Errorf("tun: the configuration for clients has %d routes and %d bytes, %d and %d are possible; "+
			"push fewer routes: %w: %v", len(cfg.Routes), len(t.body), wire.MaxRoutes, wire.MaxBody,
			&wire.Bye{Reason: wire.ReasonFull, Text: "the server has more for this client than it can tell"}, err)
	}
	return t, nil
}

// mtu returns that of the tunnel for a client.
func (s *Server) mtu(hello wire.Hello, push *Push) int {
	mtu := s.cfg.Interface.mtu()
	for _, n := range []int{push.MTU, hello.MTU} {
		if n > 0 {
			mtu = min(mtu, n)
		}
	}
	return mtu
}
