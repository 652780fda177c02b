// Package capwap carries DTLS between an access controller and wireless access points, or other termination points, as
// CAPWAP has it on UDP ports 5246 (control) and 5247 (data), RFC 5415. CAPWAP's own part of a packet authenticates
// nothing.
//
// # Frames
//
//	offset  bits
//	0       4     version, 0
//	0       4     type of what follows: 1 for DTLS, 0 for CAPWAP in the clear
//	1       24    reserved: zero, and ignored by a reader; only with type 1
//	4             a DTLS datagram
//
// https://www.rfc-editor.org/rfc/rfc5415.html#section-4.1
//
// Packets in the clear, those of discovery and of an unprotected data channel, are side traffic: [frame.Side] has all
// of one, preamble included. Packets of another version or type are refused, that is, dropped.
//
// # Grammar
//
// A spec is "capwap". It takes no argument.
package capwap

import (
	"fmt"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("capwap", codecs.Info{
		Summary:  "the DTLS header of CAPWAP (RFC 5415); CAPWAP in the clear beside it",
		Class:    codecs.Multiplexing,
		Carriers: codecs.Datagram,
		Example:  "capwap",
		Tested:   "tshark 4.0, OpenSSL's DTLS through a lossy relay, own vectors",
	}, parse)
}

func parse(arg string) (frame.Maker, error) {
	if arg != "" {
		return nil, fmt.Errorf("capwap: takes no argument, not %q", arg)
	}
	return Maker, nil
}

// Maker is a [frame.Maker]. Both roles send the same frames.
func Maker(frame.Role) (frame.Machine, error) { return machine{}, nil }

const (
	headerLen   = 4
	minClear    = 8     // the shortest CAPWAP header in the clear
	maxDatagram = 65507 // of UDP over IPv4

	preambleClear = 0x00 // version 0, type 0
	preambleDTLS  = 0x01 // version 0, type 1
)

// machine has no state: a frame is all there is to know.
type machine struct{}

// Limits implements [frame.Machine].
func (machine) Limits() frame.Limits {
	return frame.Limits{Head: headerLen, Max: maxDatagram - headerLen}
}

// Start implements [frame.Machine].
func (machine) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }

// Send implements [frame.Machine]. Each b becomes one datagram.
func (machine) Send(ev []frame.Event, b *frame.Buf, _ bool) ([]frame.Event, error) {
	switch {
	case b == nil:
		return ev, nil
	case b.Len() > maxDatagram-headerLen:
		b.Release()
		return ev, errTooLarge
	}
	copy(b.Prepend(headerLen), []byte{preambleDTLS, 0, 0, 0})
	return append(ev, frame.Event{Kind: frame.Out, Buf: b}), nil
}

// Recv implements [frame.Machine].
func (machine) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p := b.Bytes()
	switch {
	case len(p) < headerLen:
		return ev, errShort
	case p[0] == preambleClear && len(p) < minClear:
		return ev, errShort
	case p[0] == preambleClear:
		return append(ev, frame.Event{Kind: frame.Side, Buf: b}), nil
	case p[0] != preambleDTLS:
		return ev, errPreamble
	}
	if b.TrimFront(headerLen); b.Len() == 0 {
		return ev, nil
	}
	return append(ev, frame.Event{Kind: frame.In, Buf: b}), nil
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errShort    = malformed("shorter than its header")
	errPreamble = malformed("neither version 0 and DTLS nor version 0 in the clear")
	errTooLarge = fmt.Errorf("capwap: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("capwap: %w: %s", frame.ErrMalformed, what) }
