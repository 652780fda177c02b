package frame

import (
	"context"
	"io"
	"time"
)

// A Machine is the framing of one connection, both directions, without I/O and without a clock. What it wants done it
// appends to a list of events. Most protocols need only a [Codec] and use [Pair]; a Machine of its own is for protocols
// that cut one flight into several frames, answer frames with frames, act by the clock, or stop framing.
//
// Calls to one Machine must not overlap, with one exception: Send and Recv of a Machine made by Pair or Raw may.
//
// An error of Start, Send, Tick or End ends the connection, but for one of Send over datagrams that wraps ErrTooLarge:
// then the message is not sent. Events that come with an error are handled like all others.
//
// A Machine may also implement [Delimiter] (without it, it runs over datagrams only), [Timed], [Preamble], [Ender],
// [Backlogger], [Awaiter] and [SideSender].
type Machine interface {
	// Limits returns the room that a Buf given to Send must have, and the most bytes it may hold.
	Limits() Limits

	// Start is called once, before any other method, and appends what opens the exchange. Data given to Send before
	// the peer is ready for it is the Machine's to hold.
	Start(ev []Event) ([]Event, error)

	// Send takes TLS bytes for the peer and appends the frames that result. b belongs to the Machine from now on, also
	// when Send fails. b may be nil. flush says that a flight ends here: TLS waits for an answer, or for nothing.
	Send(ev []Event, b *Buf, flush bool) ([]Event, error)

	// Recv takes one frame and appends what it means. b is borrowed: it may be changed and may be part of an event,
	// but it is valid only until the next call of Recv. An error wraps ErrMalformed; over a stream it is fatal.
	Recv(ev []Event, b *Buf) ([]Event, error)
}

// An Event is one thing that a Machine wants done. Events are handled in order. In and Side come from Recv only: nothing
// but a frame brings anything.
type Event struct {
	Kind EventKind
	Buf  *Buf  // Out, In, Side: the receiver of the event releases it
	Err  error // Done: nil for an orderly end
}

// EventKind tells what an Event means.
type EventKind uint8

const (
	Out       EventKind = iota + 1 // Buf is one frame for the carrier
	In                             // Buf holds TLS bytes for the engine
	Side                           // Buf holds traffic of the protocol that is not TLS
	SwitchRaw                      // framing ends: from here on, both ways, TLS bytes travel as they are
	Done                           // the protocol has ended; the peer will send no more frames
)

