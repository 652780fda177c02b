package tun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
)

// A ClientConfig says what a client is like. It must not change while the client runs.
type ClientConfig struct {
	Interface Interface
	// Endpoints are where the server is, in the order in which they are tried. If there are some of both carriers, both
	// are used: datagrams as long as they arrive.
	Endpoints []Endpoint
	// FallbackAfter is how long datagrams alone are tried at first; 0 means DefaultFallback.
	FallbackAfter time.Duration

	// Routes that lead into the tunnel besides those that the server tells. Accept bounds the latter: those outside of
	// it are passed over; nil accepts all.
	Routes []netip.Prefix
	Accept []netip.Prefix
	// Mark is that of the sockets which the Endpoints make, and KillSwitch lets nothing out without the tunnel, from
	// NewClient on: see network.Settings.
	Mark       uint32
	KillSwitch bool
	// Underlay is the file of the network namespace in which the Endpoints connect, such as /run/netns/red; empty: that
	// of this program. A client connects anew when the way from there to the server changes.
	Underlay string

	Name    string // of this machine, for people; may be empty
	Program string

	// OnUp is told what the server has said, when the network is set up for it, and OnDown that it is not any more.
	// OnChange is told what it says later, when that is in force. It need not look at addresses: they stay.
	OnUp     func(interfaceName string, c wire.Config) error
	OnChange func(interfaceName string, c wire.Config)
	OnDown   func(interfaceName string)

	QueueLimit  int           // bytes of packets that may wait for one connection; 0 means link.DefaultLimit
	QueueTarget time.Duration // how long they may wait as a rule; 0 means link.DefaultTarget

	Log *slog.Logger // nil: slog.Default
}

// An Endpoint is a way to the server.
type Endpoint struct {
	Name    string // for people, such as udp://vpn.example:443
	Carrier Carrier
	Codec   string // for people
	// Dial connects and shakes hands: it returns a *wrap.Conn, or a *datagram.Conn for Datagrams. Names are resolved
	// each time.
	Dial func(ctx context.Context) (net.Conn, error)
}

const (
	// DefaultFallback is how long datagrams alone are tried.
	DefaultFallback = 5 * time.Second

	leastPause = 500 * time.Millisecond
	mostPause  = 30 * time.Second
	// finalPause is how long a client waits that the server does not want: an operator may change that.
	finalPause = 5 * time.Minute

	// forgottenPause is how long it waits if the server has forgotten it.
	forgottenPause = 100 * time.Millisecond

	// repeatAfter is when what was said over datagrams is said again.
	repeatAfter = time.Second
	// overlap is how long a connection goes on behind one that replaces it: for what is on its way.
	overlap = 2 * time.Second
)

// A Client is one end of a tunnel.
type Client struct {
	cfg      ClientConfig
	log      *slog.Logger
	settings settings
	dev      *opened
	current  atomic.Pointer[joined]
	resume   string
	up       bool
	roam     *roaming

	reconnects atomic.Uint64
}

// A joined is the session that a client has.
type joined struct {
	*session
	config   wire.Config                 // of the beginning
	latest   atomic.Pointer[wire.Config] // what is in force
	offered  atomic.Pointer[wire.Config] // what the server has said since; nil: nothing
	endpoint Endpoint                    // of the first connection
	since    time.Time
	ctx      context.Context // ends with the session
	leave    context.CancelCauseFunc
	running  sync.WaitGroup
}

// NewClient makes the device, which has neither address nor route before Run has heard of the server.
func NewClient(cfg ClientConfig) (*Client, error) {
	c := &Client{cfg: cfg, log: cfg.Log}
	if c.log == nil {
		c.log = slog.Default()
	}
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("tun: a client needs an endpoint")
	}
	var err error
	if c.dev, err = cfg.Interface.open(); err != nil {
		return nil, err
	}
	if n, err := c.dev.network.Sweep(); err != nil {
		c.log.Warn("what an earlier program left behind cannot be removed", "error", err)
	} else if n > 0 {
		c.log.Info("removed what an earlier program left behind", "rules_and_routes", n)
	}
	if err := c.closeUp(); err != nil {
		c.dev.close(c.log)
		return nil, err
	}
	c.settings = settings{
		queueLimit: cfg.QueueLimit, queueTarget: cfg.QueueTarget, writers: c.dev.writers, own: c.dev.device.Offloads(),
		control: c.control, log: c.log,
	}
	own := c.dev.device.Index()
	if cfg.Underlay != cfg.Interface.Namespace {
		own = 0 // it is elsewhere
	}
	c.roam = newRoaming(cfg.Underlay, cfg.Mark, own, c.log)
	return c, nil
}

