package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/codecs/radius"
)

const (
	// maxSessions bounds the memory. Only who knows the secret can have one.
	maxSessions = 1024

	// life is how long a session may take, and how long it is kept for packets that come again.
	life = 30 * time.Second

	// atOnce is how many packets are handled at the same time.
	atOnce = 16
)

// A server gives each packet to its session. It knows a session by what it has told the client, the attribute State,
// and before that by the first request.
type server struct {
	conn    net.PacketConn
	secret  *radius.Secret
	options func(*eap.Exchange) radius.Options
	engines bio.Maker
	stdout  io.Writer

	mu       sync.Mutex
	sessions map[string]*session
	refused  uint64 // packets
}

// serve serves until ctx ends.
func (s *settings) serve(ctx context.Context, conn net.PacketConn, stdout io.Writer) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	engines, err := bio.TLS(&bio.Config{TLS: s.config()})
	if err != nil {
		return err
	}
	srv := &server{conn: conn, secret: s.secret, options: s.options, engines: engines, stdout: stdout,
		sessions: map[string]*session{}}
	defer srv.dropAll()
	if err := srv.loop(); ctx.Err() == nil {
		return err
	}
	return nil
}

func (s *server) loop() error {
	var handling sync.WaitGroup
	defer handling.Wait()
	turns := make(chan struct{}, atOnce)
	for {
		p := make([]byte, maxPacket)
		n, from, err := s.conn.ReadFrom(p)
		if err != nil {
			return err
		}
		turns <- struct{}{} // the kernel drops what does not fit its queue meanwhile
		handling.Go(func() {
			defer func() { <-turns }()
			if err := s.handle(p[:n], from); err != nil {
				s.mu.Lock()
				s.refused++
				s.mu.Unlock()
			}
		})
	}
}

// handle gives a packet to its session and sends what that answers. What is lost will be asked for again.
func (s *server) handle(p []byte, from net.Addr) error {
	if err := radius.Verify(p, s.secret); err != nil {
		return err // before it costs more
	}
	key := string(radius.State(p))
	if key == "" {
		key = firstKey(p, from)
	}
	session, err := s.session(key)
	if err != nil {
		return err
	}
	replies, err := session.handle(p, time.Now())
	for _, reply := range replies {
		s.keep(session, key, string(radius.State(reply)))
		s.conn.WriteTo(reply, from)
	}
	session.report(s.stdout)
	return err
}

// firstKey names a session by its first request, which may come again: it has an authenticator that no other has.
func firstKey(p []byte, from net.Addr) string {
	const headerLen = 20
	return from.String() + " " + string(p[:min(len(p), headerLen)])
}

// session returns the session of that name, or a new one, which is kept only when it has answered.
func (s *server) session(key string) (*session, error) {
	s.mu.Lock()
	session, full := s.sessions[key], len(s.sessions) >= 2*maxSessions
	s.mu.Unlock()
	switch {
	case session != nil:
		return session, nil
	case full:
		return nil, errors.New("too many sessions")
	}
	return newSession(s.options, s.engines)
}

// keep remembers a session by names, for a while.
func (s *server) keep(session *session, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if name == "" || s.sessions[name] != nil {
			continue
		}
		s.sessions[name] = session
		time.AfterFunc(life, func() { s.drop(name) })
	}
}

func (s *server) drop(name string) {
	s.mu.Lock()
	session := s.sessions[name]
	delete(s.sessions, name)
	s.mu.Unlock()
	if session != nil {
		session.close()
	}
}

func (s *server) dropAll() {
	s.mu.Lock()
	names := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, name := range names {
		s.drop(name)
	}
}
