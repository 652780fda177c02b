package tun

import (
	"fmt"
	"slices"
	"time"

	"github.com/encase-tls/encase/tun/wire"
)

// seat finds out which of the sessions of its name a client is to have, and whose place it takes; nil: nobody's.
func (s *Server) seat(c *client, now time.Time) (old *client, slot int, err error) {
	free := -1
	var there []*client
	for i := range s.limits.SameName {
		if o := s.byKey[keyOf(c.id.Name, i)]; o != nil {
			there = append(there, o)
		} else if free < 0 {
			free = i
		}
	}
	old = s.giveWay(there, c.hello.Resume, free >= 0, now)
	switch {
	case s.stopping:
		return nil, 0, &wire.Bye{Reason: wire.ReasonStop}
	case old != nil:
		return old, s.slotOf(old), nil
	case free < 0:
		s.duplicates.Add(1)
		for _, o := range there {
			go o.askAll(now) // whether they are still there, for the next time
		}
		return nil, 0, &wire.Bye{Reason: wire.ReasonFull, Text: "this client is connected as often as it may be"}
	case len(s.byKey) >= s.limits.Clients:
		return nil, 0, &wire.Bye{Reason: wire.ReasonFull}
	}
	return nil, free, nil
}

// giveWay returns the session of a name that a new one replaces; nil: none.
func (s *Server) giveWay(there []*client, resume string, room bool, now time.Time) *client {
	pick := func(f func(*client) bool) *client {
		if i := slices.IndexFunc(there, f); i >= 0 {
			return there[i]
		}
		return nil
	}
	if o := pick(func(o *client) bool { return o.token == resume }); o != nil {
		return o
	}
	if o := pick(func(o *client) bool { return !o.empty.IsZero() }); o != nil || room {
		return o
	}
	if o := pick(func(o *client) bool { return o.silent(now) }); o != nil || s.limits.KeepOld {
		return o
	}
	return slices.MinFunc(there, func(a, b *client) int { return a.since.Compare(b.since) })
}

func (s *Server) slotOf(c *client) int {
	for i := range s.limits.SameName {
		if keyOf(c.id.Name, i) == c.key {
			return i
		}
	}
	return 0
}

// settle gives a client its addresses, and makes out what it will be told.
func (s *Server) settle(c *client, slot int, now time.Time) error {
	c.key = keyOf(c.id.Name, slot)
	if slot > 0 {
		c.grant.Addresses, c.grant.Networks = nil, nil
	}
	l, err := s.leases.Acquire(c.key, c.grant.Addresses, now)
	if err != nil {
		return fmt.Errorf("%w: %w", &wire.Bye{Reason: wire.ReasonFull}, err)
	}
	c.lease, c.far = l, l.Addresses
	c.networks.Store(&c.grant.Networks)
	if c.told, err = s.tellingOf(c, 0); err != nil && s.byKey[c.key] == nil {
		s.leases.Release(c.key, now)
	}
	c.mtu = c.told.mtu
	return err
}

// replace puts a client into the tables, and takes the one out whose place it has; s.mu is held: of two that come at
// once, the later has the addresses.
func (s *Server) replace(old, c *client) {
	s.byKey[c.key], s.byToken[c.token] = c, c
	s.table.add(c.session, c.lease.Addresses, c.grant.Networks)
	if old != nil {
		delete(s.byToken, old.token)
		s.table.remove(old.session)
	}
}
