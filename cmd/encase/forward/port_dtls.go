package forward

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"sync"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/datagram"
)

// A dtlsPort listens for DTLS over UDP. What one client may cost before it has proven its address, package datagram
// bounds.
type dtlsPort struct {
	port
	spec string // of the codec, and
	cids bool   // whether there are connection IDs: what all clients of a socket have in common
	l    *datagram.Listener

	failing sparseLog // handshakes

	table   sync.Mutex
	clients map[*datagram.Conn]*exchange
}

var (
	errChanged = errors.New("forward: dtls, codec and connection_ids of a UDP address cannot change while it is listened " +
		"on, since its clients share them; start the program anew, or choose another port")
	errRetired = errors.New("forward: nobody is let in any more")
	errFull    = errors.New("forward: too many connections")
)

func listenDTLS(s *service, f *forward) (*dtlsPort, error) {
	side := f.accept.dtls
	p := &dtlsPort{spec: side.spec, cids: side.cids, clients: map[*datagram.Conn]*exchange{}}
	p.init(s, f.accept.address)
	// The first is needed to try the configuration, before a client comes.
	p.use(&route{forward: f})
	cfg := side.config(frame.Server, -1)
	cfg.TLS, cfg.Stack, cfg.Socket.ReadBuffer = nil, p.stack(), listenBuffer
	cfg.Handler = func(c *datagram.Conn, message []byte) {
		if x := p.of(c); x != nil {
			x.take(client, message, 0)
		}
	}
	if err := checkFree(p.address); err != nil {
		return nil, err
	}
	var err error
	p.l, err = datagram.Listen(p.address.network, p.address.target, cfg, datagram.ListenOptions{
		Shards:          shards(),
		MaxPeers:        math.MaxInt32, // the gates bound them
		NoConnectionIDs: !side.cids,
		Opened:          func(c *datagram.Conn) { p.of(c) },
		Failed:          p.failed,
		Closed:          p.closed,
	})
	if err != nil {
		return nil, listenUDPError(err)
	}
	return p, nil
}

// stack returns a stack that makes the engine of each connection as the configuration is then.
func (p *dtlsPort) stack() bio.Stack {
	stack := dtls.Stack(dtls.Options{})
	stack.New = func(c *bio.Config) (bio.Maker, error) {
		m := &latest{port: p, common: *c}
		return m.engine, nil
	}
	return stack
}

// latest makes engines for one socket of a port.
type latest struct {
	port   *dtlsPort
	common bio.Config // what the socket wants of all

	mu    sync.Mutex
	route *route
	maker bio.Maker // of route
}

func (m *latest) engine(role frame.Role) (bio.Engine, error) {
	rt := m.port.current()
	if m.port.isRetired() {
		return nil, errRetired
	}
	if rt.gate != nil { // else it is tried
		if limit, closed := m.port.fullGate(rt); closed != nil {
			m.port.refuse(rt, limit, closed)
			return nil, errFull
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.route != rt {
		maker, err := rt.accept.dtls.maker(&m.common, role, rt.limits.handshake)
		if err != nil {
			return nil, err
		}
		m.route, m.maker = rt, maker
	}
	return m.maker(role)
}

// failed tells the log of a handshake that came to nothing: package datagram counts that and is silent, since it may
// happen as often as strangers like.
func (p *dtlsPort) failed(c *datagram.Conn, why error) {
	var alert *bio.AlertError
	if rt := p.current(); errors.As(why, &alert) || errors.Is(why, os.ErrDeadlineExceeded) {
		p.failing.warn(rt.log, "connection failed", "peer", peerText(c.RemoteAddr()), "reason", reason(why),
			"error", "handshake with a client: "+oneLine(why), "remedy", rt.accept.fault.inHandshake(why))
	}
}

func (p *dtlsPort) bound() string { return address{p.address.network, p.l.Addr().String()}.String() }

func (p *dtlsPort) goesOnWith(f *forward) error {
	if side := f.accept.dtls; side == nil || side.spec != p.spec || side.cids != p.cids {
		return errChanged
	}
	return nil
}

// serve lets clients in until nobody may come any more and all have gone. Package datagram receives.
func (p *dtlsPort) serve(ctx context.Context) {
	p.wait(ctx)
	p.close()
	s := p.l.Stats()
	attrs := []any{slog.String("address", p.address.String()), slog.Uint64("handshakes", s.Opened)}
	for _, n := range []struct {
		name  string
		count uint64
	}{
		{"failed", s.Failed}, {"not_dtls", s.Side}, {"unproven", s.Unproven}, {"no_room", s.MaxPeers + s.BacklogFull},
		{"moved", s.Moved}, {"replaced", s.Replaced},
	} {
		if n.count > 0 {
			attrs = append(attrs, slog.Uint64(n.name, n.count))
		}
	}
	p.current().log.Info("port closed", attrs...)
}

func (p *dtlsPort) close() { p.l.Close() }

// of returns the exchange of a connection, which it begins if there is none; nil if there can be none.
func (p *dtlsPort) of(c *datagram.Conn) *exchange {
	p.table.Lock()
	defer p.table.Unlock()
	if x, ok := p.clients[c]; ok {
		return x
	}
	var x *exchange
	if p.current().gate != nil { // or nobody is to be let in yet
		x = p.enter(c.RemoteAddr(), func() { p.forget(c) })
	}
	p.clients[c] = x
	if x == nil {
		go c.Close()
		return nil
	}
	if mtu := x.accept.dtls.mtu; mtu != 0 {
		c.SetMTU(mtu) // what is wrong with it was found before
	}
	x.log.Debug("accepted", "peer", peerText(x.peer))
	x.start(dtlsOutlet{c}, c)
	return x
}

// closed takes in that a connection has ended.
func (p *dtlsPort) closed(c *datagram.Conn, why error) {
	if x := p.forget(c); x != nil {
		go x.end(client, why)
	}
}

// forget returns the exchange of a connection that has none any more.
func (p *dtlsPort) forget(c *datagram.Conn) *exchange {
	p.table.Lock()
	defer p.table.Unlock()
	x := p.clients[c]
	delete(p.clients, c)
	return x
}
