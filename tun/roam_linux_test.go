package tun

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// readdress gives a client another address on the same network.
func (c *traveller) readdress(address string) {
	c.r.t.Helper()
	c.ns.IP("addr", "flush", "dev", "eth0")
	c.ns.IP("addr", "add", address+"/24", "dev", "eth0")
	c.ns.IP("route", "add", "default", "via", "10.1.0.1")
}

// comesFrom waits until the newest connections that the server has of each carrier come from an address.
func (c *traveller) comesFrom(address string, carriers ...Carrier) {
	c.r.t.Helper()
	tuntest.Eventually(c.r.t, "the connections come from "+address, func() bool {
		sessions := c.r.server.Status().Sessions
		if len(sessions) != 1 {
			return false
		}
		newest := map[string]string{}
		for _, o := range sessions[0].Connections {
			newest[o.Carrier], _, _ = strings.Cut(o.Remote, ":")
		}
		return !slices.ContainsFunc(carriers, func(k Carrier) bool { return newest[string(k)] != address })
	})
}

var mixtures = map[string][]Carrier{"stream": {Stream}, "datagrams": {Datagrams}, "both": {Stream, Datagrams}}

// A client whose address changes connects anew at once, although nothing is sent and so nothing is missed.
func TestIdleClientMoves(t *testing.T) {
	for name, carriers := range mixtures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			c := r.client("alice.test", nil, carriers...)
			c.address()
			c.comesFrom("10.1.0.2", carriers...)
			before := c.client.Status().Sessions[0]
			c.readdress("10.1.0.77")
			c.comesFrom("10.1.0.77", carriers...)
			tuntest.Connect(r.ns, c.ns, "way2", "10.3.0.1/24", "eth1", "10.3.0.2/24")
			c.ns.IP("route", "add", "10.1.0.1/32", "via", "10.3.0.1", "src", "10.3.0.2")
			c.comesFrom("10.3.0.2", carriers...)
			after := c.client.Status()
			if after.Sessions[0].ID != before.ID || after.Reconnects != 0 || after.Roams < 2 {
				t.Errorf("from %+v\nto %+v", before, after)
			}
		})
	}
}

// The connections that a client had before it moved do not stay at the server until it misses them, for which it has to
// wait long. Those that have taken their place stay.
func TestOldConnectionsRetire(t *testing.T) {
	for name, carriers := range mixtures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *ServerConfig) { cfg.Dead = time.Hour })
			c := r.client("alice.test", nil, carriers...)
			c.address()
			c.comesFrom("10.1.0.2", carriers...)
			for _, address := range []string{"10.1.0.77", "10.1.0.78"} {
				c.readdress(address)
				c.comesFrom(address, carriers...)
			}
			tuntest.Eventually(t, "the server has no connections but the newest", func() bool {
				return len(r.ports()) == len(carriers)
			})
			c.comesFrom("10.1.0.78", carriers...)
			c.ns.Run("ping", "-q", "-c", "3", "-i", "0.2", "10.66.0.1")
			if s := c.client.Status(); s.Reconnects != 0 {
				t.Errorf("the session is another: %+v", s)
			}
		})
	}
}

// What does not concern the way to the server moves nothing.
func TestOtherChangesMoveNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client("alice.test", nil, Stream, Datagrams)
	c.address()
	c.comesFrom("10.1.0.2", Stream, Datagrams)
	roams, before := c.client.Status().Roams, r.ports()
	c.ns.IP("link", "add", "br9", "type", "bridge")
	c.ns.IP("addr", "add", "10.9.0.1/24", "dev", "br9")
	c.ns.IP("link", "set", "br9", "up")
	c.ns.IP("route", "add", "10.10.0.0/16", "dev", "br9")
	c.ns.IP("route", "add", "10.1.0.99/32", "dev", "br9")
	c.ns.IP("link", "del", "br9")
	c.ns.Run("ping", "-q", "-i", "0.1", "-c", "10", "10.66.0.1")
	if s, after := c.client.Status(), r.ports(); s.Roams != roams || len(after) != 2 || !slices.Equal(before, after) {
		t.Errorf("%d of %d moves; from %v to %v", s.Roams, roams, before, after)
	}
}

// ports returns where the connections of the only client come from.
func (r *rig) ports() (list []string) {
	for _, o := range r.server.Status().Sessions[0].Connections {
		list = append(list, o.Carrier+" "+o.Remote)
	}
	return list
}

