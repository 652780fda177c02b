package websocket

import (
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// Bits of the first two bytes of a frame.
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-5.2
const (
	finBit     = 0x80
	rsvBits    = 0x70
	opBits     = 0x0f
	controlBit = 0x08 // of the opcode
	maskBit    = 0x80 // of the second byte
	lengthBits = 0x7f
)

// Opcodes.
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-11.8
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

const (
	length16 = 126 // a length of 16 bits follows
	length64 = 127 // a length of 64 bits follows
	keyLen   = 4

	maxControl = 125     // payload of a control frame
	maxHeader  = 2 + 8   // without the key
	maxPayload = 1 << 24 // of a data frame; ours, the RFC has no limit below 1<<63
)

// A violation is an error that a peer's bytes cause, with the status that a close frame gives as the reason. All are
// made once, so that refusing a frame allocates nothing.
type violation struct {
	status uint16
	text   string
}

func (v *violation) Error() string { return "websocket: malformed frame: " + v.text }
func (v *violation) Unwrap() error { return frame.ErrMalformed }

var (
	errReserved     = &violation{statusProtocol, "a reserved bit is set, and no extension was agreed"}
	errOpcode       = &violation{statusProtocol, "unknown opcode"}
	errText         = &violation{statusUnsupported, "a text message; only binary ones carry TLS"}
	errLongControl  = &violation{statusProtocol, "a control frame longer than 125 bytes"}
	errCutControl   = &violation{statusProtocol, "a fragmented control frame"}
	errMasked       = &violation{statusProtocol, "a server must not mask its frames"}
	errUnmasked     = &violation{statusProtocol, "a client must mask its frames"}
	errNotMinimal   = &violation{statusProtocol, "the length takes more bytes than it needs"}
	errTooLong      = &violation{statusTooBig, fmt.Sprintf("longer than %d bytes", maxPayload)}
	errTruncated    = &violation{statusProtocol, "not as long as its length says"}
	errContinuation = &violation{statusProtocol, "a continuation of no message"}
	errInterleaved  = &violation{statusProtocol, "a new message before the last one has ended"}
	errNoProgress   = &violation{statusPolicy, "too many fragments without data"}
	errCloseLength  = &violation{statusProtocol, "a close frame with half a status"}
	errCloseStatus  = &violation{statusProtocol, "a status that no close frame may have"}
	errCloseReason  = &violation{statusNotUTF8, "the reason of a close frame is not UTF-8"}
	errAfterClose   = &violation{statusProtocol, "it comes after the close frame"}
)

// A header is that of one frame.
type header struct {
	op      byte
	fin     bool
	len     int // of the header itself, with the key; 0: not all of it is there
	payload int
}

// parseHeader reads the header at the front of p, as far as it is there. A frame that is not masked as it has to be, or
// is wrong in itself, is refused as soon as that can be told.
func parseHeader(p []byte, masked bool) (h header, v *violation) {
	if len(p) == 0 {
		return h, nil
	}
	h.op, h.fin = p[0]&opBits, p[0]&finBit != 0
	control := h.op&controlBit != 0
	switch {
	case p[0]&rsvBits != 0:
		return h, errReserved
	case h.op == opText:
		return h, errText
	case h.op&^controlBit > opBinary:
		return h, errOpcode
	case control && !h.fin:
		return h, errCutControl
	case len(p) == 1:
		return h, nil
	case masked && p[1]&maskBit == 0:
		return h, errUnmasked
	case !masked && p[1]&maskBit != 0:
		return h, errMasked
	case control && p[1]&lengthBits > maxControl:
		return h, errLongControl
	}
	n := 2
	h.payload = int(p[1] & lengthBits)
	switch {
	case h.payload == length16 && len(p) >= 4:
		n, h.payload = 4, int(binary.BigEndian.Uint16(p[2:]))
		if h.payload < length16 {
			return h, errNotMinimal
		}
	case h.payload == length64 && len(p) >= 10:
		long := binary.BigEndian.Uint64(p[2:])
		if long < 1<<16 {
			return h, errNotMinimal
		}
		if long > maxPayload {
			return h, errTooLong
		}
		n, h.payload = 10, int(long)
	case h.payload >= length16:
		return h, nil
	}
	if masked {
		n += keyLen
	}
	h.len = n
	return h, nil
}

// prependHeader puts the header of a whole message with opcode op in front of b, without the key, which stands there
// already if masked.
func prependHeader(b *frame.Buf, op byte, payload int, masked bool) {
	var p []byte
	switch {
	case payload < length16:
		p = b.Prepend(2)
		p[1] = byte(payload)
	case payload < 1<<16:
		p = b.Prepend(4)
		p[1] = length16
		binary.BigEndian.PutUint16(p[2:], uint16(payload))
	default:
		p = b.Prepend(10)
		p[1] = length64
		binary.BigEndian.PutUint64(p[2:], uint64(payload))
	}
	p[0] = finBit | op
	if masked {
		p[1] |= maskBit
	}
}
