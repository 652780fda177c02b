// Package length is the family of codecs that put a length in front of the payload. It covers fields of 8, 16, 24,
// 32 and 64 bits in either byte order, varints, and constant bytes on both sides of the field:
//
//	| prefix | length | suffix | payload |
//
// # Grammar
//
// The argument of a spec is a width and options:
//
//	length:WIDTH[,OPTION]...
//
//	WIDTH    8, 16, 24, 32 or 64 bits, followed by "be" (big-endian, the default) or "le" (little-endian);
//	         or "varint": base 128, least significant group first, as in protobuf
//	OPTION   prefix=BYTES  the constant bytes in front of the field
//	         suffix=BYTES  the constant bytes between the field and the payload
//	         incl          the field counts the whole frame: prefix, field, suffix and payload
//	         adjust=N      the field counts N bytes less than follow it; N may be negative
//	         max=N         longest payload, in bytes, sent or accepted
//	BYTES    hexadecimal. They are written, and required when reading; a byte with "~" in front of it is
//	         written, and ignored when reading
//
// Without incl and adjust the field counts what follows it, suffix included. Some protocols in these terms:
//
//	length:16be                                              DNS over TCP, RFC 4571, OpenVPN over TCP
//	length:32be,prefix=00                                    gRPC messages
//	length:24be,prefix=00                                    NetBIOS session service
//	length:16be,prefix=0300,incl                             TPKT (RFC 1006)
//	length:16be,prefix=0300,suffix=02f080,incl               COTP data in TPKT
//	length:24be,suffix=000000000001,adjust=6                 HTTP/2 DATA on stream 1: the field counts the payload alone
//	length:16be,prefix=12~01,suffix=~00~00~00~00,incl        packets with the header of TDS
//	length:varint                                            protobuf, "delimited"
//
// # Netty
//
// The parameters of Netty's LengthFieldBasedFrameDecoder translate so: lengthFieldLength is the width in bytes,
// lengthFieldOffset the number of bytes in prefix, lengthAdjustment is adjust (incl is the adjustment that is minus the
// end of the field), and initialBytesToStrip is the whole header, whose length is that of prefix, field and suffix.
//
// # Reading
//
// A varint must be as short as it can be, and a frame exactly as long as its length field says: over datagrams, bytes
// behind the payload make it malformed. Refusing a frame allocates nothing.
package length

import (
	"fmt"
	"math"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("length", codecs.Info{
		Summary:  "a length in front: 8 to 64 bits or varint, with constant bytes around it",
		Class:    codecs.Header,
		Carriers: codecs.Stream | codecs.Datagram,
		Syntax:   syntax,
		Example:  "length:16be",
		Tested:   "own vectors; headers of TPKT, COTP, HTTP/2 and protobuf by hand",
	}, Parse)
}

// Options describe a length prefix. See the package documentation for their meaning.
type Options struct {
	Width        int    // of the length field in bits: 8, 16, 24, 32 or 64; 0 for a varint
	LittleEndian bool   // of fields of more than 8 bits
	Prefix       string // bytes in front of the field, in the notation of a spec
	Suffix       string // bytes behind the field, in the notation of a spec
	Inclusive    bool   // the field counts the whole frame; not with a varint, not with Adjust
	Adjust       int    // how many bytes of those that follow the field does not count
	Max          int    // longest payload in bytes; 0: as long as the field can express
}

const (
	// maxPayload keeps every sum of lengths within 31 bits, so that an int holds it on every machine.
	maxPayload = math.MaxInt32 - maxFiller*2 - 16

	maxFiller = 1 << 10 // of prefix and of suffix, each
)

// New returns the Maker of the codec that o describes.
func New(o Options) (frame.Maker, error) {
	prefix, err := parseFiller("prefix", o.Prefix)
	if err != nil {
		return nil, err
	}
	suffix, err := parseFiller("suffix", o.Suffix)
	if err != nil {
		return nil, err
	}
	header := header{prefix: prefix, suffix: suffix}
	if err := header.setCounts(o); err != nil {
		return nil, err
	}
	// Neither codec has state that changes, so all connections may use the same one.
	var codec frame.Codec
	if o.Width == 0 {
		codec = newVarint(header)
	} else {
		codec = newFixed(header, o.Width/8, o.LittleEndian)
	}
	return frame.Symmetric(func() frame.Codec { return codec }), nil
}

// A header is what fixed and varint have in common.
type header struct {
	prefix, suffix filler
	base           int // what the field says of an empty payload
	max            int // longest payload
}

// setCounts computes base and max, and refuses what cannot work.
func (h *header) setCounts(o Options) error {
	field, largest := o.Width/8, uint64(math.MaxUint64)
	switch o.Width {
	case 0:
		if o.Inclusive {
			return fmt.Errorf("length: a varint cannot count itself: leave out incl")
		}
	case 8, 16, 24, 32:
		largest = 1<<o.Width - 1
	case 64:
	default:
		return fmt.Errorf("length: bad width %d (have 8, 16, 24, 32, 64, varint)", o.Width)
	}
	h.base = h.suffix.len() - o.Adjust
	if o.Inclusive {
		if o.Adjust != 0 {
			return fmt.Errorf("length: incl and adjust exclude each other")
		}
		h.base = h.prefix.len() + field + h.suffix.len()
	}
	if h.base < 0 || h.base > 2*maxFiller+8 {
		return fmt.Errorf("length: adjust=%d: the field would say %d for an empty payload (allowed: 0 to %d)",
			o.Adjust, h.base, 2*maxFiller+8)
	}
	if uint64(h.base) >= largest {
		return fmt.Errorf("length: %d bits leave no room for a payload: the header alone counts %d", o.Width, h.base)
	}
	h.max = int(min(largest-uint64(h.base), maxPayload))
	switch {
	case o.Max < 0 || o.Max > h.max:
		return fmt.Errorf("length: bad max %d (allowed: 1 to %d)", o.Max, h.max)
	case o.Max > 0:
		h.max = o.Max
	}
	return nil
}

// payloadLen returns the length of the payload that the field announces by saying v.
func (h *header) payloadLen(v uint64) (int, error) {
	n := v - uint64(h.base)
	if v < uint64(h.base) {
		return 0, errUnderrun
	}
	if n > uint64(h.max) {
		return 0, errOverlong
	}
	return int(n), nil
}

// Lenient returns what Decode ignores, "" for nothing.
func (h *header) Lenient() string {
	if h.prefix.lenient() || h.suffix.lenient() {
		return "the filler bytes marked with ~"
	}
	return ""
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errShort    = malformed("shorter than its header")
	errLength   = malformed("not as long as its length field says")
	errUnderrun = malformed("the length field says less than the header takes")
	errOverlong = malformed("the length field says more than is allowed")
	errFiller   = malformed("a constant byte of the header is wrong")
	errVarint   = malformed("the varint is longer than it needs to be")
	errTooLarge = fmt.Errorf("length: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("length: %w: %s", frame.ErrMalformed, what) }
