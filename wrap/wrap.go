// Package wrap carries TLS in the framing of another protocol: a [Conn] is a net.Conn whose bytes travel as TLS
// records, each in a frame of a codec, over anything that moves bytes.
//
//	Write ─▶ engine ─▶ record ─▶ codec ─▶ frame ─▶ queue ─▶ carrier      (a goroutine sends while the queue is not empty)
//	Read  ◀─ engine ◀─ record ◀─ codec ◀─ frame ◀────────── carrier
//
// The names are those of crypto/tls: [Client], [Server], [Dialer], [Listen], [NewListener], [Config]. What is added is
// Config.Codec, the framing, and the [Carrier]: [Stream] over any io.ReadWriteCloser, [Callbacks] over two functions,
// [Datagram] over any net.PacketConn. Messages with DTLS are the matter of package datagram.
//
//	codec, err := codecs.Parse("length:16be")
//	conn := wrap.Client(wrap.Stream(tcp), &wrap.Config{TLS: tlsConfig, Codec: codec})
//
// A codec authenticates nothing; see package frame. What a peer may not do is bounded and named: a bad frame ends the
// connection with an error that wraps frame.ErrMalformed, a stream that ends without close_notify with
// bio.ErrTruncated.
package wrap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

const (
	// DefaultHandshakeTimeout bounds preamble and handshake together.
	DefaultHandshakeTimeout = 15 * time.Second
	// DefaultLinger bounds how long Close waits for what was written to leave.
	DefaultLinger = 5 * time.Second
	// DefaultWriteBuffer is how many bytes of frames may wait for the carrier before Write waits.
	DefaultWriteBuffer = 256 << 10
)

// A Config says what travels in what. After its first use it must not be changed; it may be shared.
type Config struct {
	// TLS holds certificates, roots, names, versions. A server needs a certificate, a client ServerName (a Dialer takes
	// it from the address).
	TLS *tls.Config

	// Codec makes the framing; nil means frame.Raw: TLS as it is.
	Codec frame.Maker

	// Preambles are held, in order, before the first frame, and before the codec's own. Streams only.
	Preambles []frame.Preamble

	// Stack names the TLS stack, see bio.Stacks; "" means "tls", Go's own.
	Stack string

	// Choose, on a server, chooses the TLS configuration after the ClientHello. It may take as long as the handshake
	// may; ctx ends with that. An error refuses the client.
	Choose func(ctx context.Context, hello *tls.ClientHelloInfo) (*tls.Config, error)

	// MaxFrame bounds a received frame in bytes, its header included; 0 means frame.DefaultMaxFrame. Without framing it
	// has no meaning: there TLS bounds what is kept.
	MaxFrame int

	// MaxRecord bounds the application data of one record in bytes; 0 means as much as TLS and the codec allow.
	MaxRecord int

	// HandshakeTimeout, Linger and WriteBuffer replace the defaults above if positive; a negative duration means
	// "no limit" for the first and "do not wait" for the second.
	HandshakeTimeout, Linger time.Duration
	WriteBuffer              int

	// Side receives what the peer's protocol carries besides TLS, while a frame is handled: it may write to c and close
	// it, but not read from it. b is valid during the call. nil: it is dropped. Conn.WriteSide sends such traffic.
	Side func(c *Conn, b []byte)

	// Trace sees every frame. It is called with locks held, from several goroutines, and must not use the connection.
	Trace func(Trace)

	shared [2]shared // by role
}

// shared is what all connections of one role have in common.
type shared struct {
	once  sync.Once
	maker bio.Maker
	err   error
}

// A Trace tells of one frame. The slices are valid during the call; do not change them.
type Trace struct {
	Sent  bool   // this end's; otherwise the peer's
	Frame []byte // as on the wire
	TLS   []byte // what is in it; nil if that is nothing, or if the codec is a frame.Machine of its own
}

// A TLSLimiter is a frame.Machine whose protocol does not bear all that TLS may do, for example version 1.3 or session
// tickets. LimitTLS changes cfg, which is a copy, and nothing else: it is called for other connections of the same
// Config too, at any time. What Config.Choose and GetConfigForClient choose is limited as well.
type TLSLimiter interface {
	LimitTLS(cfg *tls.Config, role frame.Role)
}

