// Package slip carries TLS over serial lines in the frames of SLIP, RFC 1055. SLIP authenticates nothing and checks
// nothing: a byte that the line loses or bends is found by TLS, which then ends the connection.
//
// # Frames
//
//	| c0 END | payload, stuffed | c0 END |
//
//	byte of the payload   on the line
//	c0 END                db dc
//	db ESC                db dd
//	any other             as it is
//
// The END in front is the advice of the RFC: line noise that came before it becomes a frame of its own, and does not
// spoil this one. A reader takes frames with and without it, so that END bytes between frames mean nothing. An empty
// payload is two ENDs.
//
// https://www.rfc-editor.org/rfc/rfc1055.html
//
// # Grammar
//
// A spec is "slip", followed by options after a colon, with commas between them:
//
//	max=N    longest payload in bytes, sent or accepted: 1006 if left out, as the RFC has it, and at most 32767
//	noflush  write no END in front, for a peer that takes an empty frame badly
//	lossy    drop what is no frame, instead of refusing it: for DTLS, which repeats what is lost. TLS finds out that
//	         something is missing, but only with the next record
//
// # Space
//
// Stuffing may double a payload, and happens in place, so every buffer has room for that: choose max with memory in
// mind. A reader looks for the END again each time that more has come. That is quadratic in the number of reads, but
// bounded by max, and searching 2 KiB costs little beside a read.
package slip

import (
	"fmt"
	"strconv"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("slip", codecs.Info{
		Summary:  "SLIP (RFC 1055) for serial lines: END bytes around a frame, no checksum",
		Class:    codecs.Transform,
		Carriers: codecs.Stream,
		Syntax:   syntax,
		Example:  "slip",
		Tested:   "own vectors by hand from RFC 1055; TLS over a pair of pseudo-terminals",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  max=N    longest payload in bytes (default: 1006, at most 32767)
        noflush  write no END in front of a frame
        lossy    drop what is no frame, for DTLS`

const (
	// DefaultMax is the longest payload unless Options say otherwise. That of Berkeley's drivers is the one the RFC
	// recommends.
	DefaultMax = 1006

	maxMax = 1<<15 - 1 // its longest frame fits 64 KiB
)

// Options describe a SLIP line. The zero value is usable.
type Options struct {
	Max     int  // longest payload in bytes; 0: DefaultMax
	NoFlush bool // write no END in front of a frame
	Lossy   bool // drop what is no frame, instead of refusing it
}

// New returns the Maker of the codec that o describes. The codec that decodes, see [frame.CodecsOf], has a
// method Dropped() uint64, which tells how many frames it has dropped.
func New(o Options) (frame.Maker, error) {
	switch {
	case o.Max < 0 || o.Max > maxMax:
		return nil, fmt.Errorf("slip: bad max %d (allowed: 1 to %d)", o.Max, maxMax)
	case o.Max == 0:
		o.Max = DefaultMax
	}
	return frame.Symmetric(func() frame.Codec { return &codec{options: o} }), nil
}

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	if err := codecs.EachOption("slip", arg, o.set); err != nil {
		return nil, err
	}
	return New(o)
}

// set takes one option: the whole of it, what stands in front of "=" and what behind.
func (o *Options) set(option, name, value string) error {
	switch {
	case option == "noflush":
		o.NoFlush = true
	case option == "lossy":
		o.Lossy = true
	case name == "max":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("slip: bad number in %q (allowed: 1 to %d)", option, maxMax)
		}
		o.Max = n
	default:
		return fmt.Errorf("slip: unknown option %q (have max=N, noflush, lossy)", option)
	}
	return nil
}
