// Package enginetest checks that an engine keeps the contract of [bio.Engine], as testing/fstest does for file systems.
//
//	func TestEngine(t *testing.T) { enginetest.Run(t, stack) }
//
// Every rule is a subtest that shows the sentence of the contract when it fails. Whatever a rule looks at, each call
// that it makes is also checked for the ownership of slices: what was given to an engine is overwritten when the call
// returns.
//
// Stacks for datagrams have rules of their own: what a network does to datagrams, in fake time (testing/synctest), and
// what strangers send. Where a stack acts by itself, the suite polls nothing: it waits for what [bio.Notifier] says.
//
// [IdleBytes] measures what an idle connection costs.
package enginetest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

// Run checks every rule that applies to stack, for each of its versions. It takes some seconds. Nothing else may run
// beside it: some rules count goroutines.
func Run(t *testing.T, stack bio.Stack) {
	for _, version := range stack.Versions {
		k, err := newKit(t, stack, version)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if !r.appliesTo(k) {
				continue
			}
			t.Run(versionName(version)+"/"+r.name, func(t *testing.T) { k.on(t).run(r) })
		}
	}
}

// versionName knows DTLS as well. https://www.rfc-editor.org/rfc/rfc6347#section-4.1
func versionName(version uint16) string {
	if version == 0xfefd {
		return "DTLS 1.2"
	}
	return tls.VersionName(version)
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
	streams    scope = 1 << iota // not to datagrams
	datagrams                    // not to streams
	onlyTLS13                    // not to TLS 1.2
	quiet                        // not to stacks with goroutines of their own
	async                        // only to those
	batches                      // only to engines that are a bio.Batcher
	identified                   // only to engines that are bio.Identified
)

var rules = concat(commonRules, lifeRules, streamRules, faultRules, answerRules, asyncRules, datagramRules,
	hostileRules, lossRules, batchRules)

func concat(lists ...[]rule) (all []rule) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func (r rule) appliesTo(k *kit) bool {
	has := map[scope]bool{
		streams: !k.stack.Datagram, datagrams: k.stack.Datagram,
		onlyTLS13: k.version == tls.VersionTLS13,
		quiet:     !k.stack.Async, async: k.stack.Async,
		batches: k.batches, identified: k.identified,
	}
	for s, ok := range has {
		if r.scope&s != 0 && !ok {
			return false
		}
	}
	return true
}

// errNoSealer says that a rule cannot be checked here: it makes records itself.
var errNoSealer = errors.New("the handshake did not choose TLS_AES_128_GCM_SHA256: no AES in hardware?")

func (k *kit) run(r rule) {
	switch err := r.check(k); {
	case errors.Is(err, errNoSealer):
		k.t.Skip(err)
	case err != nil:
		k.t.Errorf("%v\nthe contract: %s", err, r.contract)
	}
}

// A kit makes connections of a stack in one version.
type kit struct {
	t       *testing.T
	stack   bio.Stack
	version uint16
	roots   *ephemeral.Authority
	server  tls.Certificate
	fake    bool // time is that of a bubble

	batches, identified bool // what its engines can do
}

const serverName = "server.example"

func newKit(t *testing.T, stack bio.Stack, version uint16) (*kit, error) {
	roots, err := ephemeral.New("enginetest")
	if err != nil {
		return nil, err
	}
	cert, err := roots.Issue(serverName)
	if err != nil {
		return nil, err
	}
	k := &kit{t: t, stack: stack, version: version, roots: roots, server: cert}
	l, err := k.pair()
	if err != nil {
		return nil, err
	}
	defer l.abort()
	_, k.batches = l.client.Engine.(bio.Batcher)
	_, k.identified = l.client.Engine.(bio.Identified)
	return k, nil
}

// on returns k for another test.
func (k *kit) on(t *testing.T) *kit {
	c := *k
	c.t = t
	return &c
}

// inFakeTime runs check in a bubble where waiting costs nothing, with certificates that are valid there.
func (k *kit) inFakeTime(check func(*kit) error) (err error) {
	synctest.Test(k.t, func(t *testing.T) {
		var bubble *kit
		if bubble, err = newKit(t, k.stack, k.version); err == nil {
			bubble.fake = true
			err = check(bubble)
		}
	})
	return err
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
	l := &link{datagram: k.stack.Datagram, async: k.stack.Async, fake: k.fake}
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
		if n, ok := e.(bio.Notifier); ok {
			x.end.ready = n.Ready()
		} else if stack.Async {
			return fmt.Errorf("the engine of a stack that is Async is no bio.Notifier: %T", e)
		}
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
