package tun

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/lease"
	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap/admission"
	"github.com/encase-tls/encase/wrap/datagram"
)

// A Status is a snapshot of a Server or a Client, for people and for programs.
type Status struct {
	Role      string `json:"role"` // server or client
	Interface string `json:"interface"`
	Offloads  string `json:"offloads"` // of the interface, without what the kernel has refused
	// OffloadsOff are the others, and why.
	OffloadsOff []device.Withheld `json:"offloads_off,omitempty"`
	MTU         int               `json:"mtu"`
	Device      device.Stats      `json:"device"`
	Sessions    []Session         `json:"sessions"`

	// Of a server.
	Refused    uint64     `json:"refused,omitempty"`    // connections that came to nothing
	Duplicates uint64     `json:"duplicates,omitempty"` // those refused because the same client was there
	Strangers  *Strangers `json:"strangers,omitempty"`
	Hellos     []Hellos   `json:"hellos,omitempty"`     // of each entrance of datagrams
	Totals     *Totals    `json:"totals,omitempty"`     // of all connections that belonged to a session
	Waiting    int        `json:"queued,omitempty"`     // bytes of memory that wait for all clients
	Unroutable uint64     `json:"unroutable,omitempty"` // packets for addresses that no client has
	// Of a client.
	Reconnects uint64 `json:"reconnects,omitempty"`
	Roams      uint64 `json:"roams,omitempty"` // times that the way to the server has changed
}

// Totals counts what connections have done, those that have ended included.
type Totals struct {
	Connections uint64     `json:"connections"`
	Broken      uint64     `json:"broken"`  // those that ended because the peer broke the protocol
	Flooded     uint64     `json:"flooded"` // control messages that were too many to be heard
	Stats       link.Stats `json:"stats"`
}

func (t *Totals) add(c *connection) {
	t.Connections++
	t.Flooded += c.flooded.Load()
	t.Stats.Add(c.link.Stats())
}

// Hellos tells of those who begin a handshake over datagrams, before anything is known of them.
type Hellos struct {
	HalfOpen  int               `json:"half_open"`  // handshakes under way
	UnderLoad bool              `json:"under_load"` // who comes for the first time is not answered
	Counts    map[string]uint64 `json:"counts"`     // by what became of them: the words of admission.Reason
}

func hellosOf(s admission.Stats) Hellos {
	h := Hellos{HalfOpen: s.HalfOpen, UnderLoad: s.UnderLoad, Counts: map[string]uint64{}}
	for i, n := range s.Counts {
		h.Counts[admission.Reason(i).String()] = n
	}
	return h
}

// A Session is a peer and what it has.
type Session struct {
	ID          string         `json:"id"`
	Peer        string         `json:"peer"` // a client's name, or the server's endpoint
	Addresses   []netip.Prefix `json:"addresses"`
	Networks    []netip.Prefix `json:"networks,omitempty"` // behind a client
	Since       time.Time      `json:"since"`
	MTU         int            `json:"mtu"`        // of packets to the peer, at the moment
	MTUSource   string         `json:"mtu_source"` // see PathMTU
	Active      string         `json:"active"`     // the carrier where packets go
	Moves       uint64         `json:"moves"`      // times that they have changed to another carrier
	Lost        uint64         `json:"lost"`       // packets for which there was no connection
	Connections []Connection   `json:"connections"`
}

// A Connection is one of the connections of a Session.
type Connection struct {
	Carrier string    `json:"carrier"`
	Codec   string    `json:"codec"`
	Remote  string    `json:"remote"`
	TLS     string    `json:"tls"`
	Cipher  string    `json:"cipher"`
	Since   time.Time `json:"since"` // and so the age of its keys
	Works   bool      `json:"works"`
	RTT     float64   `json:"rtt_ms"`
	Loss    float64   `json:"loss"`   // of packets that this end has sent lately, 0 to 1
	Waiting int       `json:"queued"` // bytes
	MTU     int       `json:"mtu"`    // of packets to the peer; see PathMTU for more
	Source  string    `json:"mtu_source"`
	Flooded uint64    `json:"flooded"` // control messages that were too many to be heard
	// Of datagrams: what the kernel does for the socket, gso and gro, and what it does not, and why.
	Offloads    string            `json:"offloads,omitempty"`
	OffloadsOff []device.Withheld `json:"offloads_off,omitempty"`
	Stats       link.Stats        `json:"stats"`
}

func (s *session) describe(now time.Time) (out Session) {
	out = Session{ID: s.id, MTU: s.mtu, MTUSource: string(fromConfig), Moves: s.moves.Load(), Lost: s.lost.Load()}
	if c := s.active.Load(); c != nil {
		path := c.pathMTU()
		out.Active, out.MTU, out.MTUSource = string(c.carrier), path.To, path.Source
	}
	for _, c := range s.list() {
		out.Connections = append(out.Connections, c.describe(now))
	}
	return out
}

