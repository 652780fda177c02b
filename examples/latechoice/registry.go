package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
)

// A registry knows the names that a server serves, and gets a certificate for each when it is first needed. A name that
// it does not know costs nothing: otherwise clients could order as many certificates as they like.
type registry struct {
	ca    *ephemeral.Authority
	sites map[string]*site
}

func newRegistry(ca *ephemeral.Authority, delay time.Duration, names ...string) *registry {
	r := &registry{ca: ca, sites: map[string]*site{}}
	for _, name := range names {
		r.sites[name] = &site{name: name, delay: delay, ready: make(chan struct{})}
	}
	return r
}

// choose is a wrap.Config.Choose. An error refuses the client, which is sent an alert.
func (r *registry) choose(ctx context.Context, hello *tls.ClientHelloInfo) (*tls.Config, error) {
	site, ok := r.sites[strings.ToLower(hello.ServerName)]
	if !ok {
		return nil, fmt.Errorf("no site %q here", hello.ServerName)
	}
	cert, err := site.certificate(ctx, r.ca)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"web/1"}}
	if slices.Contains(hello.SupportedProtos, "admin/1") { // who wants to administrate shows a certificate, too
		cfg.NextProtos = []string{"admin/1"}
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, r.ca.Pool()
	}
	return cfg, nil
}

// A site is one name.
type site struct {
	name  string
	delay time.Duration // what makes this example's authority slow

	once  sync.Once
	ready chan struct{} // closed when what follows is set
	cert  tls.Certificate
	err   error
}

// certificate returns the site's certificate, for which the first client's call sends. Clients that come meanwhile wait
// for the same one, and a client that goes away takes nothing from the others.
func (s *site) certificate(ctx context.Context, ca *ephemeral.Authority) (tls.Certificate, error) {
	s.once.Do(func() {
		go func() {
			defer close(s.ready)
			time.Sleep(s.delay)
			s.cert, s.err = ca.Issue(s.name)
		}()
	})
	select {
	case <-s.ready:
		return s.cert, s.err
	case <-ctx.Done():
		return tls.Certificate{}, context.Cause(ctx)
	}
}
