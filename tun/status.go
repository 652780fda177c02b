package tun

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/lease"
	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
)

// A Status is a snapshot of a Server or a Client, for people and for programs.
type Status struct {
	Role      string       `json:"role"` // server or client
	Interface string       `json:"interface"`
	Offloads  string       `json:"offloads"` // of the interface, without what the kernel has refused
	MTU       int          `json:"mtu"`
	Device    device.Stats `json:"device"`
	Sessions  []Session    `json:"sessions"`

	// Of a server.
	Refused    uint64 `json:"refused,omitempty"`    // connections that came to nothing
	Full       uint64 `json:"full,omitempty"`       // and those for which there was no room
	Unroutable uint64 `json:"unroutable,omitempty"` // packets for addresses that no client has
	// Of a client.
	Reconnects uint64 `json:"reconnects,omitempty"`
}

// A Session is a peer and what it has.
type Session struct {
	ID          string         `json:"id"`
	Peer        string         `json:"peer"` // a client's name, or the server's endpoint
	Addresses   []netip.Prefix `json:"addresses"`
	Networks    []netip.Prefix `json:"networks,omitempty"` // behind a client
	Since       time.Time      `json:"since"`
	MTU         int            `json:"mtu"`
	MTUSource   string         `json:"mtu_source"`
	Active      string         `json:"active"` // the carrier where packets go
	Moves       uint64         `json:"moves"`  // times that they have changed to another carrier
	Lost        uint64         `json:"lost"`   // packets for which there was no connection
	Connections []Connection   `json:"connections"`
}

// A Connection is one of the connections of a Session.
type Connection struct {
	Carrier string     `json:"carrier"`
	Codec   string     `json:"codec"`
	Remote  string     `json:"remote"`
	TLS     string     `json:"tls"`
	Cipher  string     `json:"cipher"`
	Since   time.Time  `json:"since"` // and so the age of its keys
	Works   bool       `json:"works"`
	RTT     float64    `json:"rtt_ms"`
	Loss    float64    `json:"loss"`   // of packets that this end has sent lately, 0 to 1
	Waiting int        `json:"queued"` // bytes
	Stats   link.Stats `json:"stats"`
}

func (s *session) describe(now time.Time) (out Session) {
	out = Session{ID: s.id, MTU: s.mtu, MTUSource: "configured", Moves: s.moves.Load(), Lost: s.lost.Load()}
	if c := s.active.Load(); c != nil {
		out.Active = string(c.carrier)
	}
	for _, c := range s.list() {
		out.Connections = append(out.Connections, c.describe(now))
	}
	return out
}

func (c *connection) describe(now time.Time) Connection {
	state := c.state()
	out := Connection{
		Carrier: string(c.carrier), Codec: c.codec, Remote: c.conn.RemoteAddr().String(), TLS: versionName(state.Version),
		Cipher: tls.CipherSuiteName(state.CipherSuite), Since: c.began, Works: c.health.works(now),
		Waiting: c.queue.Len(), Stats: c.link.Stats(),
	}
	if c.endpoint != "" {
		out.Remote = c.endpoint
	}
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	out.RTT, out.Loss = float64(c.health.rtt.Microseconds())/1000, c.health.loss
	return out
}

func versionName(v uint16) string {
	const dtls12 = 0xfefd
	if v == dtls12 {
		return "DTLS 1.2"
	}
	return tls.VersionName(v)
}

// Status returns a snapshot. It may be called at any time.
func (s *Server) Status() Status {
	now := time.Now()
	out := Status{Role: "server", Interface: s.dev.device.Name(), Offloads: s.dev.device.Offloads().String(),
		MTU: s.cfg.Interface.mtu(), Device: s.dev.device.Stats(), Refused: s.refused.Load(), Full: s.full.Load(),
		Unroutable: s.unroutable.Load()}
	for _, c := range s.clients() {
		d := c.describe(now)
		d.Peer, d.Since, d.Networks = c.id.Name, c.since, c.grant.Networks
		for _, a := range c.lease.Addresses {
			d.Addresses = append(d.Addresses, netip.PrefixFrom(a, a.BitLen()))
		}
		out.Sessions = append(out.Sessions, d)
	}
	slices.SortFunc(out.Sessions, func(a, b Session) int { return strings.Compare(a.Peer, b.Peer) })
	return out
}

// Status returns a snapshot. It may be called at any time.
func (c *Client) Status() Status {
	out := Status{Role: "client", Interface: c.dev.device.Name(), Offloads: c.dev.device.Offloads().String(),
		MTU: c.cfg.Interface.mtu(), Device: c.dev.device.Stats(), Reconnects: c.reconnects.Load()}
	if j := c.current.Load(); j != nil {
		d := j.describe(time.Now())
		d.Peer, d.Since, d.Addresses = j.endpoint.Name, j.since, j.config.Addresses
		out.Sessions = []Session{d}
	}
	return out
}

// Leases returns who has which addresses, or had them.
func (s *Server) Leases() []lease.Lease { return s.leases.List() }

// Kick ends the session of a client for a reason, and reports whether there was one. The client may come again unless
// Authorize refuses it.
func (s *Server) Kick(name string, b wire.Bye) bool {
	s.mu.Lock()
	c := s.byName[name]
	s.mu.Unlock()
	if c == nil {
		return false
	}
	s.log.Info("client is sent away", "client", name, "reason", b.Reason.String())
	c.end(b)
	s.remove(c)
	return true
}

// Review asks Authorize again about all clients that are there, and sends those away that it refuses: after a
// certificate has been revoked, or the list of clients has changed.
func (s *Server) Review() (gone int) {
	if s.cfg.Authorize == nil {
		return 0
	}
	for _, c := range s.clients() {
		if _, err := s.cfg.Authorize(c.id); err != nil && s.Kick(c.id.Name, wire.Bye{Reason: wire.ReasonRevoked}) {
			gone++
		}
	}
	return gone
}
