// Package dtls is an engine of package bio for DTLS 1.2 (RFC 6347): pion/dtls makes the handshake, and a record layer
// of this package carries what follows.
//
//	during the handshake    Open ──▶ screen ──▶ pion ──▶ queue ──▶ Flush
//	                                    └─ early records wait ─┐
//	after it                Open ──▶ receiver ◀────────────────┘    Seal ──▶ sender
//
// The hand-over is the critical moment: two record layers that use the same keys would, sooner or later, use the same
// nonce twice, and with AES-GCM that gives the authentication key away. So pion's connection is cut off first: what
// it writes from then on goes nowhere, its close_notify included. Only then are its state exported, the keys derived
// and the sequence number continued. See handover.go.
//
// Until the hand-over the engine has timers and goroutines of its own, which pion needs: what it does shows later,
// and [Engine.Ready] says when. Afterwards nothing but the caller's own calls remains, and Seal and Open allocate
// nothing, except with AES-CCM.
//
// What DTLS leaves to its user: datagrams may be lost, come twice or out of order, and so may messages, except that
// none is delivered twice. A message is one record is one datagram; it arrives whole or not at all. Datagrams that
// make no sense are counted ([Stats]) and are no error: anybody can send them.
//
// https://www.rfc-editor.org/rfc/rfc6347
package dtls

import (
	"errors"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// Name is the name of the stack in package bio's registry. What it makes from a configuration is what New makes with
// the zero Options.
const Name = "dtls"

// VersionDTLS12 is the version in [bio.State].TLS.Version, and may be the version limits of a tls.Config.
const VersionDTLS12 = 0xfefd

// MaxMessage is the longest message, in bytes, that Seal takes: one record. What the path carries is less.
// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.1
const MaxMessage = bio.MaxPlaintext

var (
	// ErrWornOut says that the keys have been used as often as their cipher bears, or that as many records were forged
	// as it bears. DTLS 1.2 cannot change keys: make a new connection. bio.EventRekey comes long before.
	// https://www.rfc-editor.org/rfc/rfc9147#section-4.5.3
	ErrWornOut = errors.New("dtls: these keys are worn out (RFC 9147 4.5.3): make a new connection")

	// ErrHandOver says that what pion exports is not what this package knows how to continue; the connection was not
	// made. It is the fault of neither end, but of this package with this version of pion.
	ErrHandOver = errors.New("dtls: cannot take the connection over from the handshake")
)

func init() { bio.Register(Stack(Options{})) }

// Stack returns this stack with opts in it, for whoever takes a bio.Stack.
func Stack(opts Options) bio.Stack {
	return bio.Stack{
		Name:         Name,
		Datagram:     true,
		Versions:     []uint16{VersionDTLS12},
		CipherSuites: suiteIDs(),
		Async:        true,
		New:          func(cfg *bio.Config) (bio.Maker, error) { return New(cfg, opts) },
	}
}

// New returns a Maker of engines, each of them an *Engine. It refuses what it cannot honour in cfg and opts. Without
// opts.PSK, cfg.TLS is needed.
func New(cfg *bio.Config, opts Options) (bio.Maker, error) {
	s, err := settle(cfg, opts)
	if err != nil {
		return nil, err
	}
	return func(role frame.Role) (bio.Engine, error) { return newEngine(s, role) }, nil
}
