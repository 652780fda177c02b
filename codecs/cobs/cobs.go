// Package cobs carries TLS over serial lines in the frames of COBS, consistent overhead byte stuffing: no byte of a
// frame is zero, so a zero ends it, and the cost is one byte in 254, whatever the payload. A checksum can stand behind
// the payload, against the line. Neither authenticates anything.
//
// # Frames
//
//	| payload and checksum, stuffed | 00 |
//
// What is stuffed is cut at its zeros, and longer pieces into pieces of 254 bytes. Each piece becomes a block:
//
//	| 01 + length | piece |     up to 253 bytes, and a zero behind them, except at the end
//	| ff          | piece |     254 bytes, and no zero behind them
//
// A piece of 254 bytes at the end needs no block behind it; an empty one that other programs write there is accepted.
// A zero without a frame in front of it means nothing. An empty payload is 01 00.
//
// COBS is the invention of S. Cheshire and M. Baker, https://www.stuartcheshire.org/papers/COBSforToN.pdf; the
// checksums and their order are those that PPP has, RFC 1662: least significant byte first.
//
// https://www.rfc-editor.org/rfc/rfc1662.html#appendix-C
//
// # Grammar
//
// A spec is "cobs", followed by options after a colon, with commas between them:
//
//	crc=16  a checksum of 16 bits behind the payload: FCS-16, also called CRC-16/X-25
//	crc=32  one of 32 bits: FCS-32, the CRC-32 of Ethernet
//	max=N   longest payload in bytes, sent or accepted: 18437 if left out, the longest TLS record, and at most 65000
//	lossy   drop what is no frame, instead of refusing it: for DTLS, which repeats what is lost. TLS finds out that
//	        something is missing, but only with the next record
//
// A reader looks for the zero again each time that more has come. That is quadratic in the number of reads, but bounded
// by max, and searching 18 KiB costs about as much as a read.
package cobs

import (
	"fmt"
	"strconv"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("cobs", codecs.Info{
		Summary:  "COBS for serial lines: no zero in a frame, one behind it, perhaps a CRC",
		Class:    codecs.Transform,
		Carriers: codecs.Stream,
		Syntax:   syntax,
		Example:  "cobs:crc=16",
		Tested:   "the examples of the paper, own vectors; TLS over a pair of pseudo-terminals",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  crc=16, crc=32  a checksum behind the payload (default: none)
        max=N           longest payload in bytes (default: 18437, at most 65000)
        lossy           drop what is no frame, for DTLS`

const (
	// DefaultMax is the longest payload unless Options say otherwise: TLS 1.2 allows a record of 16 KiB to grow by
	// 2048 bytes, and has a header of five.
	//
	// https://www.rfc-editor.org/rfc/rfc5246.html#section-6.2.3
	DefaultMax = 5 + 1<<14 + 2048

	maxMax = 65000 // its longest frame fits 64 KiB
)

// Options describe a COBS line. The zero value is usable.
type Options struct {
	CRC   int  // bits of the checksum: 0, 16 or 32
	Max   int  // longest payload in bytes; 0: DefaultMax
	Lossy bool // drop what is no frame, instead of refusing it
}

// New returns the Maker of the codec that o describes. The codec that decodes, see [frame.CodecsOf], has a
// method Dropped() uint64, which tells how many frames it has dropped.
func New(o Options) (frame.Maker, error) {
	switch {
	case o.CRC != 0 && o.CRC != 16 && o.CRC != 32:
		return nil, fmt.Errorf("cobs: bad crc %d (have 16, 32)", o.CRC)
	case o.Max < 0 || o.Max > maxMax:
		return nil, fmt.Errorf("cobs: bad max %d (allowed: 1 to %d)", o.Max, maxMax)
	case o.Max == 0:
		o.Max = DefaultMax
	}
	return frame.Symmetric(func() frame.Codec { return &codec{options: o} }), nil
}

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	if err := codecs.EachOption("cobs", arg, o.set); err != nil {
		return nil, err
	}
	return New(o)
}

// set takes one option: the whole of it, what stands in front of "=" and what behind.
func (o *Options) set(option, name, value string) error {
	if option == "lossy" {
		o.Lossy = true
		return nil
	}
	fields := map[string]*int{"crc": &o.CRC, "max": &o.Max}
	field, known := fields[name]
	if !known {
		return fmt.Errorf("cobs: unknown option %q (have crc=16, crc=32, max=N, lossy)", option)
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return fmt.Errorf("cobs: bad number in %q (allowed: crc=16, crc=32; max=1 to %d)", option, maxMax)
	}
	*field = n
	return nil
}
