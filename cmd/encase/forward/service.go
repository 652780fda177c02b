package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A service runs the forwards of a configuration, and of those that follow it.
type service struct {
	load func() (*config, problems) // reads the configuration again
	logs io.Writer

	log       *slog.Logger
	drain     time.Duration
	listeners map[string]entrance
	gates     map[string]*gate // by the name of the forward; they outlive configurations
	all       gate

	ctx      context.Context // of all sessions; ends when their time is over
	kill     context.CancelCauseFunc
	loops    sync.WaitGroup // accept
	sessions sync.WaitGroup
	stopping chan struct{} // closed when no more is accepted
}

func newService(load func() (*config, problems), logs io.Writer) *service {
	s := &service{
		load: load, logs: logs, log: newLogger(logs, logging{}),
		listeners: map[string]entrance{}, gates: map[string]*gate{}, stopping: make(chan struct{}),
	}
	s.ctx, s.kill = context.WithCancelCause(context.Background())
	return s
}

// start begins to forward.
func (s *service) start(cfg *config) error {
	if err := s.apply(cfg); err != nil {
		return err
	}
	s.log.Info("started", "forwards", len(cfg.forwards), "pid", os.Getpid())
	return nil
}

// run serves until a signal says to stop, and returns when all connections have ended.
func (s *service) run(signals <-chan os.Signal) {
	for sig := range signals {
		if sig != syscall.SIGHUP {
			s.stop(sig, signals)
			return
		}
		s.reload()
	}
}

// reload takes over the configuration and the certificates as they are now, or, if something is wrong, nothing of them.
func (s *service) reload() {
	cfg, found := s.load()
	for _, p := range found.Warnings() {
		s.log.Warn("configuration", "at", p.Place.String(), "problem", p.Text)
	}
	if cfg == nil {
		var e *configError
		errors.As(found.Err(), &e)
		for _, p := range e.Mistakes {
			s.log.Error("configuration", "at", p.Place.String(), "problem", p.Text)
		}
		s.log.Error("not reloaded: everything goes on as it was", "mistakes", len(e.Mistakes))
		return
	}
	if err := s.apply(cfg); err != nil {
		s.log.Error("not reloaded: everything goes on as it was", "error", err)
		return
	}
	s.log.Info("reloaded", "forwards", len(cfg.forwards))
}

// apply makes cfg the configuration of all connections that come from now on; those that are there go on with theirs.
// It changes nothing if an address cannot be listened on.
func (s *service) apply(cfg *config) error {
	opened, err := s.open(cfg)
	if err != nil {
		return err
	}
	s.log, s.drain = newLogger(s.logs, cfg.log), cfg.drain
	s.all.most.Store(cfg.maxConnections)
	wanted := map[string]bool{}
	for _, f := range cfg.forwards {
		key := listenKey(f)
		wanted[key] = true
		s.install(key, opened[key], f)
	}
	for key, l := range s.listeners {
		if !wanted[key] {
			s.log.Info("listening no more", "forward", l.current().name, "address", l.bound())
			l.retire(false)
			delete(s.listeners, key)
		}
	}
	return nil
}

// listenKey says which listener a forward goes on with in the next configuration.
func listenKey(f *forward) string {
	if f.accept.address.anyPort() {
		return f.name + " " + f.accept.address.String()
	}
	return f.accept.address.String()
}

// open opens the addresses that nobody listens on yet, all or none.
func (s *service) open(cfg *config) (opened map[string]entrance, err error) {
	opened = map[string]entrance{}
	for _, f := range cfg.forwards {
		key := listenKey(f)
		l := s.listeners[key]
		if l != nil {
			err = l.goesOnWith(f)
		} else if l, err = s.openEntrance(f); err == nil {
			opened[key] = l
		}
		if err != nil {
			for _, l := range opened {
				l.close()
			}
			return nil, fmt.Errorf("%w (forward %q)", err, f.name)
		}
	}
	return opened, nil
}

// install makes f the route of its entrance, which is the opened one if there is one.
func (s *service) install(key string, opened entrance, f *forward) {
	rt := &route{forward: f, gate: s.gate(f), pool: frame.NewPool(f.limits.buffer), log: s.log.With("forward", f.name)}
	if opened == nil {
		s.listeners[key].use(rt)
		return
	}
	opened.use(rt)
	s.listeners[key] = opened
	s.serve(opened)
	rt.log.Info("listening", "address", opened.bound())
}

func (s *service) gate(f *forward) *gate {
	g := s.gates[f.name]
	if g == nil {
		g = new(gate)
		s.gates[f.name] = g
	}
	g.most.Store(f.limits.maxConnections)
	return g
}

// stop accepts no more and waits for the connections that there are: for the drain timeout, or until another signal.
func (s *service) stop(sig os.Signal, signals <-chan os.Signal) {
	close(s.stopping)
	for _, l := range s.listeners {
		l.retire(true)
	}
	s.loops.Wait()
	s.log.Info("stopping", "signal", sig.String(), "connections", s.all.inside.Load(), "drain_timeout", s.drain.String())
	done := make(chan struct{})
	go func() {
		s.sessions.Wait()
		close(done)
	}()
	timeout := time.After(s.drain)
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-timeout:
			ended = true
		case again := <-signals:
			ended = again != syscall.SIGHUP
		}
	}
	s.cut(done)
}

// cut ends what has not ended by itself.
func (s *service) cut(done <-chan struct{}) {
	if n := s.all.inside.Load(); n > 0 {
		s.log.Warn("cutting connections", "connections", n)
	}
	s.kill(errDrained)
	select {
	case <-done:
	case <-time.After(abortLinger):
	}
	refused := s.all.refused.Load()
	for _, g := range s.gates {
		refused += g.refused.Load()
	}
	s.log.Info("stopped", "refused", refused)
}

const (
	shortestPause = 5 * time.Millisecond
	longestPause  = time.Second
)

// accept accepts connections until the listener is closed. When the system lacks something, it tries again later.
func (s *service) accept(l *listener) {
	pause := shortestPause
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = shortestPause
			s.admit(l, c)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		rt := l.route.Load()
		l.failing.warn(rt.log, "cannot accept", "error", err, "next_try", pause.String(), "remedy", acceptRemedy(err))
		select {
		case <-time.After(pause):
		case <-s.stopping:
			return
		}
		pause = min(2*pause, longestPause)
	}
}

func acceptRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return "raise the number of open files (ulimit -n, LimitNOFILE=), or lower max_connections"
	case errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		return "the machine is out of files or memory; lower max_connections"
	}
	return "none is needed if it does not happen often"
}

// admit serves a connection if the limits allow.
func (s *service) admit(l *listener, c net.Conn) {
	rt := l.route.Load()
	if !s.all.enter() {
		s.refuse(l, rt, c, limitAll, &s.all)
		return
	}
	if !rt.gate.enter() {
		s.all.leave()
		s.refuse(l, rt, c, limitOne, rt.gate)
		return
	}
	s.sessions.Go(func() {
		defer s.all.leave()
		defer rt.gate.leave()
		rt.serve(s.ctx, c)
	})
}

// refuse ends a connection that exceeds a limit, at once.
func (s *service) refuse(l *listener, rt *route, c net.Conn, limit string, g *gate) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	peer := peerText(c.RemoteAddr())
	c.Close()
	l.full.warn(rt.log, "too many connections", "peer", peer, "limit", limit, "most", g.most.Load(),
		"refused", g.refused.Load())
}
