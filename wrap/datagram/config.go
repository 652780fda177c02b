package datagram

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/udp"
)

const (
	// DefaultStack is the name of the stack that is used if none is given.
	DefaultStack = "dtls"

	// DefaultHandshakeTimeout is longer than that of streams: a flight that is lost is sent again after 1, 3, 7, 15 and
	// 31 seconds. https://www.rfc-editor.org/rfc/rfc6347#section-4.2.4.1
	DefaultHandshakeTimeout = time.Minute

	// DefaultQueue is how many bytes of messages may wait for Read.
	DefaultQueue = 256 << 10
)

// A Config says what travels in what. After its first use it must not be changed; it may be shared by any number of
// Conns, and what it takes to make one is made once.
type Config struct {
	// TLS holds certificates, roots, names. With a pre-shared key, which Stack has, it may be nil.
	TLS *tls.Config

	// Codec makes the framing; nil means none: datagrams are DTLS as it is.
	Codec frame.Maker

	// Stack is the DTLS stack, such as dtls.Stack(options). If it has no New, it is looked up by its Name, and without
	// that by DefaultStack.
	Stack bio.Stack

	// MTU is the longest datagram that is sent, in bytes, headers of IP and UDP not counted; 0 means wrap.DefaultMTU,
	// which every path carries. Conn.SetMTU changes it.
	MTU int

	// MaxFrame bounds a received frame over a stream, in bytes; 0 means frame.DefaultMaxFrame.
	MaxFrame int

	// Queue is how many bytes of messages may wait for Read; 0 means DefaultQueue. One message always may.
	Queue int

	// Handler takes the messages instead of Read, which then returns none. It is called by whoever receives, and keeps
	// others waiting as long as it runs: it must not wait. It may write to c and close it. message is valid during the
	// call. When the peer has closed, c is closed, too.
	Handler func(c *Conn, message []byte)

	// HandshakeTimeout bounds the handshake; 0 means DefaultHandshakeTimeout, negative no limit but that of the stack.
	HandshakeTimeout time.Duration

	// IdleTimeout ends a Conn when nothing was sent and nothing authentic has come for so long; 0: never.
	IdleTimeout time.Duration

	// PeerTimeout ends a Conn when nothing authentic has come for so long although something was sent: the peer is
	// dead. It is for protocols that answer; 0: never.
	PeerTimeout time.Duration

	// Linger bounds how long Close waits, over a stream, for what was written to leave; 0 means wrap.DefaultLinger,
	// negative "not at all".
	Linger time.Duration

	// Side receives what the peer's protocol carries besides DTLS, as Handler does.
	Side func(c *Conn, b []byte)

	// OnEvent is told what happens to a Conn, by whoever notices. It must not wait, and may use c.
	OnEvent func(c *Conn, e Event)

	// Trace sees every frame. It is called with locks held, from several goroutines, and must not use the connection.
	Trace func(wrap.Trace)

	// Socket holds options of the sockets that Dial and Listen open.
	Socket udp.Options

	newCID func() []byte // of a shard of a Listener; nil: as the stack has it
	shared [2]shared     // by role
}

// shared is what all Conns of one role have in common.
type shared struct {
	once  sync.Once
	most  int
	maker bio.Maker
	err   error
}

// Clone returns a Config with the same fields that can be changed.
func (c *Config) Clone() *Config {
	return &Config{
		TLS: c.TLS, Codec: c.Codec, Stack: c.Stack, MTU: c.MTU, MaxFrame: c.MaxFrame, Queue: c.Queue,
		Handler: c.Handler, HandshakeTimeout: c.HandshakeTimeout, IdleTimeout: c.IdleTimeout,
		PeerTimeout: c.PeerTimeout, Linger: c.Linger, Side: c.Side, OnEvent: c.OnEvent, Trace: c.Trace,
		Socket: c.Socket,
	}
}

// engine makes the engine of one Conn, whose handshake fits datagrams of most bytes: the same for all Conns, but where
// some of them are over another kind of carrier.
func (c *Config) engine(role frame.Role, most int) (bio.Engine, error) {
	s := &c.shared[role&1]
	s.once.Do(func() {
		s.most = most
		s.maker, s.err = c.engines(role, most)
	})
	maker, err := s.maker, s.err
	if most != s.most {
		maker, err = c.engines(role, most)
	}
	if err != nil {
		return nil, err
	}
	return maker(role)
}

func (c *Config) engines(role frame.Role, most int) (bio.Maker, error) {
	stack, err := c.stack()
	if err != nil {
		return nil, err
	}
	cfg := c.TLS
	m, err := c.machine(role)
	if err != nil {
		return nil, err
	}
	if l, ok := m.(wrap.TLSLimiter); ok && cfg != nil {
		cfg = cfg.Clone()
		l.LimitTLS(cfg, role)
	}
	return stack.New(&bio.Config{TLS: cfg, MTU: most, NewCID: c.newCID, CIDLen: cidLen})
}

func (c *Config) stack() (stack bio.Stack, err error) {
	if stack = c.Stack; stack.New == nil {
		if stack, err = bio.Lookup(cmp.Or(stack.Name, DefaultStack)); err != nil {
			return stack, err
		}
	}
	if !stack.Datagram {
		return stack, fmt.Errorf("datagram: stack %q is for streams: use package wrap", stack.Name)
	}
	return stack, nil
}

func (c *Config) machine(role frame.Role) (frame.Machine, error) {
	if c.Codec == nil {
		return frame.Raw(role)
	}
	m, err := c.Codec(role)
	if err != nil {
		return nil, fmt.Errorf("datagram: codec: %w", err)
	}
	return m, nil
}

func (c *Config) mtu() int      { return cmp.Or(max(c.MTU, 0), wrap.DefaultMTU) }
func (c *Config) queue() int    { return cmp.Or(max(c.Queue, 0), DefaultQueue) }
func (c *Config) maxFrame() int { return cmp.Or(max(c.MaxFrame, 0), frame.DefaultMaxFrame) }

func (c *Config) handshakeTimeout() time.Duration {
	return orDefault(c.HandshakeTimeout, DefaultHandshakeTimeout)
}

func (c *Config) linger() time.Duration { return orDefault(c.Linger, wrap.DefaultLinger) }

// orDefault returns d, the default for 0, and 0 for "none".
func orDefault(d, def time.Duration) time.Duration {
	return max(cmp.Or(d, def), 0)
}

var errNoConfig = errors.New("datagram: a Config is needed")
