package datagram

import (
	"cmp"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/admission"
	"github.com/encase-tls/encase/wrap/udp"
)

const (
	// DefaultMaxPeers is how many Conns a Listener has at most.
	DefaultMaxPeers = 1 << 16

	// DefaultBacklog is how many Conns may wait for Accept.
	DefaultBacklog = 1024

	// DefaultListenHandshakeTimeout is the default of Config.HandshakeTimeout behind a Listener, where others wait for
	// the place of who does not go on.
	DefaultListenHandshakeTimeout = 30 * time.Second

	// closeTime bounds how long Close waits for a socket to take what is said to all peers.
	closeTime = 2 * time.Second
)

// ListenOptions say how a Listener serves many peers. The zero value is good.
type ListenOptions struct {
	// Shards is how many sockets share the address, each with a goroutine and its part of the peers; 0 means 1. More
	// than there are processors are of no use. Linux only: elsewhere there is one.
	Shards int

	// Limits bound what unproven peers may cost.
	Limits admission.Limits

	// MaxPeers bounds the Conns, those whose handshake is under way included; 0 means DefaultMaxPeers.
	MaxPeers int

	// Backlog bounds the Conns that wait for Accept; 0 means DefaultBacklog. While it is full, no ClientHello is
	// answered, and whose handshake ends is closed.
	Backlog int

	// Opened, if Config.Handler is set, is told of each Conn when its handshake is done; it must not wait. No message
	// reaches the Handler before it has returned.
	Opened func(c *Conn)
	// Failed is told of each Conn whose handshake came to nothing, and why; it must not wait. Whoever can send from an
	// address can make that happen, as often as Limits allow.
	Failed func(c *Conn, why error)
	// Closed is told of each Conn that was Opened or accepted when it has ended, and why; it must not wait.
	Closed func(c *Conn, why error)

	// Side gets what comes and is not DTLS in the framing of Config.Codec, also from addresses of peers: STUN, RTP,
	// TURN and others can share a port, see RFC 7983. What the codec itself tells aside is not for Config.Side then.
	// data is valid during the call, which must not wait. nil: it is counted.
	Side func(from Origin, data []byte)

	// NoConnectionIDs does without them: then a peer whose address changes, as behind a NAT, has to begin anew. They
	// cost clients that want them 8 bytes in each datagram that they send, and others nothing.
	NoConnectionIDs bool
}

// A Listener serves the peers of a UDP address. Each socket has one goroutine that receives for all its Conns; a Conn
// whose handshake is done has none, and no timer.
//
// Datagrams find their Conn by the connection ID in them, and where there is none by the address they come from. A peer
// that is heard from a new address, with a record that is authentic, newer than all before, and has a connection ID,
// has moved, and its Conn goes with it. (That record may have been forwarded by somebody on the path: DTLS 1.2 does not
// ask back. https://www.rfc-editor.org/rfc/rfc9146#section-6) A peer that begins anew from an address that has a Conn
// gets a new one when its handshake is done; the old goes on until then.
//
// What peers may cost that have proven nothing is bounded by ListenOptions.Limits, see package admission. What arrives
// for a Conn that nobody reads is bounded by Config.Queue.
//
// With a codec, one more of it looks into each datagram first, a copy of it, to find records and connection ID. So a
// codec is refused that has a state for each peer, and acts by a clock or holds something back.
type Listener struct {
	cfg     *Config
	options ListenOptions
	shards  []*shard

	gate     sync.Mutex // guards the next three
	admit    *admission.Gate
	halfOpen []*peer // by the slot of their Ticket
	expiry   *time.Timer

	backlog chan *Conn
	peers   atomic.Int64
	closing sync.Once
	closed  chan struct{}
	stats   listenerCounters
}

// Listen listens on a UDP address; network is udp, udp4 or udp6. cfg is that of each Conn: with Config.Handler,
// messages go to it, on the goroutine that receives, and Accept returns nothing.
func Listen(network, address string, cfg *Config, o ListenOptions) (*Listener, error) {
	l, err := newListener(cfg, o)
	if err != nil {
		return nil, err
	}
	socks, err := udp.OpenShards(network, address, max(o.Shards, 1), cfg.Socket)
	if err != nil {
		return nil, err
	}
	return l, l.serve(socks)
}

// NewListener returns a Listener over pc, which it takes over and which must have addresses of IP.
func NewListener(pc net.PacketConn, cfg *Config, o ListenOptions) (*Listener, error) {
	l, err := newListener(cfg, o)
	if err != nil {
		return nil, err
	}
	return l, l.serve([]*udp.Socket{udp.From(pc)})
}

func newListener(cfg *Config, o ListenOptions) (*Listener, error) {
	if cfg == nil {
		return nil, errNoConfig
	}
	if o.Shards > maxShards {
		return nil, fmt.Errorf("datagram: ListenOptions.Shards is %d, want %d at most", o.Shards, maxShards)
	}
	o.MaxPeers = cmp.Or(max(o.MaxPeers, 0), DefaultMaxPeers)
	o.Backlog = cmp.Or(max(o.Backlog, 0), DefaultBacklog)
	l := &Listener{cfg: cfg.Clone(), options: o, closed: make(chan struct{}), backlog: make(chan *Conn, o.Backlog)}
	l.cfg.HandshakeTimeout = cmp.Or(cfg.HandshakeTimeout, DefaultListenHandshakeTimeout)
	var err error
	if l.admit, err = admission.New(o.Limits, time.Now()); err != nil {
		return nil, err
	}
	l.halfOpen = make([]*peer, l.admit.Limits().HalfOpen)
	l.expiry = time.AfterFunc(time.Hour, l.expire)
	return l, l.try()
}

// try makes a Conn that nobody uses: what is wrong with the configuration shows now, and not with the first peer.
func (l *Listener) try() error {
	if _, err := newDemux(l.cfg); err != nil {
		return err
	}
	c, err := newConn(l.cfg, frame.Server, &socketOutput{}, nil, nil, &endpoint{})
	if err != nil {
		return err
	}
	return c.Close()
}

// serve begins to receive. It takes the sockets over, and closes them if it fails.
func (l *Listener) serve(socks []*udp.Socket) error {
	for i, sock := range socks {
		s, err := newShard(l, i, sock)
		if err != nil {
			for _, sock := range socks {
				sock.Close()
			}
			return err
		}
		l.shards = append(l.shards, s)
	}
	for _, s := range l.shards {
		go s.run()
	}
	return nil
}

// Accept waits for a connection whose handshake is done, a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr returns the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.shards[0].sock.LocalAddr() }

// Close ends all Conns, those that were accepted, too, since the socket is theirs as well. Each peer is told by
// close_notify, for which Close waits two seconds at most. It does not wait for a Handler that is under way.
func (l *Listener) Close() error {
	err := net.ErrClosed
	l.closing.Do(func() {
		err = nil
		close(l.closed)
		l.expiry.Stop()
		until := time.Now().Add(closeTime)
		for _, s := range l.shards {
			s.sock.SetWriteDeadline(until)
		}
		for _, s := range l.shards {
			s.closeAll()
			err = cmp.Or(err, s.sock.Close())
		}
	})
	return err
}

// isClosed reports whether Close was called.
func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

var _ net.Listener = (*Listener)(nil)
