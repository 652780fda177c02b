package tun

import (
	"net/netip"
	"slices"

	"github.com/encase-tls/encase/tun/link"
)

// ClientToClient says whether the clients of a server reach each other, and how.
type ClientToClient uint8

const (
	// Apart keeps them from each other: what one sends to another is dropped and counted.
	Apart ClientToClient = iota
	// ByKernel lets the kernel of the server pass their packets on: it must forward, and its firewall rules.
	ByKernel
	// Direct passes them on in the server: no firewall sees them. Senders are checked as for all packets.
	Direct
)

// routeFor says where a packet of a client goes.
func (s *Server) routeFor(from *session, a netip.Addr) (to *link.Queue, ok bool) {
	if slices.ContainsFunc(s.cfg.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
		return nil, true
	}
	client := s.table.lookup(a)
	switch {
	case s.cfg.ClientToClient == Apart:
		return nil, client == nil && !slices.ContainsFunc(s.cfg.Pools, func(p netip.Prefix) bool { return p.Contains(a) })
	case s.cfg.ClientToClient == ByKernel || client == nil || client == from:
		return nil, true
	}
	if c := client.active.Load(); c != nil {
		return c.queue, true
	}
	return nil, true
}