// Transfers in both directions go on, and lose nothing, when the client's address changes in the middle.
func TestClientMovesDuringTransfers(t *testing.T) {
	for name, carriers := range mixtures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			c := r.client("alice.test", nil, carriers...)
			c.address()
			up, down := tuntest.NewFlow(t, c.ns, r.ns, "10.66.0.1"), tuntest.NewFlow(t, r.ns, c.ns, "10.66.0.2")
			up.Start(tuntest.Noise(1, 1<<40))
			down.Start(tuntest.Noise(2, 1<<40))
			for _, address := range []string{"10.1.0.77", "10.1.0.78", "10.1.0.2"} {
				up.Moves(1 << 20)
				down.Moves(1 << 20)
				c.readdress(address)
				c.comesFrom(address, carriers...)
			}
			up.Moves(1 << 20)
			down.Moves(1 << 20)
			up.Stop()
			down.Stop()
			if s := c.client.Status(); s.Reconnects != 0 {
				t.Errorf("the session is another: %+v", s)
			}
		})
	}
}

// A client that lost its way and its server connects when both are there again.
func TestWayComesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client("alice.test", nil, Stream, Datagrams)
	c.address()
	r.halt()
	c.ns.IP("link", "set", "eth0", "down")
	tuntest.Eventually(t, "the client is not connected", func() bool { return c.client.Status().Reconnects > 0 })
	r.start()
	c.ns.IP("link", "set", "eth0", "up")
	c.ns.IP("route", "add", "default", "via", "10.1.0.1")
	c.comesFrom("10.1.0.2", Stream, Datagrams)
}

// Who waits for the next try, or for an answer by a way that is not any more, waits no longer when there is a way again;
// that there is none is no reason to try.
func TestWaitingForAWay(t *testing.T) {
	ns, other := tuntest.New(t), tuntest.New(t)
	tuntest.Connect(ns, other, "eth0", "192.0.2.2/24", "eth0", "192.0.2.1/24")
	ns.IP("route", "add", "default", "via", "192.0.2.1")
	r := newRoaming(ns.Path(), 0, 0, slog.New(slog.DiscardHandler))
	running := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { r.run(ctx); close(running) }()
	defer func() { cancel(); <-running; r.close() }()
	moved := r.changes()
	dialing, stop := r.bound(ctx, time.Hour)
	defer stop()
	ns.IP("link", "set", "eth0", "down")
	if waitOr(ctx, 4*settleTime, moved); isClosed(moved) {
		t.Error("there is none, and who waits is told to try")
	}
	ns.IP("link", "set", "eth0", "up")
	ns.IP("route", "add", "default", "via", "192.0.2.7")
	if !waitOr(ctx, tuntest.Patience, moved) || !isClosed(moved) {
		t.Fatal("there is one, and nobody is told")
	}
	<-dialing.Done()
	if err := context.Cause(dialing); err != errMoved {
		t.Errorf("what was begun before ends with %v", err)
	}
}

// A way to a link-local address is that through the interface of its zone, whatever other interfaces there are; it stays
// the same until the address here changes, or the interface does.
func TestWayToLinkLocal(t *testing.T) {
	ns, other := tuntest.New(t), tuntest.New(t)
	connect := func(name string) {
		tuntest.Connect(ns, other, name, "192.0.2.2/32", name, "192.0.2.1/32")
	}
	address := func(address string) {
		ns.IP("-6", "addr", "flush", "dev", "eth1")
		ns.IP("-6", "addr", "add", address+"/64", "dev", "eth1", "nodad")
		ns.AwaitAddress(address)
	}
	connect("eth0")
	connect("eth1")
	address("fe80::2")
	r := newRoaming(ns.Path(), 0, 0, slog.New(slog.DiscardHandler))
	defer r.close()
	dial := func(from string) net.Conn {
		return addressed{from: netip.MustParseAddrPort("[" + from + "%eth1]:1000"),
			to: netip.MustParseAddrPort("[fe80::1%eth1]:443")}
	}
	for _, change := range []struct {
		make func()
		from string
	}{
		{func() {}, "fe80::2"},
		{func() { address("fe80::77") }, "fe80::77"},
		{func() { ns.IP("link", "del", "eth1"); connect("eth1"); address("fe80::77") }, "fe80::77"},
	} {
		change.make()
		r.look()
		conn := dial(change.from)
		was := r.way("server", conn)
		if was.Source.String() != change.from || was.Interface == 0 {
			t.Fatalf("from %s: the way is %+v", change.from, was)
		}
		if r.look() || !r.leads(conn, was) {
			t.Errorf("from %s: nothing has changed but the way, which was %+v", change.from, was)
		}
		address("fe80::99")
		if !r.look() || r.leads(conn, was) {
			t.Errorf("from %s: the address has changed, and the way has not: %+v", change.from, was)
		}
	}
}

// addressed is a connection of which nothing is known but where it is.
type addressed struct {
	net.Conn
	from, to netip.AddrPort
}

func (a addressed) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(a.from) }
func (a addressed) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(a.to) }
