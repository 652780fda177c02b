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
	"strings"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/tun/lease"
	"github.com/encase-tls/encase/tun/wire"
)

// A Grant is what a client gets besides what all get. Of several sessions of one name only the first has Addresses and
// Networks.
type Grant struct {
	Addresses []netip.Addr   // fixed, out of the pools
	Networks  []netip.Prefix // behind the client: it may send from there, and what goes there is led to it
	Routes    []netip.Prefix // told to it besides those for all
}

// A client is a session and whose it is.
type client struct {
	*session
	id       Identity
	key      string // of its lease, and of this session among others of its name
	token    string
	lease    lease.Lease
	hello    wire.Hello
	since    time.Time
	networks atomic.Pointer[[]netip.Prefix] // those of grant

	// Guarded by Server.mu.
	grant Grant
	told  told
	empty time.Time // since when it has no connection; zero: it has one
}

// keyOf returns the key of a session of a client. A name has no tabulator in it.
func keyOf(name string, slot int) string {
	if slot == 0 {
		return name
	}
	return fmt.Sprintf("%s\t%d", name, slot+1)
}

// shownKey returns a key for people.
func shownKey(key string) string { return strings.Replace(key, "\t", " #", 1) }

// newClient makes a session for a client, perhaps in the place of one that it has.
func (s *Server) newClient(id Identity, hello wire.Hello) (*client, error) {
	grant, err := s.authorize(id)
	if err != nil {
		return nil, err
	}
	c := &client{id: id, grant: grant, hello: hello, since: time.Now(), token: newToken()}
	c.session = &session{
		settings: &s.settings, writer: s.settings.writers.Next(), id: newToken()[:8], whole: offloadsOf(hello.Features),
		partial: slices.Contains(hello.Features, wire.FeaturePartial), client: c,
	}
	c.allowed = c.mayUse
	if err := s.enroll(c); err != nil {
		return nil, err
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
	now := time.Now()
	s.mu.Lock()
	old, slot, err := s.seat(c, now)
	if err == nil {
		err = s.settle(c, slot, now)
	}
	if err == nil {
		s.replace(old, c)
	}
	s.mu.Unlock()
	if err == nil && old != nil {
		go old.end(wire.Bye{Reason: wire.ReasonReplaced})
	}
	return err
}

func newToken() string {
	var b [24]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// mayUse reports whether the client may send from an address.
func (c *client) mayUse(a netip.Addr) bool {
	return slices.Contains(c.lease.Addresses, a) ||
		slices.ContainsFunc(*c.networks.Load(), func(p netip.Prefix) bool { return p.Contains(a) })
}

// run makes a connection of a session carry its packets.
func (s *Server) run(c *client, conn net.Conn, codec string) {
	s.mu.Lock()
	c.empty = time.Time{}
	c.told.tries = 0 // on this connection it may arrive
	s.mu.Unlock()
	connection := c.newConnection(conn, codec)
	if extra := c.crowded(connection.carrier); extra != nil {
		go extra.end(&wire.Bye{Reason: wire.ReasonReplaced})
	}
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
	s.totals.add(connection)
	if errors.Is(why, wire.ErrMalformed) {
		s.totals.Broken++
	}
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
	if s.byKey[c.key] == c {
		delete(s.byKey, c.key)
		s.leases.Release(c.key, time.Now())
	}
	delete(s.byToken, c.token)
	s.table.remove(c.session)
	s.mu.Unlock()
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
func (s *Server) control(c *connection, t wire.Type, body []byte) error {
	switch {
	case t == wire.TypeConfigured:
		revision, err := wire.ParseConfigured(body)
		if err == nil {
			s.confirmed(c.session.client, revision)
		}
		return err
	case c.carrier == Stream: // where nothing is lost, nothing is said twice
	case t == wire.TypeHello: // the answer was lost
		c.say(wire.TypeConfig, s.configOf(c.session.client))
		return nil
	case t == wire.TypeAttach: // said again, because no answer had come yet
		return nil
	}
	return fmt.Errorf("tun: %w: a client sends %v", wire.ErrMalformed, t)
}
