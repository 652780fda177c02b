// Package frame is the contract between TLS and the protocol that carries it.
//
// A codec authenticates nothing. Every byte outside the TLS record, and every length that announces one, is chosen by
// whoever is on the path: a codec may lose a connection, it must never trust a peer. TLS inside protects the data.
//
// One flat buffer ([Buf]) holds a TLS record with room on both sides of it. A [Codec] puts its header in front and its
// trailer behind, in place, and takes them off again:
//
//	| headroom | header | TLS record | trailer | tailroom |
//	           '------------- frame -----------'
//
// What a frame carries for TLS is its payload. Over a stream payloads are pieces of the bytes that TLS writes: one is
// mostly one record, as in the picture, but no receiver may count on where they were cut. Over datagrams a payload is a
// datagram of DTLS, whole.
//
// Three kinds of framing exist, from the one that most protocols need to the one that few do:
//
//   - [Codec]: one payload, one frame. Headers, trailers, checksums, masks, byte stuffing. [Codecs] makes it a Maker.
//   - [Machine]: a protocol object without I/O, for flights cut into several frames, acknowledgements, retransmission,
//     control frames and changes of framing.
//   - [Preamble]: a dialogue before the first frame, such as an HTTP upgrade.
//
// [Reader] cuts frames out of a byte stream and [Writer] puts several of them into it at once. Package bio makes and
// opens records, package wrap moves frames; nothing here knows of either.
package frame

import "errors"

var (
	// ErrMalformed is wrapped by every error that a peer's bytes cause. A stream ends with it, a datagram is dropped.
	ErrMalformed = errors.New("malformed frame")

	// ErrTooLarge is wrapped when the caller's payload exceeds [Limits].Max. The payload is as it was.
	ErrTooLarge = errors.New("payload too large for the codec")
)

// Limits are constants of a codec; they are read once per connection.
type Limits struct {
	Head int // most bytes that Encode adds in front of a payload
	Tail int // most bytes that Encode adds behind a payload
	Max  int // longest payload, in bytes, that Encode accepts
}

// MaxFrame returns the length of the longest frame that these limits allow.
func (l Limits) MaxFrame() int {
	if n := l.Head + l.Max + l.Tail; n >= l.Max {
		return n
	}
	return l.Max // would have overflowed
}

// A Codec turns payloads into frames and back, in place. It serves one direction of one connection, may keep state such
// as a sequence number, and is not safe for concurrent use. Package codecs/codectest checks every rule below; run it
// against each implementation.
type Codec interface {
	// Limits returns the same values at every call.
	Limits() Limits

	// Encode turns the payload in b into one frame. b has at least Limits().Head bytes of headroom and Limits().Tail
	// bytes of tailroom. An empty payload is legal. A payload longer than Limits().Max is refused with an error that
	// wraps ErrTooLarge. When Encode fails, b is as it was. Encode must not retain b or its bytes.
	Encode(b *Buf) error

	// Decode turns the one frame in b into its payload. The bytes come from the network: whatever they are, Decode
	// must not panic, and reports a bad frame with an error that wraps ErrMalformed, after which the contents of b are
	// unspecified. An empty payload means "nothing for TLS". Decode must not retain b or its bytes. Refusing a frame
	// should allocate nothing, or refusing becomes dearer than sending: make the errors beforehand, not with each frame.
	Decode(b *Buf) error
}

// A StreamCodec is a Codec whose frames can be told apart in a byte stream. A Codec that is not one can only be used
// over datagrams.
type StreamCodec interface {
	Codec
	Delimiter
}

// A Delimiter finds the end of a frame.
type Delimiter interface {
	// FrameLen returns the length of the frame that starts at p[0], which may be more than len(p), or 0 when p is too
	// short to tell. It must not change or retain p, and once it has told a length, more bytes must not change the
	// answer. An error wraps ErrMalformed and ends the stream.
	FrameLen(p []byte) (int, error)
}

// A Role says which end of a connection this is: protocols are often not symmetric.
type Role uint8

const (
	Client Role = iota // the end that connects
	Server             // the end that accepts
)

// String returns "client" or "server".
func (r Role) String() string {
	if r == Server {
		return "server"
	}
	return "client"
}

// Peer returns the role of the other end.
func (r Role) Peer() Role { return r ^ 1 }

// A Maker makes the framing of one connection. Every call returns a new Machine that shares no state with any other.
type Maker func(role Role) (Machine, error)

// Codecs returns a Maker for a protocol that is a Codec in each direction: mk makes the one that encodes what this end
// sends and the one that decodes what it receives.
func Codecs(mk func(role Role) (send, recv Codec, err error)) Maker {
	return func(role Role) (Machine, error) {
		send, recv, err := mk(role)
		if err != nil {
			return nil, err
		}
		return Pair(send, recv), nil
	}
}

// Symmetric returns a Maker for a protocol whose frames look the same in both directions.
func Symmetric(mk func() Codec) Maker {
	return func(Role) (Machine, error) { return Pair(mk(), mk()), nil }
}
