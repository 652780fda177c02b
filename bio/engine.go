// Package bio holds TLS and DTLS engines that do no I/O: bytes from the peer go in, bytes for the peer come out, and
// the caller moves them in whatever way its protocol wants.
//
//	           Open  ┌────────┐  Seal, Flush
//	from peer ──────▶│        │──────────────▶ to peer
//	                 │ Engine │
//	plaintext ◀──────│        │◀────────────── plaintext
//	           Open  └────────┘  Seal
//
// An [Engine] appends to the caller's buffers, as [crypto/cipher.AEAD] does: a header costs nothing, there is no state
// "output too small", and no error means "try again". What an engine wants is in [Status]; an error is the end of it.
// Not so those with which Seal and CloseWrite refuse one call and change nothing: [ErrNotOpen], [ErrWriteClosed] and,
// for datagrams, [*TooLongError].
//
// The rule that every user must keep: when [Status].Out is not zero, [Engine].Flush until it is, and send that, before
// waiting for the peer. It holds during the handshake, after it (session tickets, key updates) and after an error (the
// alert).
//
// [TLS] is the engine over Go's crypto/tls. Other stacks register by name ([Register], [Stacks]), as that of package
// bio/dtls does; package bio/enginetest says whether one keeps the contract. [Session] puts the calls of OpenSSL and
// wolfSSL on top of an engine, over memory BIOs ([Memory], [Pair]) or anything that reads and writes.
package bio

import (
	"crypto/tls"
	"time"
)

// An Engine is one end of a TLS or DTLS connection. It does no I/O, starts no timer and, unless its stack is documented
// to, reads no clock. An established TLS engine has no goroutine.
//
// One goroutine may call Open while another calls Seal, Flush or CloseWrite; calls of these three must not overlap.
// What Seal and Flush return must reach the wire in the order of the calls, so hold one lock over call and send. All
// other methods may be called at any time. An engine that is given up before its handshake is done must be told so by
// TransportEOF or Abort, or what it suspended stays.
//
// No slice is kept after the call that it was given to, and what is returned is the caller's.
//
// An Engine may also be a [Chooser] and, for datagrams, a [Notifier], [Batcher], [Identified] or [Exporter].
type Engine interface {
	// Open takes src, bytes from the peer (TLS: any part of the stream; DTLS: exactly one datagram), and appends the
	// application data in it to dst. src is scratch: it may be overwritten. dst may not overlap src.
	//
	// When Status.Consumed is less than len(src), the rest is to be given again after what Status asks for has been
	// done: a choice after ClientHello, or Flush. Data comes together with the error that followed it. What follows the
	// peer's close_notify is taken and ignored.
	Open(dst, src []byte) (plain []byte, st Status, err error)

	// Seal appends one record with a prefix of p, at most MaxPlaintext bytes of it, to dst and returns how many bytes
	// of p it took; of an empty p it makes nothing. DTLS: p is one message, taken whole or, if it is too long, refused.
	// Protocol output that was queued goes in front of the record or behind it, where its order demands. p is only read.
	// Before the handshake is done Seal returns ErrNotOpen, after CloseWrite ErrWriteClosed. With any error it returns
	// dst as it was, and what is queued stays so.
	Seal(dst, p []byte) (out []byte, n int, err error)

	// Flush appends queued protocol output to dst: handshake flights, tickets, key updates, alerts (also after an
	// error). TLS: at most limit bytes, cut between records where one fits, 0 for no limit; DTLS: one datagram, whatever
	// limit is. more says that there is more. The first Flush of a client starts its handshake; if that fails, for a
	// configuration that cannot work, State says so and Open returns the error.
	Flush(dst []byte, limit int) (out []byte, more bool)

	// Deadline returns when Tick wants to be called; ok is false when the engine waits for no time.
	Deadline() (t time.Time, ok bool)
	// Tick tells the engine the time. What is due, such as a flight that is repeated, waits for Flush afterwards. An
	// error is what has ended the engine.
	Tick(now time.Time) (Status, error)

	// CloseWrite queues the close_notify alert; reading goes on. Calling it again does nothing. Before the handshake
	// is done it returns ErrNotOpen.
	// https://www.rfc-editor.org/rfc/rfc8446#section-6.1
	CloseWrite() error

	// TransportEOF tells the engine that the peer will send no more bytes. It returns nil if the peer had closed with
	// close_notify, and otherwise an error that wraps ErrTruncated.
	TransportEOF() error

	// Abort ends the engine and what it suspended, without an alert; later calls return err. It does not wait.
	Abort(err error)

	// Overhead returns the most bytes that Seal adds to the plaintext of one record, 0 until the handshake is done.
	Overhead() int

	// State returns a snapshot.
	State() State
}

// A Chooser is an Engine that can let its user choose the configuration after it has seen the ClientHello, however long
// that takes. It does so if Config.ChooseLate is set: Open returns EventClientHello, and the engine waits.
type Chooser interface {
	// ClientHello returns what the client offered, from EventClientHello until the handshake is done; nil otherwise.
	ClientHello() *tls.ClientHelloInfo
	// Choose goes on with cfg; it may be called from any goroutine. Call Open with the rest of the bytes, or with
	// none, afterwards. cfg must not change any more; the engine uses a copy unless DynamicRecordSizingDisabled is set
	// and MinVersion is TLS 1.2 or later. Clients resume their sessions across such configurations, unless each has
	// session ticket keys of its own.
	Choose(cfg *tls.Config) error
	// Reject makes the handshake fail with err; the peer gets an alert. Call Open afterwards, as after Choose.
	Reject(err error) error
}

// Status is what an engine has to say besides data.
type Status struct {
	Consumed int    // bytes of src that were taken
	Out      int    // bytes of protocol output that wait for Flush
	Events   Events // what has happened; each is told once
}

// Events is a set of things that have happened. [EventNewest] and [EventRekey], of engines for datagrams, belong to it.
type Events uint8

const (
	EventClientHello   Events = 1 << iota // the engine waits for Chooser.Choose or Reject
	EventHandshakeDone                    // Seal may be called; there may be output to flush
	EventPeerClosed                       // the peer sent close_notify: no more data will come
	EventKeysUpdated                      // the peer asked for new keys and was answered
	EventTicket                           // a session for resumption was stored
)

// Has reports whether all of e is in the set.
func (s Events) Has(e Events) bool { return s&e == e }

// A Phase is where in its life an engine is.
type Phase uint8

const (
	PhaseHandshake Phase = iota // before and during the handshake
	PhaseChoosing               // waits for Chooser.Choose or Reject
	PhaseOpen                   // application data may flow
	PhaseClosed                 // both sides have closed in order
	PhaseFailed                 // an error has ended it
)

// String returns a word for the phase.
func (p Phase) String() string {
	names := [...]string{"handshake", "choosing", "open", "closed", "failed"}
	if int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// State is a snapshot of an engine.
type State struct {
	Phase       Phase
	PeerClosed  bool // the peer's close_notify has arrived
	WriteClosed bool // CloseWrite has been called
	// TLS is what the handshake agreed on; the zero value until it is done. Version may be a version of DTLS.
	TLS tls.ConnectionState
}
