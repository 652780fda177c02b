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
	"fmt"

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
	// as it bears. DTLS 1.2 cannot change keys: make a new connection. EventRekey comes long before.
	// https://www.rfc-editor.org/rfc/rfc9147#section-4.5.3
	ErrWornOut = errors.New("dtls: these keys are worn out (RFC 9147 4.5.3): make a new connection")

	// ErrHandOver says that what pion exports is not what this package knows how to continue; the connection was not
	// made. It is the fault of neither end, but of this package with this version of pion.
	ErrHandOver = errors.New("dtls: cannot take the connection over from the handshake")
)

// A TooLongError says that a message does not fit one record. Nothing of it was sent; the engine goes on.
type TooLongError struct {
	Len, Limit int // bytes
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("dtls: a message of %d bytes is too long, the limit is %d: "+
		"a datagram is sent whole or not at all", e.Len, e.Limit)
}

// Unwrap returns frame.ErrTooLarge: the caller's fault.
func (e *TooLongError) Unwrap() error { return frame.ErrTooLarge }

// Events of this stack, beside those of package bio.
const (
	// EventNewest says that a record was authentic and newer than all before it. It comes only if the peer's records
	// carry a connection ID: then the address it came from is the peer's, as far as DTLS can tell. Whoever moves a
	// connection to a new address on this event should know that an attacker on the path can forward a record first.
	// https://www.rfc-editor.org/rfc/rfc9146#section-6
	EventNewest bio.Events = 1 << 6
	// EventRekey says that one eighth is left of what the keys may be used for: make a new connection.
	EventRekey bio.Events = 1 << 7
)

// A Notifier is an Engine that can have something to do although nobody has called it: during its handshake, *Engine.
type Notifier interface {
	// Ready returns a channel that delivers when there is output for Flush, or an event or an error for Tick, that no
	// call has reported. When it has delivered, call Tick and Flush, and Open without bytes after EventHandshakeDone.
	Ready() <-chan struct{}
}

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
