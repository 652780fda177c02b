// Package hdlc carries TLS over serial lines in the frames that PPP has on asynchronous lines: flags around a frame,
// escapes in it, and a frame check sequence against faults of the line, RFC 1662. It authenticates nothing.
//
// # Frames
//
//	| 7e flag | header | payload | FCS | 7e flag |
//	          '-------- stuffed -------'
//
//	header  ff 03: all stations, unnumbered information; other bytes, or none, if the spec says so
//	FCS     16 or 32 bits over header and payload, the least significant byte first
//
//	byte               on the line
//	7e flag            7d 5e
//	7d escape          7d 5d
//	00 to 1f           if its bit in the ACCM is set: 7d, and the byte xor 20
//	any other          as it is
//
// One flag may end a frame and begin the next. A reader also takes other bytes escaped, and drops control characters of
// the ACCM that come as they are: equipment on the way has put them there.
//
// https://www.rfc-editor.org/rfc/rfc1662.html#section-4
//
// A frame that is aborted (7d 7e), or shorter than header and FCS, means nothing: between frames lines have noise. A
// frame with a wrong FCS or header is refused, and with it the stream: TLS cannot do without what was in it.
//
// # Grammar
//
// A spec is "hdlc", followed by options after a colon, with commas between them:
//
//	fcs=16        length of the check sequence in bits: 16 if left out, or 32
//	accm=HEX      the control characters that are escaped, a bit for each: 00000000 if left out, none; 000a0000 for a
//	              line where XON and XOFF have a meaning; ffffffff is what PPP has before it agrees on less
//	header=BYTES  the bytes in front of the payload, up to 8 in hexadecimal: ff03 if left out; "none" for none.
//	              ff03 and a protocol number make it a frame of PPP
//	max=N         longest payload in bytes, sent or accepted: 1500 if left out, as PPP has it, and at most 32000
//	lossy         drop what is no frame, instead of refusing it: for DTLS, which repeats what is lost. TLS finds out
//	              that something is missing, but only with the next record
//
// # Space
//
// Stuffing may double a frame, and happens in place, so every buffer has room for that: choose max with memory in mind.
// A reader looks for the flag again each time that more has come. That is quadratic in the number of reads, but bounded
// by max, and searching 3 KiB costs little beside a read.
package hdlc

import (
	"bytes"
	"fmt"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("hdlc", codecs.Info{
		Summary:  "HDLC-like framing of PPP (RFC 1662) for serial lines: flags, escapes, FCS",
		Class:    codecs.Transform,
		Carriers: codecs.Stream,
		Syntax:   syntax,
		Example:  "hdlc",
		Tested:   "tshark 4.0 (ppp_raw_hdlc), own vectors; TLS over a pair of pseudo-terminals",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  fcs=16, fcs=32  length of the check sequence in bits (default: 16)
        accm=HEX        control characters to escape, a bit for each (default: 00000000)
        header=BYTES    hexadecimal bytes in front of the payload, or none (default: ff03)
        max=N           longest payload in bytes (default: 1500, at most 32000)
        lossy           drop what is no frame, for DTLS`

const (
	// DefaultMax is the longest payload unless Options say otherwise: the maximum receive unit of PPP.
	//
	// https://www.rfc-editor.org/rfc/rfc1661.html#section-6.1
	DefaultMax = 1500

	maxMax    = 32000 // its longest frame fits 64 KiB
	maxHeader = 8
)

// Options describe a line. The zero value is usable.
type Options struct {
	FCS    int    // bits of the check sequence: 16 or 32; 0: 16
	ACCM   uint32 // bit n says that control character n must be escaped
	Header []byte // in front of the payload; nil: ff 03. New copies it
	Max    int    // longest payload in bytes; 0: DefaultMax
	Lossy  bool   // drop what is no frame, instead of refusing it
}

// New returns the Maker of the codec that o describes. The codec that decodes, see [frame.CodecsOf], has a
// method Dropped() uint64, which tells how many frames it has taken for noise.
func New(o Options) (frame.Maker, error) {
	switch {
	case o.FCS != 0 && o.FCS != 16 && o.FCS != 32:
		return nil, fmt.Errorf("hdlc: bad fcs %d (have 16, 32)", o.FCS)
	case len(o.Header) > maxHeader:
		return nil, fmt.Errorf("hdlc: bad header of %d bytes (allowed: up to %d)", len(o.Header), maxHeader)
	case o.Max < 0 || o.Max > maxMax:
		return nil, fmt.Errorf("hdlc: bad max %d (allowed: 1 to %d)", o.Max, maxMax)
	}
	if o.FCS == 0 {
		o.FCS = 16
	}
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	header := []byte{0xff, 0x03} // https://www.rfc-editor.org/rfc/rfc1662.html#section-3.1
	if o.Header != nil {
		header = bytes.Clone(o.Header)
	}
	special := newSpecials(o.ACCM)
	return frame.Symmetric(func() frame.Codec {
		return &codec{special: special, header: header, fcsLen: o.FCS / 8, max: o.Max, lossy: o.Lossy}
	}), nil
}
