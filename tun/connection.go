package tun

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/network"
	"github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap/datagram"
)

// A Carrier is a kind of connection.
type Carrier string

// The carriers.
const (
	Stream    Carrier = "stream"
	Datagrams Carrier = "datagrams"
)

// A connection is one of the connections of a session: TLS over a stream, or DTLS.
type connection struct {
	session  *session
	carrier  Carrier
	codec    string       // as it was configured, for people
	endpoint string       // of a client, for people
	way      network.Path // of a client, which it takes; zero: not known
	conn     net.Conn
	queue    *link.Queue
	link     mover
	health   health
	path     *pathMTU      // of datagrams
	pathSeen atomic.Int32  // what was logged of it
	worn     atomic.Bool   // its keys are nearly
	chatter  meter         // of control messages that are heard
	flooded  atomic.Uint64 // and those that were not
	began    time.Time
	once     sync.Once
	sent     chan struct{} // closed when Send has ended
	ended    chan struct{}
	why      atomic.Pointer[error]
}

// A mover is a link.Stream or link.Datagrams.
type mover interface {
	Send() error
	Push(units ...*link.Unit)
	Receive() error
	Stats() link.Stats
}

// newConnection makes a connection of a session. It moves nothing until it runs.
func (s *session) newConnection(conn net.Conn, codec string) *connection {
	c := &connection{session: s, carrier: Stream, codec: codec, conn: conn, began: time.Now(),
		sent: make(chan struct{}), ended: make(chan struct{})}
	c.queue = link.NewQueue(s.settings.queueLimit, s.settings.queueTarget)
	s.settings.budget.Share(c.queue)
	cfg := c.linkConfig()
	if m, ok := conn.(*datagram.Conn); ok {
		c.carrier = Datagrams
		cfg.Safe, cfg.Refused = safeLength(m), c.tooLong
		c.discover(m)
		c.link = link.NewDatagrams(m, c.queue, s.writer, s.far, cfg)
	} else {
		c.link = link.NewStream(conn, c.queue, s.writer, cfg)
	}
	c.health.init(c.began)
	return c
}

// linkConfig says how a link treats what the connection moves.
func (c *connection) linkConfig() link.Config {
	s := c.session
	cfg := link.Config{
		Allowed: s.allowed, Control: c.control, MTU: s.mtu, Whole: s.whole, Joined: s.settings.own, Partial: s.partial,
	}
	if s.settings.route != nil {
		cfg.Route = func(a netip.Addr) (*link.Queue, bool) { return s.settings.route(s, a) }
	}
	return cfg
}

// run moves packets until the connection ends, and returns why; nil and io.EOF are ends in order.
func (c *connection) run() error {
	go func() {
		defer close(c.sent)
		if err := c.link.Send(); err != nil {
			c.end(err)
		}
	}()
	c.end(c.link.Receive())
	<-c.sent
	return *c.why.Load()
}

// end ends the connection at once, for the first of the reasons that it is given.
func (c *connection) end(why error) {
	c.once.Do(func() {
		c.why.Store(&why)
		c.queue.Close()
		c.conn.Close()
		close(c.ended)
	})
}

// bye tells the peer why the connection, which runs, ends, and ends it when that has left, or has not in time.
func (c *connection) bye(b wire.Bye) {
	const patience = time.Second
	c.say(wire.TypeBye, wire.AppendBye(nil, b))
	c.queue.Close() // Send ends behind the message
	select {
	case <-c.sent:
	case <-c.ended:
	case <-time.After(patience):
	}
	c.end(&b)
}

// say sends a control message. A peer that reads none loses its connection.
func (c *connection) say(t wire.Type, body []byte) {
	if !c.queue.PushControl(link.Message{Type: t, Body: body}) {
		c.end(errNotReading)
	}
}

var errNotReading = errors.New("tun: the peer does not read what it is told")

// maxControl is how many control messages per second are heard of a peer, and as many again at once. An honest one needs
// a few; each may cost an answer.
const maxControl = 200

// control handles a control message of the peer. An error ends the connection. What is too much is not heard: it may
// get lost anyway.
func (c *connection) control(t wire.Type, body []byte) error {
	now := time.Now()
	c.health.hear(now)
	if t != wire.TypeBye && !c.chatter.take(now, maxControl) {
		c.flooded.Add(1)
		return nil
	}
	switch t {
	case wire.TypePing:
		p, err := wire.ParsePing(body)
		if err != nil {
			return err
		}
		c.say(wire.TypePong, wire.AppendPing(nil, c.counts(p.ID)))
	case wire.TypePong:
		p, err := wire.ParsePing(body)
		if err != nil {
			return err
		}
		c.health.pong(p, time.Now())
	case wire.TypeProbe, wire.TypeProbed:
		return c.controlPath(t, body)
	case wire.TypeBye:
		b, err := wire.ParseBye(body)
		if err != nil {
			return err
		}
		return &b
	default:
		return c.session.settings.control(c, t, body)
	}
	return nil
}

// counts is what a Ping or Pong says of this connection.
func (c *connection) counts(id uint32) wire.Ping {
	s := c.link.Stats()
	return wire.Ping{ID: id, Sent: uint32(s.Sent), Received: uint32(s.Received + s.Spoofed + s.Refused)}
}

// state returns what TLS has agreed on.
func (c *connection) state() tls.ConnectionState {
	if s, ok := c.conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return s.ConnectionState()
	}
	return tls.ConnectionState{}
}

// inOrder reports whether an end needs no explanation.
func inOrder(err error) bool {
	var bye *wire.Bye
	if errors.As(err, &bye) {
		return bye.Reason == wire.ReasonStop || bye.Reason == wire.ReasonReplaced
	}
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}