// String returns the name of the kind in lower case.
func (k EventKind) String() string {
	names := [...]string{"none", "out", "in", "side", "switch-raw", "done"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Timed is a Machine that acts by the clock, for example to retransmit.
type Timed interface {
	// Deadline returns when Tick wants to be called next; ok is false for "not by the clock".
	Deadline() (t time.Time, ok bool)
	// Tick tells the time. It is called at the Deadline and before every other call that may set one.
	Tick(ev []Event, now time.Time) ([]Event, error)
}

// Ender is a Machine that has something to say at the end, such as a WebSocket close frame. End is called once, after
// the last Send.
type Ender interface {
	End(ev []Event) ([]Event, error)
}

// Backlogger is a Machine that holds data back, for a window or a turn. The connection counts the backlog as unsent
// and makes writers wait.
type Backlogger interface {
	Backlog() int // bytes taken by Send and not yet sent, or not yet acknowledged where that limits what may be sent
}

// Awaiter is a Machine whose peer may have the last word when all that TLS says is sent: the verdict of an
// authentication, or a request that comes again because the answer to it was lost. The connection goes on hearing for
// it, also after a handshake that has failed, as long as Close may wait.
type Awaiter interface {
	Awaits() bool // whether the peer is about to send what this end must hear or answer
}

// SideSender is a Machine that can send what is not TLS, as [Side] tells what the peer sends of it.
type SideSender interface {
	// SendSide takes what the peer's Machine shall tell as one Side event, and appends the frames that result. b has the
	// room that Limits tells and belongs to the Machine from now on, also when SendSide fails. An error is the caller's
	// fault, such as one that wraps ErrTooLarge, and changes nothing.
	SendSide(ev []Event, b *Buf) ([]Event, error)
}

// A Preamble is a dialogue with the peer before the first frame of a stream. An error that the peer's bytes caused
// wraps ErrMalformed. What Exchange does not take from p stays there for the frames.
type Preamble interface {
	// Exchange holds the dialogue. p is interrupted when ctx ends: Exchange need not look at ctx itself.
	Exchange(ctx context.Context, p Peeker, role Role) error
}

// WithServerName returns a context that tells an Exchange the name of the server that is meant. Package wrap gives it
// the name that TLS verifies.
func WithServerName(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, serverName{}, name)
}

// ServerName returns the name of the server that is meant, "" if that is not known.
func ServerName(ctx context.Context) string {
	name, _ := ctx.Value(serverName{}).(string)
	return name
}

type serverName struct{}

// A Peeker is a byte stream that can be looked at before it is taken, as with [bufio.Reader].
type Peeker interface {
	io.ReadWriter
	// Peek waits for n bytes and returns them without taking them. They are valid until the next call. Fewer than n
	// bytes come with the error that stopped it.
	Peek(n int) ([]byte, error)
	// Discard takes n bytes.
	Discard(n int) (int, error)
}

// Pair returns the Machine of a protocol that is a Codec in each direction: one payload, one frame. It implements
// Delimiter if recv does, and no other optional interface. CodecsOf takes it apart again.
func Pair(send, recv Codec) Machine {
	p := pair{send: send, recv: recv}
	if d, ok := recv.(Delimiter); ok {
		return &streamPair{p, d}
	}
	return &p
}

// CodecsOf returns the codecs of a Machine that Pair has made, or that has a method Codecs like its; ok is false for any
// other.
func CodecsOf(m Machine) (send, recv Codec, ok bool) {
	p, ok := m.(interface {
		Codecs() (send, recv Codec)
	})
	if !ok {
		return nil, nil, false
	}
	send, recv = p.Codecs()
	return send, recv, true
}

type pair struct{ send, recv Codec }

type streamPair struct {
	pair
	Delimiter
}

func (p *pair) Codecs() (send, recv Codec)        { return p.send, p.recv }
func (p *pair) Limits() Limits                    { return p.send.Limits() }
func (p *pair) Start(ev []Event) ([]Event, error) { return ev, nil }

func (p *pair) Send(ev []Event, b *Buf, _ bool) ([]Event, error) {
	if b == nil {
		return ev, nil
	}
	if err := p.send.Encode(b); err != nil {
		b.Release()
		return ev, err
	}
	return append(ev, Event{Kind: Out, Buf: b}), nil
}

func (p *pair) Recv(ev []Event, b *Buf) ([]Event, error) {
	if err := p.recv.Decode(b); err != nil {
		return ev, err
	}
	if b.Len() == 0 {
		return ev, nil
	}
	return append(ev, Event{Kind: In, Buf: b}), nil
}

// Raw is the Maker of no framing: TLS bytes travel as they are, and an empty payload does not travel at all. Over a
// stream nothing tells its frames apart, and nothing needs to.
func Raw(Role) (Machine, error) { return rawMachine{}, nil }

type rawMachine struct{}

func (rawMachine) Limits() Limits                    { return Limits{Max: maxRaw} }
func (rawMachine) Start(ev []Event) ([]Event, error) { return ev, nil }

func (rawMachine) Send(ev []Event, b *Buf, _ bool) ([]Event, error) {
	if b == nil {
		return ev, nil
	}
	if b.Len() == 0 {
		b.Release()
		return ev, nil
	}
	return append(ev, Event{Kind: Out, Buf: b}), nil
}

func (rawMachine) Recv(ev []Event, b *Buf) ([]Event, error) {
	if b.Len() == 0 {
		return ev, nil
	}
	return append(ev, Event{Kind: In, Buf: b}), nil
}

// IsRaw reports whether m frames nothing.
func IsRaw(m Machine) bool { _, ok := m.(rawMachine); return ok }

// maxRaw bounds what is handed on at once, not the connection.
const maxRaw = 1 << 20
