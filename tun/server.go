package tun

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/tun/lease"
	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap"
)

// A ServerConfig says what a server is like. It must not change while the server runs.
type ServerConfig struct {
	Interface Interface
	// Addresses of the interface. Pools hold those of the clients, at most one of IPv4 and one of IPv6; LeaseFile is
	// where it is kept who has which, empty for nowhere.
	Addresses []netip.Prefix
	Pools     []netip.Prefix
	LeaseFile string

	Entrances []Entrance

	// Authorize decides whether a client, whose certificate TLS has verified, is let in, and what it gets. It is asked
	// for each connection, and what it grants at the first counts. An error refuses the client, and is logged; a
	// *wire.Bye in it is told. nil: all are let in.
	Authorize func(id Identity) (Grant, error)

	// What clients are told, until SetPush.
	Routes  []netip.Prefix
	DNS     []netip.Addr
	Domains []string

	Keepalive, Dead, Rekey time.Duration // 0 means the defaults

	// ClientToClient lets clients reach each other, through the kernel of this machine and its rules: it must forward.
	ClientToClient bool

	MaxClients  int           // 0 means DefaultMaxClients
	MaxHalfOpen int           // connections that have not said who they are; 0 means DefaultMaxHalfOpen
	QueueLimit  int           // bytes of packets that may wait for one connection; 0 means link.DefaultLimit
	QueueTarget time.Duration // how long they may wait as a rule; 0 means link.DefaultTarget

	Log *slog.Logger // nil: slog.Default
}

// Defaults of a ServerConfig.
const (
	DefaultKeepalive   = 25 * time.Second
	DefaultDead        = 60 * time.Second
	DefaultRekey       = time.Hour
	DefaultMaxClients  = 10000
	DefaultMaxHalfOpen = 256

	// openTime bounds how long a connection may take until it belongs to a session.
	openTime = 15 * time.Second
	// graceTime is how long a session without a connection keeps its place.
	graceTime = time.Minute
)

// An Entrance is where clients come in: one of both is set.
type Entrance struct {
	Codec  string       // for people
	Stream net.Listener // gives raw connections, which are wrapped as TLS says
	TLS    *wrap.Config

	Datagrams net.Listener // gives *datagram.Conn whose handshake is done
}

// An Identity is who a client is, as its certificate says.
type Identity struct {
	Name        string // the first DNS name, or else the common name
	Certificate *x509.Certificate
	From        net.Addr
}

// A Grant is what a client gets besides what all get.
type Grant struct {
	Addresses []netip.Addr   // fixed, out of the pools
	Networks  []netip.Prefix // behind the client: it may send from there, and what goes there is led to it
	Routes    []netip.Prefix // told to it besides those for all
}

// A Server is a tunnel with many clients.
type Server struct {
	cfg      ServerConfig
	log      *slog.Logger
	settings settings
	leases   *lease.Book
	dev      *opened
	table    table
	halfOpen chan struct{}

	mu       sync.Mutex
	byName   map[string]*client
	byToken  map[string]*client
	stopping bool

	running sync.WaitGroup

	push atomic.Pointer[Push]

	refused, unroutable, full atomic.Uint64
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

// NewServer makes the device and prepares everything, so that Run will not fail for a reason that is known now.
func NewServer(cfg ServerConfig) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, byName: map[string]*client{}, byToken: map[string]*client{}}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.SetPush(Push{cfg.Routes, cfg.DNS, cfg.Domains})
	own := make([]netip.Addr, len(cfg.Addresses))
	for i, a := range cfg.Addresses {
		own[i] = a.Addr()
	}
	if len(own) == 0 || len(cfg.Pools) == 0 || len(cfg.Entrances) == 0 {
		return nil, errors.New("tun: a server needs an address, a pool for its clients, and an entrance")
	}
	var err error
	if s.leases, err = lease.Open(cfg.LeaseFile, cfg.Pools, own...); err != nil {
		return nil, err
	}
	if s.dev, err = cfg.Interface.open(); err != nil {
		return nil, err
	}
	if err := s.dev.network.Apply(s.dev.device.Index(), cfg.Interface.settings(cfg.Addresses, cfg.Interface.mtu())); err != nil {
		s.dev.close(s.log)
		return nil, err
	}
	s.halfOpen = make(chan struct{}, positive(cfg.MaxHalfOpen, DefaultMaxHalfOpen))
	s.settings = settings{
		queueLimit: cfg.QueueLimit, queueTarget: cfg.QueueTarget, writer: s.dev.writer, own: s.dev.device.Offloads(),
		keepalive: positive(cfg.Keepalive, DefaultKeepalive), dead: positive(cfg.Dead, DefaultDead), gateway: own[0],
		control: s.control, reachable: s.reachable,
	}
	return s, nil
}

