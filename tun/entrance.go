package tun

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap"
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
		s.receive(ctx, c, e)
	}
}

var errEvicted = errors.New("tun: it took too long to say who it is, while others waited for its place")

// receive gives a stranger a place, if there is one for it.
func (s *Server) receive(ctx context.Context, c net.Conn, e Entrance) {
	ctx, cancel := context.WithCancelCause(ctx)
	var from netip.Addr
	if e.Stream != nil {
		from = addressOf(c.RemoteAddr())
	}
	place, patience := s.gate.come(from, time.Now(), func() { cancel(errEvicted) })
	if place == nil {
		cancel(nil)
		c.Close()
		return
	}
	s.running.Go(func() {
		defer cancel(nil)
		defer s.gate.leave(place)
		s.open(ctx, c, e, patience)
	})
}

// addressOf returns the IP address in a, an invalid one if there is none.
func addressOf(a net.Addr) netip.Addr {
	if t, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return t.AddrPort().Addr().Unmap()
	}
	p, _ := netip.ParseAddrPort(a.String())
	return p.Addr()
}

// open finds out who is there and what for, as long as the stranger may be one.
func (s *Server) open(ctx context.Context, raw net.Conn, e Entrance, patience time.Duration) {
	until := time.Now().Add(patience)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	abrupt := context.AfterFunc(ctx, func() {
		if e.Stream != nil && context.Cause(ctx) == errEvicted {
			raw.Close() // nobody waits for what has not left
		}
	})
	defer abrupt()
	conn := raw
	if e.Stream != nil {
		Tune(raw)
		c := wrap.Server(wrap.Stream(raw), e.TLS)
		conn = c
		if err := c.HandshakeContext(ctx); err != nil {
			s.fail(ctx, raw.RemoteAddr(), Identity{}, err)
			c.Close()
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
	s.fail(ctx, raw.RemoteAddr(), id, err)
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

// fail counts a stranger that is not let in, and logs why. A flood of them does not fill the log.
func (s *Server) fail(ctx context.Context, from net.Addr, id Identity, err error) {
	const perSecond = 10
	s.refused.Add(1)
	switch {
	case context.Cause(ctx) == errEvicted:
		err = errEvicted
	case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		s.gate.late()
	}
	s.mu.Lock()
	loud := s.failures.take(time.Now(), perSecond)
	s.mu.Unlock()
	if loud {
		s.log.Warn("client not admitted", "from", from.String(), "client", id.Name, "error", err)
	}
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
	switch {
	case id.Name == "":
		return id, errors.New("tun: the client's certificate has neither a DNS name nor a common name")
	case len(id.Name) > longestName || strings.ContainsFunc(id.Name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return id, fmt.Errorf("tun: the name %.*q in the client's certificate is not fit to be shown", longestName, id.Name)
	}
	return id, nil
}

// longestName bounds names of clients, in bytes, as DNS does.
const longestName = 255

// admit gives a connection to a session, a new one or one that exists.
func (s *Server) admit(conn net.Conn, id Identity, codec string, until time.Time) error {
	var parts wire.Assembler
	for {
		t, body, err := hear(conn, &parts, until)
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
	s.mu.Lock()
	c.id.Certificate, c.id.From = id.Certificate, id.From // which Review asks about
	s.mu.Unlock()
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
	if err := tell(conn, wire.TypeConfig, s.configOf(c)); err != nil {
		s.remove(c)
		return err
	}
	s.run(c, conn, codec)
	return nil
}
