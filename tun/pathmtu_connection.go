package tun

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap/datagram"
)

// A messagePath is the path of a connection of datagrams.
type messagePath struct{ *datagram.Conn }

// Use makes messages of a size go.
func (p messagePath) Use(size int) { p.SetMTU(size + p.Overhead()) }

// discover prepares to find the path MTU of a connection of datagrams, from what another one has found.
func (c *connection) discover(m *datagram.Conn) {
	var known PathMTU
	if o := pick(c.session.list(), func(o *connection) bool { return o.path != nil }); o != nil {
		known = o.path.describe()
	}
	top := min(c.session.mtu, m.ConfiguredMTU(), link.LongestMessage)
	c.path = newPathMTU(messagePath{m}, top, basePayload-m.Overhead(), safeLength(m), known.To, mtuSource(known.Source))
}

// followPath does what is to be done now about the path MTU. It never waits.
func (c *connection) followPath(now time.Time) {
	if c.path == nil {
		return
	}
	probes, hole := c.path.look(now, c.health.roundTrip(), c.link.Stats().SentBytes)
	for _, p := range probes { // one that has no place in the queue is one that gets lost
		c.queue.PushControl(link.Message{Type: wire.TypeProbe, Body: wire.AppendProbe(nil, p)})
	}
	if hole {
		c.health.forgive()
	}
	d := c.path.describe()
	if d.State != states[settled] {
		return
	}
	if was := c.pathSeen.Swap(int32(d.To)); int(was) != d.To && (was != 0 || d.To < d.Most) {
		c.session.settings.log.Info("path MTU", "session", c.session.id, "mtu", d.To, "source", d.Source, "before", was)
	}
}

// tooLong takes in that a message did not leave; probe is its length, 0 if it was none.
func (c *connection) tooLong(probe int) {
	if probe > 0 {
		c.path.refused(probe)
	}
	c.followPath(time.Now())
}

// controlPath handles what a peer says about the path.
func (c *connection) controlPath(t wire.Type, body []byte) error {
	now := time.Now()
	if t == wire.TypeProbe {
		p, err := wire.ParseProbe(body)
		if err != nil {
			return err
		}
		if c.path != nil {
			c.path.heard(p)
		}
		c.say(wire.TypeProbed, wire.AppendProbed(nil, wire.Probed{ID: p.ID, Length: p.Length}))
		return nil
	}
	p, err := wire.ParseProbed(body)
	if err != nil || c.path == nil {
		return err
	}
	c.path.answered(now, p, c.link.Stats().SentBytes)
	c.followPath(now)
	return nil
}

// A PathMTU says how long packets may be that go to a peer, and come from it, over one connection, in bytes.
type PathMTU struct {
	Peer    string `json:"peer,omitempty"` // of a server: the client
	Carrier string `json:"carrier"`
	Remote  string `json:"remote"`
	To      int    `json:"to"`     // longest packet that is sent there
	Source  string `json:"source"` // of To: configured, probed, or kernel, which has it from a link or ICMP
	From    int    `json:"from"`   // longest that the peer sends, as it says; 0: it has not said
	Most    int    `json:"most"`   // longest that is configured
	// Of datagrams.
	Datagram int       `json:"datagram,omitempty"` // that of To, without the headers of IP and UDP
	State    string    `json:"state,omitempty"`    // verifying, searching or settled
	Searched time.Time `json:"searched,omitzero"`  // when the last search ended
	Probes   uint64    `json:"probes,omitempty"`
	Answers  uint64    `json:"answers,omitempty"`
	Holes    uint64    `json:"holes,omitempty"`    // times that long packets did not arrive, and nothing said why
	Narrowed uint64    `json:"narrowed,omitempty"` // times that the kernel has said less
}

var states = [...]string{verifying: "verifying", searching: "searching", settled: "settled"}

func (m *pathMTU) describe() PathMTU {
	m.mu.Lock()
	defer m.mu.Unlock()
	return PathMTU{To: m.size, Source: string(m.source), From: m.peer, Most: m.top, State: states[m.phase], Searched: m.searched,
		Probes: m.counts.probes, Answers: m.counts.answers, Holes: m.counts.holes, Narrowed: m.counts.narrowed}
}

// pathMTU describes the path of a connection. Over a stream packets are as long as the interface has them.
func (c *connection) pathMTU() PathMTU {
	d := PathMTU{To: c.session.mtu, Source: string(fromConfig), From: c.session.mtu, Most: c.session.mtu}
	if c.path != nil {
		d = c.path.describe()
		d.Datagram = d.To + c.conn.(*datagram.Conn).Overhead()
	}
	d.Carrier, d.Remote = string(c.carrier), cmp.Or(c.endpoint, c.conn.RemoteAddr().String())
	return d
}

// PathMTU says how long packets to and from a client may be, of each of its connections; an empty name means all clients.
// With search each is verified first, and more is looked for: it waits until that is done, or ctx.
func (s *Server) PathMTU(ctx context.Context, name string, search bool) ([]PathMTU, error) {
	var sessions []*session
	var peers []string
	for _, c := range s.clients() {
		if name == "" || c.id.Name == name {
			sessions, peers = append(sessions, c.session), append(peers, c.id.Name)
		}
	}
	if name != "" && len(sessions) == 0 {
		return nil, fmt.Errorf("tun: %w: %s is not connected", ErrNoSession, name)
	}
	lists := pathsOf(ctx, sessions, search)
	for i := range lists {
		for j := range lists[i] {
			lists[i][j].Peer = peers[i]
		}
	}
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, func(a, b PathMTU) int { return cmp.Compare(a.Peer, b.Peer) })
	return all, nil
}

// PathMTU says how long packets to and from the server may be, as Server.PathMTU does. The name has no meaning.
func (c *Client) PathMTU(ctx context.Context, _ string, search bool) ([]PathMTU, error) {
	j := c.current.Load()
	if j == nil {
		return nil, fmt.Errorf("tun: %w: the server is not connected", ErrNoSession)
	}
	return pathsOf(ctx, []*session{j.session}, search)[0], nil
}

// pathsOf describes all connections of sessions.
func pathsOf(ctx context.Context, sessions []*session, search bool) [][]PathMTU {
	lists := make([][]PathMTU, len(sessions))
	var all []*connection
	for _, s := range sessions {
		all = append(all, s.list()...)
	}
	if search {
		searchPaths(ctx, all)
	}
	for i, s := range sessions {
		for _, c := range s.list() {
			lists[i] = append(lists[i], c.pathMTU())
		}
	}
	return lists
}

// searchPaths begins to search anew and waits until all searches are over.
func searchPaths(ctx context.Context, all []*connection) {
	const lookEvery = 20 * time.Millisecond
	for _, c := range all {
		if c.path != nil {
			c.path.again()
			c.followPath(time.Now())
		}
	}
	searching := func(c *connection) bool {
		select {
		case <-c.ended:
			return false
		default:
			return c.path != nil && c.path.describe().State != states[settled]
		}
	}
	for slices.ContainsFunc(all, searching) && wait(ctx, lookEvery) {
	}
}