// closeUp turns the kill switch on: until the server has said what goes through the tunnel, that is everything.
func (c *Client) closeUp() error {
	if !c.cfg.KillSwitch {
		return nil
	}
	s := c.cfg.Interface.settings(nil, c.cfg.Interface.mtu())
	s.Mark, s.KillSwitch, s.Routes = c.cfg.Mark, true, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil { // this machine has IPv6
		s.Routes = append(s.Routes, netip.MustParsePrefix("::/0"))
	}
	return c.dev.network.Apply(c.dev.device.Index(), s)
}

// Run keeps the tunnel up until ctx ends, and returns nil then. Failures of the network end nothing.
func (c *Client) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	running.Go(func() { cancel(c.dev.pump(c.route)) })
	running.Go(func() { c.roam.run(ctx) })
	pause := leastPause
	for ctx.Err() == nil {
		began, moved := time.Now(), c.roam.changes()
		err := c.session(ctx)
		if ctx.Err() != nil {
			break
		}
		c.reconnects.Add(1)
		if time.Since(began) > mostPause {
			pause, moved = leastPause, c.roam.changes()
		}
		if _, ok := errors.AsType[*wire.Bye](err); ok {
			moved = nil // by whatever way, the server has been reached
		}
		next := c.pauseAfter(err, pause)
		c.log.Warn("not connected", "error", err, "next_try", next.Round(time.Millisecond).String())
		waitOr(ctx, next, moved)
		if pause = min(2*pause, mostPause); isClosed(moved) {
			pause = leastPause
		}
	}
	err := context.Cause(ctx)
	c.down()
	c.dev.close(c.log)
	running.Wait()
	c.roam.close()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// pauseAfter returns when to try again. Clients that have lost the same server do not come back at the same moment.
func (c *Client) pauseAfter(err error, pause time.Duration) time.Duration {
	var bye *wire.Bye
	if errors.As(err, &bye) {
		switch {
		case bye.Reason.Final():
			pause = finalPause
		case bye.Reason == wire.ReasonReplaced: // the server is there, and does not know the session
			pause = min(pause, forgottenPause)
		}
	}
	return pause/2 + rand.N(pause)
}

// route sends a packet of the device to the server.
func (c *Client) route(units []*link.Unit) {
	if j := c.current.Load(); j != nil {
		j.push(units, false)
		return
	}
	release(units)
}

// session has one session, and returns why it has ended.
func (c *Client) session(ctx context.Context) error {
	j, conn, err := c.begin(ctx)
	if err != nil {
		return err
	}
	j.ctx, j.leave = context.WithCancelCause(ctx)
	defer j.leave(nil)
	c.resume = j.config.Token
	err = c.configure(&j.config)
	if err == nil {
		c.up = true
		if c.cfg.OnUp != nil {
			err = c.cfg.OnUp(c.dev.device.Name(), j.config)
		}
	}
	if err != nil {
		refuse(conn, wire.Bye{Reason: wire.ReasonStop})
		return err
	}
	c.current.Store(j)
	c.log.Info("connected", "endpoint", j.endpoint.Name, "session", j.id, "addresses", fmt.Sprint(j.config.Addresses),
		"mtu", j.mtu)
	j.running.Go(func() { c.carry(j, conn, j.endpoint) })
	for _, carrier := range []Carrier{Datagrams, Stream} {
		if list := c.endpoints(carrier); len(list) > 0 {
			j.running.Go(func() { c.keepUp(j, carrier, list) })
		}
	}
	c.look(j)
	c.current.Store(nil)
	j.end(wire.Bye{Reason: wire.ReasonStop})
	j.running.Wait()
	return context.Cause(j.ctx)
}

func (c *Client) endpoints(carrier Carrier) (list []Endpoint) {
	for _, e := range c.cfg.Endpoints {
		if e.Carrier == carrier {
			list = append(list, e)
		}
	}
	return list
}

// look looks after the session until it ends.
func (c *Client) look(j *joined) {
	lonely := time.Time{}
	for wait(j.ctx, lookInterval) {
		now := time.Now()
		c.update(j)
		c.dev.warn(c.log)
		j.tick(now)
		switch {
		case len(j.list()) > 0:
			lonely = time.Time{}
		case lonely.IsZero():
			lonely = now
		case now.Sub(lonely) > c.settings.dead/4: // begin anew: the server may have forgotten the session
			j.leave(errLonely)
		}
	}
}