func positive[T int | time.Duration](n, def T) T {
	if n > 0 {
		return n
	}
	return def
}

// Run serves until ctx ends, and returns nil then. Clients are told that the server stops.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.log.Info("tunnel is up", "interface", s.dev.device.Name(), "offloads", s.dev.device.Offloads().String())
	s.running.Go(func() { cancel(s.dev.pump(s.route)) })
	for _, e := range s.cfg.Entrances {
		s.running.Go(func() { s.enter(ctx, e) })
	}
	s.running.Go(func() { s.look(ctx) })
	<-ctx.Done()
	err := context.Cause(ctx)
	s.stop()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// stop ends everything.
func (s *Server) stop() {
	s.mu.Lock()
	s.stopping = true
	all := make([]*client, 0, len(s.byName))
	for _, c := range s.byName {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, e := range s.cfg.Entrances {
		if e.Stream != nil {
			e.Stream.Close()
		}
	}
	var told sync.WaitGroup
	for _, c := range all {
		told.Go(func() { c.end(wire.Bye{Reason: wire.ReasonStop}) })
	}
	told.Wait()
	for _, e := range s.cfg.Entrances {
		if e.Datagrams != nil {
			e.Datagrams.Close() // and with it its socket, which the farewell needed
		}
	}
	for _, c := range all {
		s.remove(c)
	}
	s.dev.close(s.log)
	s.running.Wait()
	s.saveLeases()
	s.log.Info("tunnel is down")
}

// route leads a packet of the device to its client.
func (s *Server) route(u *link.Unit) {
	if c := s.table.lookup(u.Destination()); c != nil {
		c.push(u)
		return
	}
	s.unroutable.Add(1)
	u.Release()
}

// enter takes in the connections of an entrance.
func (s *Server) enter(ctx context.Context, e Entrance) {
	l := e.Stream
	if l == nil {
		l = e.Datagrams
	}
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				s.log.Warn("cannot accept", "address", l.Addr().String(), "error", err)
				if wait(ctx, 100*time.Millisecond) {
					continue
				}
			}
			return
		}
		select {
		case s.halfOpen <- struct{}{}:
		default:
			s.full.Add(1)
			c.Close()
			continue
		}
		s.running.Go(func() {
			defer func() { <-s.halfOpen }()
			s.open(ctx, c, e)
		})
	}
}

// wait waits, and reports whether ctx is still there.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// open finds out who is there and what for.
func (s *Server) open(ctx context.Context, raw net.Conn, e Entrance) {
	until := time.Now().Add(openTime)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	conn := raw
	if e.Stream != nil {
		tuned(raw)
		c := wrap.Server(wrap.Stream(raw), e.TLS)
		conn = c
		if err := c.HandshakeContext(ctx); err != nil {
			c.Close()
			s.fail(raw.RemoteAddr(), Identity{}, err)
			return
		}
	}
	id, err := identify(conn)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
		err = s.admit(conn, id, e.Codec, until)
		stop()
	}
	if err == nil {
		return
	}
	s.fail(raw.RemoteAddr(), id, err)
	var bye *wire.Bye
	switch {
	case errors.As(err, &bye):
		refuse(conn, *bye)
	case errors.Is(err, wire.ErrMalformed):
		refuse(conn, wire.Bye{Reason: wire.ReasonProtocol})
	default:
		conn.Close()
	}
}

