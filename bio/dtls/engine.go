package dtls

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// An Engine is one end of a DTLS 1.2 connection: a bio.Engine, and more than that.
//
// Its handshake has timers of its own, sends again what is not answered, and ends after Options.HandshakeTimeout.
// Afterwards the engine has neither goroutine nor timer. An Engine that is given up before must be told so by Abort or
// TransportEOF.
//
// On datagrams, the contract of bio.Engine means: Seal takes a message whole, or refuses it with a *bio.TooLongError, which
// is not the end of the engine. The end of the carrier without the peer's close_notify is ErrTruncated, although
// close_notify may have been lost like any datagram: a user that has messages with an end of their own may ignore it.
type Engine struct {
	role frame.Role
	out  queue

	open   sync.Mutex // held by whoever opens
	shake  *handshake // nil after its end
	mem    *memConn   // likewise
	screen screen
	rx     *receiver // nil until the hand-over
	last   [][]byte  // the last flight of the handshake, if it was ours
	said   finished  // the peer's Finished
	stats  Stats
	forget func() // the session must not be resumed

	seal   sync.Mutex // held by whoever seals
	tx     *sender    // nil until the hand-over
	sealed uint64

	ready       chan struct{}
	events      atomic.Uint32 // since the last Status
	phase       atomic.Uint32
	peerClosed  atomic.Bool
	writeClosed atomic.Bool
	fatal       atomic.Pointer[error] // what has ended the engine
	done        atomic.Pointer[estate]
}

func newEngine(s *settings, role frame.Role) (*Engine, error) {
	e := &Engine{role: role, ready: make(chan struct{}, 1), forget: func() {}}
	e.screen = screen{cidLen: s.CIDLen, budget: handshakeBudget, stats: &e.stats}
	e.mem = newMemConn(connName(), &e.out, e.notify)
	var err error
	e.shake, err = newHandshake(s, role, e.mem, func() { e.event(bio.EventTicket) })
	if err != nil {
		return nil, err
	}
	if store := e.shake.sessions; store != nil && role == frame.Client {
		e.forget = func() { store.Del(nil) }
	}
	return e, nil
}

var connCount atomic.Uint64

// connName returns a name that no other memConn of the program has.
func connName() string { return fmt.Sprintf("peer-%d", connCount.Add(1)) }

// Overhead implements bio.Engine: the bytes that Seal adds to every message. An MTU of n bytes has room for messages of
// n - Overhead.
func (e *Engine) Overhead() int {
	e.seal.Lock()
	defer e.seal.Unlock()
	if e.tx == nil {
		return 0
	}
	return e.tx.overhead()
}

// Front returns how many bytes of Overhead stand in front of the message.
func (e *Engine) Front() int {
	e.seal.Lock()
	defer e.seal.Unlock()
	if e.tx == nil {
		return 0
	}
	return e.tx.front()
}

// State implements bio.Engine. State.TLS has no exporter: use ExportKeyingMaterial of the Engine. The peer's certificates
// in it are parsed anew now and then: keep what a call has returned rather than ask for every message.
func (e *Engine) State() bio.State {
	s := bio.State{
		Phase:       bio.Phase(e.phase.Load()),
		PeerClosed:  e.peerClosed.Load(),
		WriteClosed: e.writeClosed.Load(),
	}
	if est := e.done.Load(); est != nil {
		s.TLS = est.connectionState()
	}
	return s
}

// ExportKeyingMaterial implements bio.Exporter.
func (e *Engine) ExportKeyingMaterial(label string, context []byte, n int) ([]byte, error) {
	est := e.done.Load()
	if est == nil {
		return nil, bio.ErrNotOpen
	}
	return est.secrets.export(label, context, n)
}

// PSKIdentity returns the identity with which the client has authenticated, for a server, and the server's hint for a
// client; nil if there was no PSK, and before the handshake is done.
func (e *Engine) PSKIdentity() []byte {
	est := e.done.Load()
	if est == nil || !est.secrets.suite.psk {
		return nil
	}
	return bytes.Clone(est.identity)
}

// LocalCID implements bio.Identified.
func (e *Engine) LocalCID() []byte {
	e.open.Lock()
	defer e.open.Unlock()
	if e.rx == nil {
		return nil
	}
	return slices.Clone(e.rx.cid)
}

func (e *Engine) event(ev bio.Events) { e.events.Or(uint32(ev)) }

func (e *Engine) status(consumed int) bio.Status {
	st := bio.Status{Consumed: consumed, Out: int(e.out.bytes.Load())}
	if e.events.Load() != 0 {
		st.Events = bio.Events(e.events.Swap(0))
	}
	return st
}

var (
	_ bio.Engine     = (*Engine)(nil)
	_ bio.Notifier   = (*Engine)(nil)
	_ bio.Batcher    = (*Engine)(nil)
	_ bio.Identified = (*Engine)(nil)
	_ bio.Exporter   = (*Engine)(nil)
)