var errLonely = errors.New("tun: all connections have ended, and there is no new one")

// configure sets up the network as the server says.
func (c *Client) configure(cfg *wire.Config) error {
	routes := slices.Clone(c.cfg.Routes)
	for _, r := range cfg.Routes {
		if c.accepts(r) {
			routes = append(routes, r)
		} else {
			c.log.Warn("a route of the server is not accepted", "route", r.String())
		}
	}
	s := c.cfg.Interface.settings(cfg.Addresses, min(cfg.MTU, c.cfg.Interface.mtu()))
	s.Routes, s.Mark, s.KillSwitch = routes, c.cfg.Mark, c.cfg.KillSwitch
	return c.dev.network.Apply(c.dev.device.Index(), s)
}

func (c *Client) accepts(r netip.Prefix) bool {
	return c.cfg.Accept == nil || slices.ContainsFunc(c.cfg.Accept, func(a netip.Prefix) bool {
		return a.Bits() <= r.Bits() && a.Contains(r.Addr())
	})
}

func (c *Client) down() {
	if c.up && c.cfg.OnDown != nil {
		c.cfg.OnDown(c.dev.device.Name())
	}
}

// begin finds a way to the server and has a session with it. Ways are tried side by side, but only one at a time says
// Hello: two would each end the other's session.
func (c *Client) begin(ctx context.Context) (*joined, net.Conn, error) {
	ctx, cancel := c.roam.bound(ctx, 2*openTime)
	defer cancel()
	type result struct {
		j    *joined
		conn net.Conn
		err  error
	}
	results := make(chan result, len(c.cfg.Endpoints))
	hello := make(chan struct{}, 1)
	datagramsFailed := make(chan struct{})
	var left atomic.Int64
	left.Store(int64(len(c.endpoints(Datagrams))))
	if left.Load() == 0 {
		close(datagramsFailed)
	}
	for _, e := range c.cfg.Endpoints {
		go func() {
			if e.Carrier == Stream {
				select {
				case <-datagramsFailed:
				case <-time.After(positive(c.cfg.FallbackAfter, DefaultFallback)):
				case <-ctx.Done():
				}
			}
			j, conn, err := c.tryEndpoint(ctx, e, hello)
			if e.Carrier == Datagrams && left.Add(-1) == 0 {
				close(datagramsFailed)
			}
			results <- result{j, conn, err}
		}()
	}
	var all error
	for range c.cfg.Endpoints {
		r := <-results
		if r.err == nil {
			return r.j, r.conn, nil // the others hold nothing: who has not said Hello closes its connection
		}
		all = errors.Join(all, r.err)
	}
	return nil, nil, all
}

