// Package enginetest checks that an engine keeps the contract of [bio.Engine], as testing/fstest does for file systems.
//
//	func TestEngine(t *testing.T) { enginetest.Run(t, stack) }
//
// Every rule is a subtest that shows the sentence of the contract when it fails. Whatever a rule looks at, each call
// that it makes is also checked for the ownership of slices: what was given to an engine is overwritten when the call
// returns.
//
// [IdleBytes] measures what an idle connection costs.
package enginetest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

// Run checks every rule that applies to stack, for each of its versions. It takes some seconds. Nothing else may run
// beside it: some rules count goroutines.
func Run(t *testing.T, stack bio.Stack) {
	for _, version := range stack.Versions {
		k, err := newKit(stack, version)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if !r.appliesTo(k) {
				continue
			}
			t.Run(tls.VersionName(version)+"/"+r.name, func(t *testing.T) { k.run(t, r) })
		}
	}
}

// A rule is one promise of the contract.
type rule struct {
	name     string
	scope    scope
	check    func(*kit) error
	contract string // the sentence
}

// A scope says to which stacks a rule applies.
type scope uint8

const (
	streams   scope = 1 << iota // not to datagrams
	onlyTLS13                   // not to TLS 1.2
	quiet                       // not to stacks with goroutines of their own
)

var rules = concat(commonRules, lifeRules, streamRules, faultRules, answerRules)

func concat(lists ...[]rule) (all []rule) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func (r rule) appliesTo(k *kit) bool {
	switch {
	case r.scope&streams != 0 && k.stack.Datagram,
		r.scope&onlyTLS13 != 0 && k.version != tls.VersionTLS13,
		r.scope&quiet != 0 && k.stack.Async:
		return false
	}
	return true
}

// errNoSealer says that a rule cannot be checked here: it makes records itself.
var errNoSealer = errors.New("the handshake did not choose TLS_AES_128_GCM_SHA256: no AES in hardware?")

func (k *kit) run(t *testing.T, r rule) {
	switch err := r.check(k); {
	case errors.Is(err, errNoSealer):
		t.Skip(err)
	case err != nil:
		t.Errorf("%v\nthe contract: %s", err, r.contract)
	}
}

// A kit makes connections of a stack in one version.
type kit struct {
	stack   bio.Stack
	version uint16
	roots   *ephemeral.Authority
	server  tls.Certificate
}

const serverName = "server.example"

func newKit(stack bio.Stack, version uint16) (*kit, error) {
	roots, err := ephemeral.New("enginetest")
	if err != nil {
		return nil, err
	}
	cert, err := roots.Issue(serverName)
	if err != nil {
		return nil, err
	}
	return &kit{stack: stack, version: version, roots: roots, server: cert}, nil
}

// A change alters what both ends of a connection are made from.
type change func(client, server *bio.Config)

// pair returns two ends that have not exchanged anything yet. Key agreement is classical and session tickets are off,
// so that handshakes are short; a change may set both again.
func (k *kit) pair(changes ...change) (*link, error) {
	shared := tls.Config{
		MinVersion:             k.version,
		MaxVersion:             k.version,
		CurvePreferences:       []tls.CurveID{tls.X25519, tls.CurveP256},
		SessionTicketsDisabled: true,
	}
	c, s := &bio.Config{TLS: shared.Clone()}, &bio.Config{TLS: shared.Clone()}
	c.TLS.ServerName, c.TLS.RootCAs = serverName, k.roots.Pool()
	s.TLS.Certificates = []tls.Certificate{k.server}
	for _, change := range changes {
		change(c, s)
	}
	l := &link{datagram: k.stack.Datagram, async: k.stack.Async}
	if err := l.make(k.stack, c, s); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *link) make(stack bio.Stack, c, s *bio.Config) error {
	for _, x := range []struct {
		cfg  *bio.Config
		role frame.Role
		end  *end
	}{{c, frame.Client, &l.client}, {s, frame.Server, &l.server}} {
		maker, err := stack.New(x.cfg)
		if err != nil {
			return fmt.Errorf("Stack.New: %w", err)
		}
		e, err := maker(x.role)
		if err != nil {
			return fmt.Errorf("Maker: %w", err)
		}
		*x.end = end{Engine: e, name: x.role.String(), datagram: l.datagram}
	}
	l.client.peer, l.server.peer = &l.server, &l.client
	return nil
}

// open returns two ends that have shaken hands.
func (k *kit) open(changes ...change) (*link, error) {
	l, err := k.pair(changes...)
	if err != nil {
		return nil, err
	}
	return l, l.handshake()
}

// withTickets lets the client store sessions.
func withTickets(c, s *bio.Config) {
	c.TLS.SessionTicketsDisabled, s.TLS.SessionTicketsDisabled = false, false
	c.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(4)
}

// withKeyLog writes the secrets of the connection to w.
func withKeyLog(w io.Writer) change {
	return func(c, _ *bio.Config) { c.TLS.KeyLogWriter = w }
}
