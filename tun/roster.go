package tun

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/encase-tls/encase/tun/lease"
	"github.com/encase-tls/encase/tun/wire"
)

// A Grant is what a client gets besides what all get.
type Grant struct {
	Addresses []netip.Addr   // fixed, out of the pools
	Networks  []netip.Prefix // behind the client: it may send from there, and what goes there is led to it
	Routes    []netip.Prefix // told to it besides those for all
}

// A client is a session and whose it is.
type client struct {
	*session
	id      Identity
	token   string
	lease   lease.Lease
	grant   Grant
	config  []byte // the body of Config
	hello   wire.Hello
	since   time.Time
	empty   time.Time // since when it has no connection; zero: it has one
	removed bool
}

// newClient makes a session for a client, in the place of the one that it has.
func (s *Server) newClient(id Identity, hello wire.Hello) (*client, error) {
	grant, err := s.authorize(id)
	if err != nil {
		return nil, err
	}
	c := &client{id: id, grant: grant, hello: hello, since: time.Now(), token: newToken()}
	c.session = &session{
		settings: &s.settings, id: newToken()[:8], whole: offloadsOf(hello.Features),
		partial: slices.Contains(hello.Features, wire.FeaturePartial),
		mtu:     s.mtu(hello),
	}
	if err := s.enroll(c); err != nil {
		return nil, err
	}
	c.allowed, c.far = c.mayUse, c.lease.Addresses
	var routes int
	c.config, routes = s.configFor(c)
	if len(c.config) > wire.MaxBody || routes > wire.MaxRoutes {
		s.remove(c)
		return nil, fmt.Errorf("tun: the configuration for clients has %d routes and %d bytes, %d and %d are possible: push "+
			"fewer routes: %w", routes, len(c.config), wire.MaxRoutes, wire.MaxBody,
			&wire.Bye{Reason: wire.ReasonFull, Text: "the server has more routes for this client than it can tell"})
	}
	return c, nil
}

// authorize asks Authorize, and sees to it that a client that is refused is told so.
func (s *Server) authorize(id Identity) (Grant, error) {
	if s.cfg.Authorize == nil {
		return Grant{}, nil
	}
	grant, err := s.cfg.Authorize(id)
	var bye *wire.Bye
	if err != nil && !errors.As(err, &bye) {
		err = fmt.Errorf("tun: %w: %w", &wire.Bye{Reason: wire.ReasonRefused}, err)
	}
	return grant, err
}

// enroll finds a place and addresses for a client.
func (s *Server) enroll(c *client) error {
	s.mu.Lock()
	old := s.byName[c.id.Name]
	if s.stopping {
		s.mu.Unlock()
		return &wire.Bye{Reason: wire.ReasonStop}
	}
	if old == nil && len(s.byName) >= positive(s.cfg.MaxClients, DefaultMaxClients) {
		s.mu.Unlock()
		return &wire.Bye{Reason: wire.ReasonFull}
	}
	l, err := s.leases.Acquire(c.id.Name, c.grant.Addresses, time.Now())
	if err != nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: %w", &wire.Bye{Reason: wire.ReasonFull}, err)
	}
	c.lease = l
	s.byName[c.id.Name], s.byToken[c.token] = c, c
	if old != nil {
		delete(s.byToken, old.token)
		old.removed = true
	}
	s.mu.Unlock()
	s.table.add(c.session, l.Addresses, c.grant.Networks)
	if old != nil {
		s.table.remove(old.session)
		go old.end(wire.Bye{Reason: wire.ReasonReplaced})
	}
	return nil
}

func newToken() string {
	var b [24]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (s *Server) mtu(hello wire.Hello) int {
	mtu := s.cfg.Interface.mtu()
	if hello.MTU > 0 {
		mtu = min(mtu, hello.MTU)
	}
	return mtu
}

// configFor returns what a client is told, and how many routes that has.
func (s *Server) configFor(c *client) (body []byte, routes int) {
	push := s.push.Load()
	cfg := wire.Config{
		Version: wire.Version, Features: featuresOf(s.settings.own), Session: c.session.id, Token: c.token, MTU: c.mtu,
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
	return wire.AppendJSON(nil, cfg), len(cfg.Routes)
}

// mayUse reports whether the client may send from an address.
func (c *client) mayUse(a netip.Addr) bool {
	return slices.Contains(c.lease.Addresses, a) ||
		slices.ContainsFunc(c.grant.Networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// reachable reports whether a client may send to an address.
func (s *Server) reachable(a netip.Addr) bool {
	if s.cfg.ClientToClient || slices.ContainsFunc(s.cfg.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
		return true
	}
	return s.table.lookup(a) == nil && !slices.ContainsFunc(s.cfg.Pools, func(p netip.Prefix) bool { return p.Contains(a) })
}

// run makes a connection of a session carry its packets.
func (s *Server) run(c *client, conn net.Conn, codec string) {
	s.mu.Lock()
	c.empty = time.Time{}
	s.mu.Unlock()
	connection := c.newConnection(conn, codec)
	s.log.Info("client connected", "client", c.id.Name, "session", c.session.id, "from", conn.RemoteAddr().String(),
		"carrier", string(connection.carrier), "codec", codec, "addresses", fmt.Sprint(c.lease.Addresses))
	s.running.Go(func() { s.serve(c, connection) })
}

func (s *Server) serve(c *client, connection *connection) {
	why := c.session.run(connection)
	level := slog.LevelInfo
	if !inOrder(why) {
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, "connection ended", "client", c.id.Name, "session", c.session.id,
		"carrier", string(connection.carrier), "reason", fmt.Sprint(why))
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(c.list()) == 0 {
		c.empty = time.Now()
	}
	var bye *wire.Bye
	if errors.As(why, &bye) && bye.Reason == wire.ReasonStop { // the client has said that it goes
		go s.remove(c)
	}
}

// remove ends a session for ever.
func (s *Server) remove(c *client) {
	s.mu.Lock()
	current := s.byName[c.id.Name] == c
	if current {
		delete(s.byName, c.id.Name)
		s.leases.Release(c.id.Name, time.Now())
	}
	delete(s.byToken, c.token)
	c.removed = true
	s.mu.Unlock()
	s.table.remove(c.session)
	c.mu.Lock()
	if c.over == nil {
		c.over = &wire.Bye{Reason: wire.ReasonReplaced}
	}
	c.mu.Unlock()
	for _, o := range c.list() {
		o.end(net.ErrClosed)
	}
}

// control handles what clients say on a connection that carries packets.
func (s *Server) control(c *connection, t wire.Type, _ []byte) error {
	switch t {
	case wire.TypeHello: // the answer was lost
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, owner := range s.byName {
			if owner.session == c.session {
				c.say(wire.TypeConfig, owner.config)
			}
		}
		return nil
	case wire.TypeAttach: // said again, because no answer had come yet
		return nil
	}
	return fmt.Errorf("tun: %w: a client sends %v", wire.ErrMalformed, t)
}