// A HandshakeObserver is a frame.Machine that acts when TLS is established: it derives keys from it (EAP), or ends the
// framing with frame.SwitchRaw (TDS). OnHandshake is called once, between the last flight of this end, which Send was
// told to flush, and the first application data. An error ends the connection.
type HandshakeObserver interface {
	OnHandshake(ev []frame.Event, state *tls.ConnectionState) ([]frame.Event, error)
}

// Clone returns a Config with the same fields that can be changed.
func (c *Config) Clone() *Config {
	return &Config{
		TLS: c.TLS, Codec: c.Codec, Preambles: c.Preambles, Stack: c.Stack, Choose: c.Choose,
		MaxFrame: c.MaxFrame, MaxRecord: c.MaxRecord, HandshakeTimeout: c.HandshakeTimeout, Linger: c.Linger,
		WriteBuffer: c.WriteBuffer, Side: c.Side, Trace: c.Trace,
	}
}

// engine makes the engine of one connection. What all of a role share is made once.
func (c *Config) engine(role frame.Role) (bio.Engine, error) {
	s := &c.shared[role&1]
	s.once.Do(func() { s.maker, s.err = c.engines(role) })
	if s.err != nil {
		return nil, s.err
	}
	return s.maker(role)
}

func (c *Config) engines(role frame.Role) (bio.Maker, error) {
	if c.TLS == nil {
		return nil, errors.New("wrap: Config.TLS is missing")
	}
	name := c.Stack
	if name == "" {
		name = "tls"
	}
	stack, err := bio.Lookup(name)
	if err != nil {
		return nil, err
	}
	m, err := c.machine(role)
	if err != nil {
		return nil, err
	}
	return stack.New(&bio.Config{TLS: limited(c.TLS, m, role), ChooseLate: c.Choose != nil})
}

// limited returns cfg, or a copy of it with the limits of m, which also hold for what it chooses later.
func limited(cfg *tls.Config, m frame.Machine, role frame.Role) *tls.Config {
	l, ok := m.(TLSLimiter)
	if !ok || cfg == nil {
		return cfg
	}
	cfg = cfg.Clone()
	l.LimitTLS(cfg, role)
	if choose := cfg.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			return limited(chosen, m, role), err
		}
	}
	return cfg
}

func (c *Config) machine(role frame.Role) (frame.Machine, error) {
	if c.Codec == nil {
		return frame.Raw(role)
	}
	m, err := c.Codec(role)
	if err != nil {
		return nil, fmt.Errorf("wrap: codec: %w", err)
	}
	return m, nil
}

func (c *Config) handshakeTimeout() time.Duration {
	return orDefault(c.HandshakeTimeout, DefaultHandshakeTimeout)
}
func (c *Config) lingers() time.Duration { return orDefault(c.Linger, DefaultLinger) }

// orDefault returns d, the default for 0, and 0 for "none".
func orDefault(d, def time.Duration) time.Duration {
	switch {
	case d == 0:
		return def
	case d < 0:
		return 0
	}
	return d
}

func (c *Config) writeBuffer() int { return positiveOr(c.WriteBuffer, DefaultWriteBuffer) }
func (c *Config) maxFrame() int    { return positiveOr(c.MaxFrame, frame.DefaultMaxFrame) }

func positiveOr(n, def int) int {
	if n > 0 {
		return n
	}
	return def
}

// Client returns the client's end of a connection over carrier, which it takes over. The handshake is done by the first
// Read, Write or Handshake. An error of the configuration is reported by them, too.
func Client(carrier Carrier, cfg *Config) *Conn { return newConn(carrier, cfg, frame.Client) }

// Server returns the server's end of a connection over carrier; see Client.
func Server(carrier Carrier, cfg *Config) *Conn { return newConn(carrier, cfg, frame.Server) }

func checkServer(cfg *Config) error {
	if cfg == nil || cfg.TLS == nil {
		return errors.New("wrap: a server needs Config.TLS")
	}
	t := cfg.TLS
	if len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil && cfg.Choose == nil {
		return errors.New("wrap: a server needs a certificate: set Config.TLS.Certificates or GetCertificate")
	}
	return nil
}