func (s *Server) fail(from net.Addr, id Identity, err error) {
	s.refused.Add(1)
	s.log.Warn("client not admitted", "from", from.String(), "client", id.Name, "error", err)
}

// identify returns who the peer is.
func identify(conn net.Conn) (Identity, error) {
	id := Identity{From: conn.RemoteAddr()}
	c, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return id, fmt.Errorf("tun: %T has no state of TLS", conn)
	}
	certs := c.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return id, errors.New("tun: the client has no certificate; the server's TLS must require one")
	}
	id.Certificate = certs[0]
	id.Name = certs[0].Subject.CommonName
	if len(certs[0].DNSNames) > 0 {
		id.Name = certs[0].DNSNames[0]
	}
	if id.Name == "" {
		return id, errors.New("tun: the client's certificate has neither a DNS name nor a common name")
	}
	return id, nil
}

// admit gives a connection to a session, a new one or one that exists.
func (s *Server) admit(conn net.Conn, id Identity, codec string, until time.Time) error {
	for {
		t, body, err := hear(conn, until)
		switch {
		case err != nil:
			return err
		case t == wire.TypeAttach:
			return s.attach(conn, id, codec, body)
		case t == wire.TypeHello:
			return s.begin(conn, id, codec, body)
		case !isDatagram(conn): // else it has overtaken what was sent before it
			return fmt.Errorf("tun: %w: a connection begins with a %v", wire.ErrMalformed, t)
		}
	}
}

// attach gives a connection to the session whose token it has, and who is the same client.
func (s *Server) attach(conn net.Conn, id Identity, codec string, body []byte) error {
	a, err := wire.ParseAttach(body)
	if err != nil {
		return err
	}
	s.mu.Lock()
	c := s.byToken[a.Token]
	s.mu.Unlock()
	if c == nil || c.id.Name != id.Name {
		return &wire.Bye{Reason: wire.ReasonReplaced, Text: "there is no such session; begin a new one"}
	}
	if _, err := s.authorize(id); err != nil { // the certificate may be another one than at the beginning
		return err
	}
	s.run(c, conn, codec)
	return nil
}

// begin makes a session.
func (s *Server) begin(conn net.Conn, id Identity, codec string, body []byte) error {
	hello, err := wire.ParseHello(body)
	if err != nil {
		return err
	}
	if hello.Version < wire.Version {
		return &wire.Bye{Reason: wire.ReasonVersion, Text: fmt.Sprintf("version %d is needed", wire.Version)}
	}
	c, err := s.newClient(id, hello)
	if err != nil {
		return err
	}
	if err := tell(conn, wire.TypeConfig, c.config); err != nil {
		s.remove(c)
		return err
	}
	s.run(c, conn, codec)
	return nil
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
	c.allowed = c.mayUse
	c.config = s.configFor(c)
	if len(c.config) > wire.MaxBody {
		s.remove(c)
		return nil, fmt.Errorf("tun: the configuration for clients has %d bytes, %d are possible: fewer routes",
			len(c.config), wire.MaxBody)
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

// configFor returns what a client is told.
func (s *Server) configFor(c *client) []byte {
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
	return wire.AppendJSON(nil, cfg)
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

const lookInterval = 250 * time.Millisecond

// look looks after all sessions.
func (s *Server) look(ctx context.Context) {
	const saveEvery = 20 // looks
	for i := 1; wait(ctx, lookInterval); i++ {
		now := time.Now()
		for _, c := range s.clients() {
			c.tick(now)
			s.mu.Lock()
			over := !c.empty.IsZero() && now.Sub(c.empty) > graceTime
			s.mu.Unlock()
			if over {
				s.log.Info("client gone", "client", c.id.Name, "session", c.session.id)
				s.remove(c)
			}
		}
		if i%saveEvery == 0 {
			s.saveLeases()
		}
	}
}

func (s *Server) clients() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*client, 0, len(s.byName))
	for _, c := range s.byName {
		list = append(list, c)
	}
	return list
}

func (s *Server) saveLeases() {
	if err := s.leases.Save(); err != nil {
		s.log.Error("leases are not kept", "error", err)
	}
}
