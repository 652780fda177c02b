// Package tpkt carries TLS over ISO transport class 0 on TCP, port 102: TPKT packets (RFC 1006) with COTP in them
// (ISO 8073, X.224). It is how controllers of the S7CommPlus family have TLS. None of it authenticates anything.
//
// # Before TLS
//
// The client asks for a connection and the server confirms it:
//
//	| TPKT | length | e0 | 00 00         | its reference | 00 | parameters |     CR, client
//	| TPKT | length | d0 | the client's  | its reference | 00 | parameters |     CC, server
//
//	c0  01  the longest TPDU, as a power of two: 07 for 128 bytes to 0d for 8192
//	c1  n   calling TSAP: who wants to be connected
//	c2  n   called TSAP: with whom
//
// A server that is told TSAPs refuses others with a disconnect request. Without c0, a TPDU may have 65531 bytes.
//
// https://www.rfc-editor.org/rfc/rfc905.html#section-13.3
//
// # Frames
//
//	offset  bytes
//	0       1      03, the version of TPKT
//	1       1      reserved: zero, and ignored by a reader
//	2       2      length of the whole packet
//	4       1      02, length of the COTP header without this byte
//	5       1      f0, data
//	6       1      80 in the last TPDU of a unit, 00 in the others; a reader ignores it
//	7              TLS
//
// https://www.rfc-editor.org/rfc/rfc1006.html#section-6
//
// What TLS hands over at once is one unit. If it exceeds a TPDU it is cut. A reader puts nothing together again: TLS is
// a stream, and its boundaries are its own affair, so no memory waits for the end of a unit. Data TPDUs without data
// mean nothing. A disconnect request of the peer ends the connection; any other TPDU is refused.
//
// # Grammar
//
// A spec is "tpkt", followed by options after a colon, with commas between them:
//
//	calling=TSAP  a client calls itself so; a server wants it, if it is given
//	called=TSAP   a client asks for it; a server wants it, if it is given
//	size=N        longest TPDU in bytes: 128, 256, .. 8192; 65531 if left out
//	connected     CR and CC have been exchanged already, or are not wanted
//	TSAP          text without a comma, or 0x and hexadecimal bytes; up to 32 bytes
package tpkt

import (
	"fmt"
	"math/bits"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("tpkt", codecs.Info{
		Summary:  "COTP data in TPKT (RFC 1006) with its connection request, as S7CommPlus has it",
		Class:    codecs.Segmenting,
		Carriers: codecs.Stream,
		Syntax:   syntax,
		Example:  "tpkt:calling=encase,called=SIMATIC-ROOT-HMI,size=1024",
		Tested:   "tshark 4.0, xrdp 0.9.21 (connection request), own vectors",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  calling=TSAP  of the client; a server wants it, if given
        called=TSAP   of the server; a server wants it, if given
        size=N        longest TPDU in bytes: 128, 256, .. 8192 (default: 65531)
        connected     no connection request and confirm
TSAP    text, or 0x and hexadecimal bytes; up to 32 bytes`

const (
	// MaxTPDU is the longest TPDU without a size: the longest that TPKT can hold.
	//
	// https://www.rfc-editor.org/rfc/rfc1006.html#section-5
	MaxTPDU = 65531

	minSize, maxSize = 128, 8192 // that c0 can say
	maxTSAP          = 32
)

// Options describe a connection. The zero value is usable.
type Options struct {
	Calling, Called []byte // TSAPs, up to 32 bytes; nil: none, and a server takes any
	Size            int    // longest TPDU in bytes, a power of two from 128 to 8192; 0: MaxTPDU, and not said
	Connected       bool   // no connection request and confirm
}

// New returns the Maker of Machines that implement [frame.Delimiter] and, unless o.Connected, [frame.Preamble]. The TSAPs
// in o must not change any more.
func New(o Options) (frame.Maker, error) {
	switch {
	case len(o.Calling) > maxTSAP || len(o.Called) > maxTSAP:
		return nil, fmt.Errorf("tpkt: a TSAP is too long (allowed: up to %d bytes)", maxTSAP)
	case o.Size != 0 && (o.Size < minSize || o.Size > maxSize || bits.OnesCount(uint(o.Size)) != 1):
		return nil, fmt.Errorf("tpkt: bad size %d (allowed: %d, %d, .. %d)", o.Size, minSize, 2*minSize, maxSize)
	}
	tpdu := MaxTPDU
	if o.Size != 0 {
		tpdu = o.Size
	}
	return func(frame.Role) (frame.Machine, error) {
		m := machine{tpdu: tpdu}
		if o.Connected {
			return &m, nil
		}
		return &caller{machine: m, options: o}, nil
	}, nil
}
