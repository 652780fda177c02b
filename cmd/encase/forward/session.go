package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A route is a forward in use: what a connection needs to know, fixed when it begins.
type route struct {
	*forward
	gate *gate
	pool *frame.Pool
	log  *slog.Logger
}

// A session is one connection from its client to its server.
type session struct {
	*route
	peer   net.Addr // who has connected
	origin origin   // of its client
	target address
	began  time.Time
	relay  relay
}

// errDrained is why connections end that outlast the program's patience.
var errDrained = errors.New("forward: the program ends")

// serve forwards one accepted connection, which it takes over, and logs its end. ctx ends it at once; its cause says
// why.
func (rt *route) serve(ctx context.Context, accepted net.Conn) {
	if rt.accept.dtls != nil {
		rt.serveDatagrams(ctx, accepted)
		return
	}
	s := &session{route: rt, peer: accepted.RemoteAddr(), began: time.Now(), relay: relay{pool: rt.pool}}
	s.origin = origin{accepted.RemoteAddr(), accepted.LocalAddr()}
	c, err := newEnd(client, accepted, rt.accept.tls)
	if err == nil {
		err = s.prepare(ctx, c)
	}
	if err != nil {
		s.logFailure(err)
		return
	}
	stop := context.AfterFunc(ctx, func() { s.relay.kill(self, context.Cause(ctx)) })
	by, err := s.relay.run(rt.limits.idle)
	stop()
	s.logEnd(by, err)
}

// A stageError says how far a connection came before it failed.
type stageError struct {
	stage  string
	remedy string
	err    error
}

func (e *stageError) Error() string { return e.stage + ": " + e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

// prepare makes both ends of the relay ready. If it fails it has ended them: the server is not bothered with a client
// that has no right to it.
func (s *session) prepare(ctx context.Context, c *end) error {
	s.relay.ends[client] = c
	if err := c.hold(ctx, s.accept.preambles, s.limits.handshake, &s.origin); err != nil {
		c.close()
		return &stageError{"preamble with the client", inPreamble(err), err}
	}
	if err := c.handshake(ctx); err != nil {
		c.close()
		return &stageError{"handshake with the client", s.accept.fault.inHandshake(err), err}
	}
	s.log.Debug("accepted", "peer", peerText(s.peer))
	srv, err := s.dial(ctx)
	if err != nil {
		c.reset()
		return &stageError{"connect", "is the server up, and the address right?", err}
	}
	s.relay.ends[server] = srv
	if err := srv.hold(ctx, s.connect.preambles, s.limits.handshake, &s.origin); err != nil {
		srv.close()
		c.reset()
		return &stageError{"preamble with the server", inPreamble(err), err}
	}
	if err := srv.handshake(ctx); err != nil {
		srv.close()
		c.reset()
		return &stageError{"handshake with the server", s.connect.fault.inHandshake(err), err}
	}
	if err := s.passLogin(ctx); err != nil {
		srv.close()
		c.reset()
		return &stageError{"login", s.accept.fault.inHandshake(err), err}
	}
	s.log.Debug("connected", "peer", peerText(s.peer), "target", s.target.String())
	return nil
}

// dial connects to the first address that answers.
func (s *session) dial(ctx context.Context) (*end, error) {
	var all error
	dialer := net.Dialer{Timeout: s.limits.connect}
	for _, a := range s.connect.addresses {
		s.target = a
		c, err := dialer.DialContext(ctx, a.network, a.target)
		if err == nil {
			return newEnd(server, c, s.connect.tls)
		}
		all = errors.Join(all, err)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return nil, all
}

// logFailure logs a connection over which nothing was moved.
func (s *session) logFailure(err error) {
	attrs := append(s.attrs(), slog.String("reason", reason(err)), slog.String("error", oneLine(err)))
	var stage *stageError
	if errors.As(err, &stage) && stage.remedy != "" {
		attrs = append(attrs, slog.String("remedy", stage.remedy))
	}
	s.log.LogAttrs(context.Background(), slog.LevelWarn, "connection failed", attrs...)
}

// logEnd logs a connection over which data could be moved.
func (s *session) logEnd(by party, err error) {
	level, msg := slog.LevelInfo, "connection closed"
	attrs := append(s.attrs(), slog.Int64("from_client", s.relay.moved[client].Load()),
		slog.Int64("from_server", s.relay.moved[server].Load()), slog.String("by", by.String()))
	for _, e := range s.relay.ends {
		if e.tls != nil {
			attrs = append(attrs, slog.Group(e.party.String()+"_tls", tlsAttrs(e)...))
		} else if e.left.Key != "" {
			attrs = append(attrs, e.left)
		}
	}
	if err != nil {
		if !errors.Is(err, errGone) {
			level, msg = slog.LevelWarn, "connection cut"
		}
		attrs = append(attrs, slog.String("reason", reason(err)), slog.String("error", oneLine(err)))
		if text := s.remedy(by, err); text != "" {
			attrs = append(attrs, slog.String("remedy", text))
		}
	}
	s.log.LogAttrs(context.Background(), level, msg, attrs...)
}

func (s *session) remedy(by party, err error) string {
	switch {
	case by == client && s.accept.tls != nil:
		return s.accept.fault.remedy(err)
	case by == server && s.connect.tls != nil:
		return s.connect.fault.remedy(err)
	}
	return ""
}

func (s *session) attrs() []slog.Attr {
	target := ""
	if s.target.network != "" {
		target = s.target.String()
	}
	attrs := []slog.Attr{slog.String("peer", peerText(s.peer)), slog.String("target", target),
		slog.String("duration", time.Since(s.began).Round(time.Millisecond).String())}
	if s.origin.src != s.peer {
		attrs = append(attrs, slog.String("origin", peerText(s.origin.src))) // as its proxy says
	}
	return attrs
}

// peerText names a client; one over a Unix socket has no name.
func peerText(a net.Addr) string {
	if a == nil || a.String() == "" || a.String() == "@" {
		return "local"
	}
	return a.String()
}

func oneLine(err error) string { return fmt.Sprintf("%.500s", err) }