// tryEndpoint connects to an endpoint and says Hello when it is its turn, which hello tells.
func (c *Client) tryEndpoint(ctx context.Context, e Endpoint, hello chan struct{}) (*joined, net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	conn, err := e.Dial(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	select {
	case hello <- struct{}{}:
	case <-ctx.Done():
		conn.Close()
		return nil, nil, fmt.Errorf("%s: %w", e.Name, context.Cause(ctx))
	}
	j, err := c.join(ctx, conn, e)
	if err != nil {
		<-hello
		conn.Close()
		return nil, nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	return j, conn, nil // and nobody else says Hello
}

// join says Hello until the server answers.
func (c *Client) join(ctx context.Context, conn net.Conn, e Endpoint) (*joined, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	body := wire.AppendJSON(nil, wire.Hello{
		Version: wire.Version, Features: append(featuresOf(c.settings.own), wire.FeatureUpdate), Name: c.cfg.Name, Program: c.cfg.Program,
		MTU: max(c.cfg.Interface.mtu(), wire.LeastMTU), Resume: c.resume,
	})
	var parts wire.Assembler
	for end := time.Now().Add(openTime); ; {
		if err := tell(conn, wire.TypeHello, body); err != nil {
			return nil, err
		}
		until := end
		if isDatagram(conn) {
			until = time.Now().Add(repeatAfter)
		}
		t, answer, err := hear(conn, &parts, until)
		switch {
		case errors.Is(err, errTimeout) && time.Now().Before(end) && isDatagram(conn):
			continue
		case err != nil:
			return nil, err
		case t != wire.TypeConfig:
			return nil, fmt.Errorf("tun: %w: the server answers with a %v", wire.ErrMalformed, t)
		}
		cfg, err := wire.ParseConfig(answer)
		if err != nil {
			return nil, err
		}
		return c.joined(cfg, e), nil
	}
}

// joined makes the session that a server has told of.
func (c *Client) joined(cfg wire.Config, e Endpoint) *joined {
	c.settings.keepalive, c.settings.dead = time.Duration(cfg.Keepalive), time.Duration(cfg.Dead)
	j := &joined{config: cfg, endpoint: e, since: time.Now()}
	j.latest.Store(&j.config)
	j.session = &session{
		settings: &c.settings, id: cfg.Session, whole: offloadsOf(cfg.Features),
		partial: slices.Contains(cfg.Features, wire.FeaturePartial), mtu: min(cfg.MTU, c.cfg.Interface.mtu()),
		far: cfg.Gateways, writer: c.settings.writers.Next(),
	}
	return j
}

// carry makes a connection move packets until it ends.
func (c *Client) carry(j *joined, conn net.Conn, e Endpoint) {
	connection := j.newConnection(conn, e.Codec)
	connection.endpoint, connection.way = e.Name, c.roam.way(e.Name, conn)
	why := j.run(connection)
	var bye *wire.Bye
	if errors.As(why, &bye) && bye.Reason != wire.ReasonReplaced && bye.Reason != wire.ReasonIdle {
		j.leave(why) // the server has ended the session
		return
	}
	if j.ctx.Err() == nil {
		c.log.Info("connection ended", "endpoint", e.Name, "carrier", string(connection.carrier), "reason", fmt.Sprint(why))
	}
}

// keepUp sees to it that there is a connection of a kind, that it is young enough, and that the peer is heard: a server
// that was started anew does not know connections of datagrams from before, and cannot say so. A new one tells.
func (c *Client) keepUp(j *joined, carrier Carrier, endpoints []Endpoint) {
	pause := leastPause
	for i := 0; waitOr(j.ctx, lookInterval, c.roam.changes()); {
		moved := c.roam.changes()
		have := pick(j.list(), func(o *connection) bool { return o.carrier == carrier })
		good := have != nil && !have.old(time.Duration(j.config.Rekey)) && !have.health.silent(time.Now()) &&
			c.roam.leads(have.conn, have.way)
		if good || carrier == Datagrams && !j.config.Datagrams {
			continue
		}
		err := c.attach(j, endpoints[i%len(endpoints)])
		if err == nil {
			pause = leastPause
			if have != nil {
				j.running.Go(func() { wait(j.ctx, overlap); have.bye(wire.Bye{Reason: wire.ReasonReplaced}) })
			}
			continue
		}
		i++
		c.log.Debug("no further connection", "carrier", string(carrier), "error", err)
		if !waitOr(j.ctx, pause/2+rand.N(pause), moved) {
			return
		}
		if pause = min(2*pause, mostPause); isClosed(moved) {
			pause = leastPause
		}
	}
}

// old reports whether a connection is to be replaced.
func (c *connection) old(most time.Duration) bool { return c.worn.Load() || time.Since(c.began) > most }

// attach gives the session another connection, and waits until it is proven to work.
func (c *Client) attach(j *joined, e Endpoint) error {
	ctx, cancel := c.roam.bound(j.ctx, openTime)
	defer cancel()
	conn, err := e.Dial(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	body := wire.AppendJSON(nil, wire.Attach{Version: wire.Version, Token: j.config.Token})
	if err := tell(conn, wire.TypeAttach, body); err != nil {
		conn.Close()
		return err
	}
	connection := j.newConnection(conn, e.Codec)
	connection.endpoint, connection.way = e.Name, c.roam.way(e.Name, conn)
	ended := make(chan error, 1)
	j.running.Go(func() { ended <- j.run(connection) })
	for range int(openTime / repeatAfter) {
		connection.ping(time.Now())
		select {
		case why := <-ended:
			return c.attachFailed(j, why)
		case <-connection.health.first():
			c.log.Info("connected", "endpoint", e.Name, "session", j.id, "carrier", string(connection.carrier))
			return nil
		case <-ctx.Done():
			connection.end(context.Cause(ctx))
			return context.Cause(ctx)
		case <-time.After(repeatAfter):
			if isDatagram(conn) {
				connection.say(wire.TypeAttach, body)
			}
		}
	}
	connection.end(errNoAnswer)
	return errNoAnswer
}

var errNoAnswer = errors.New("tun: no answer: are datagrams let through?")

// attachFailed takes in that the server does not want another connection. If it does not know the session, a new one is
// needed.
func (c *Client) attachFailed(j *joined, why error) error {
	var bye *wire.Bye
	if errors.As(why, &bye) {
		j.leave(why)
	}
	return why
}