func (c *connection) describe(now time.Time) Connection {
	state, path := c.state(), c.pathMTU()
	out := Connection{
		Carrier: string(c.carrier), Codec: c.codec, Remote: c.conn.RemoteAddr().String(), TLS: versionName(state.Version),
		Cipher: tls.CipherSuiteName(state.CipherSuite), Since: ago(c.began, now), Works: c.health.works(now),
		Flooded: c.flooded.Load(), Waiting: c.queue.Len(), Stats: c.link.Stats(),
		MTU: path.To, Source: path.Source,
	}
	out.Offloads, out.OffloadsOff = c.socketOffloads()
	if c.endpoint != "" {
		out.Remote = c.endpoint
	}
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	out.RTT, out.Loss = float64(c.health.rtt.Microseconds())/1000, c.health.loss
	return out
}

// ago returns when something was by the clock of the wall as it goes now: someone may have set it since.
func ago(then, now time.Time) time.Time { return now.Add(-now.Sub(then)).Round(0) }

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
		OffloadsOff: s.dev.device.Withheld(), MTU: s.cfg.Interface.mtu(), Device: s.dev.device.Stats(), Refused: s.refused.Load(),
		Duplicates: s.duplicates.Load(), Waiting: s.settings.budget.Used(),
		Unroutable: s.unroutable.Load()}
	strangers := s.gate.snapshot()
	out.Strangers = &strangers
	for _, e := range s.cfg.Entrances {
		if l, ok := e.Datagrams.(*datagram.Listener); ok {
			out.Hellos = append(out.Hellos, hellosOf(l.Stats().Admission))
		}
	}
	s.mu.Lock()
	totals := s.totals
	s.mu.Unlock()
	out.Totals = &totals
	for _, c := range s.clients() {
		for _, o := range c.list() {
			totals.add(o)
		}
		d := c.describe(now)
		d.Peer, d.Since, d.Networks = shownKey(c.key), ago(c.since, now), *c.networks.Load()
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
		OffloadsOff: c.dev.device.Withheld(), MTU: c.cfg.Interface.mtu(), Device: c.dev.device.Stats(), Reconnects: c.reconnects.Load(),
		Roams: c.roam.times()}
	if j := c.current.Load(); j != nil {
		now := time.Now()
		d := j.describe(now)
		d.Peer, d.Since, d.Addresses = j.endpoint.Name, ago(j.since, now), j.config.Addresses
		out.Sessions = []Session{d}
	}
	return out
}

// Leases returns who has which addresses, or had them.
func (s *Server) Leases() []lease.Lease {
	list := s.leases.List()
	for i := range list {
		list[i].Client = shownKey(list[i].Client)
	}
	return list
}

// Kick ends the sessions of a client for a reason, and reports whether there was one. The client may come again unless
// Authorize refuses it.
func (s *Server) Kick(name string, b wire.Bye) bool {
	list := s.named(name)
	for _, c := range list {
		s.log.Info("client is sent away", "client", shownKey(c.key), "reason", b.Reason.String())
		c.end(b)
		s.remove(c)
	}
	return len(list) > 0
}

// Review asks Authorize again about all clients that are there, and sends those away that it refuses: after a
// certificate has been revoked, or the list of clients has changed. Others get what they are granted now, but for fixed
// addresses: those wait for the next session.
func (s *Server) Review() (gone int) {
	if s.cfg.Authorize == nil {
		return 0
	}
	for _, c := range s.clients() {
		s.mu.Lock()
		id := c.id
		s.mu.Unlock()
		grant, err := s.cfg.Authorize(id)
		if err != nil {
			s.log.Info("client is sent away", "client", shownKey(c.key), "error", err)
			c.end(byeOf(err, wire.ReasonRevoked))
			s.remove(c)
			gone++
			continue
		}
		if err := s.regrant(c, grant); err != nil {
			s.log.Error("a client is not told what has changed", "client", shownKey(c.key), "error", err)
		}
	}
	return gone
}

// regrant gives a client what it is granted now.
func (s *Server) regrant(c *client, grant Grant) error {
	s.mu.Lock()
	if s.byKey[c.key] == c && c.key == c.id.Name {
		c.grant.Networks = grant.Networks
		c.networks.Store(&grant.Networks)
		s.table.remove(c.session)
		s.table.add(c.session, c.lease.Addresses, grant.Networks)
	}
	c.grant.Routes = grant.Routes
	s.mu.Unlock()
	return s.tellAnew(c)
}

// byeOf returns what an error tells a client, for a reason if it has none.
func byeOf(err error, r wire.Reason) wire.Bye {
	var bye *wire.Bye
	if errors.As(err, &bye) {
		return *bye
	}
	return wire.Bye{Reason: r}
}

// named returns the sessions of a client.
func (s *Server) named(name string) []*client {
	return slices.DeleteFunc(s.clients(), func(c *client) bool { return c.id.Name != name && shownKey(c.key) != name })
}
