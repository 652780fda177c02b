package eap

import (
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// Codes of packets. https://www.rfc-editor.org/rfc/rfc3748.html#section-4
const (
	CodeRequest  = 1
	CodeResponse = 2
	CodeSuccess  = 3
	CodeFailure  = 4
)

// Types of requests and responses. https://www.rfc-editor.org/rfc/rfc3748.html#section-5
const (
	typeIdentity     = 1
	typeNotification = 2
	typeNak          = 3
	typeTLS          = 13
	typeExpanded     = 254 // in answer to a type that is not known: a Nak of its own
)

// Flags of EAP-TLS. https://www.rfc-editor.org/rfc/rfc5216.html#section-3.1
const (
	flagLength = 0x80
	flagMore   = 0x40
	flagStart  = 0x20
)

const (
	codeLen   = 4             // what Success and Failure have
	headerLen = codeLen + 1   // with the type
	tlsLen    = headerLen + 1 // with the flags
	totalLen  = 4             // length of the flight
	lowerRoom = 16            // in front of each packet, for the protocol below
	mostAhead = tlsLen + totalLen
)

// A packet is one that was received, its padding cut off.
type packet struct {
	code, id byte
	typ      byte   // 0 with Success and Failure
	data     []byte // behind the type
}

// parse takes a packet apart. p.data is part of b.
func parse(b []byte) (p packet, err error) {
	if len(b) < codeLen {
		return p, errShort
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	p.code, p.id = b[0], b[1]
	switch {
	case n < codeLen || n > len(b):
		return p, errLength
	case p.code == CodeSuccess || p.code == CodeFailure:
		return p, nil
	case p.code != CodeRequest && p.code != CodeResponse:
		return p, errCode
	case n < headerLen:
		return p, errShort
	}
	p.typ, p.data = b[codeLen], b[headerLen:n]
	return p, nil
}

// newPacket returns a packet with room in front. data may be nil; typ is 0 for none.
func newPacket(code, id, typ byte, data []byte) *frame.Buf {
	b := frame.Get(lowerRoom+mostAhead, len(data))
	copy(b.Append(len(data)), data)
	if typ != 0 {
		b.Prepend(1)[0] = typ
	}
	finish(b, code, id)
	return b
}

// newTLS returns a packet of EAP-TLS. total is told if flags have flagLength.
func newTLS(code, id, flags byte, total int, data []byte) *frame.Buf {
	b := frame.Get(lowerRoom+mostAhead, len(data))
	copy(b.Append(len(data)), data)
	if flags&flagLength != 0 {
		binary.BigEndian.PutUint32(b.Prepend(totalLen), uint32(total))
	}
	head := b.Prepend(2)
	head[0], head[1] = typeTLS, flags
	finish(b, code, id)
	return b
}

func finish(b *frame.Buf, code, id byte) {
	n := b.Len() + codeLen
	head := b.Prepend(codeLen)
	head[0], head[1] = code, id
	binary.BigEndian.PutUint16(head[2:], uint16(n))
}

// IdentityRequest returns the packet with which an authenticator begins.
// https://www.rfc-editor.org/rfc/rfc3748.html#section-5.1
func IdentityRequest(id byte) []byte { return []byte{CodeRequest, id, 0, headerLen, typeIdentity} }

// Errors of bytes that came from the other end are made once, so that a flood of them allocates nothing. The first
// leave the exchange as it was: anybody may have sent such a packet.
var (
	errShort      = malformed("shorter than its header")
	errLength     = malformed("not as long as it says")
	errCode       = malformed("an unknown code, or that of the wrong end")
	errIdentifier = malformed("a response to what was not asked")
	errType       = malformed("of a type that does not belong here")
	errTurn       = malformed("a request before the last one was answered")
	errNoStart    = malformed("EAP-TLS without a start")
	errRestart    = malformed("a start in the middle of the exchange")
	errEarly      = malformed("success before TLS has come to its end")
	errLate       = malformed("failure after the server has confirmed success")
	errStranger   = malformed("success or failure that answers no response")
)

// These end the exchange: the other end does not keep to the protocol.
var (
	errNoTotal = malformed("the first of several fragments does not say how long the flight is")
	errTotal   = malformed("fragments of one flight say different lengths")
	errLong    = malformed("a flight longer than max")
	errOverrun = malformed("more bytes than the length of the flight says")
	errMore    = malformed("more fragments after the whole flight")
	errMissing = malformed("the last fragment does not complete the flight")
	errEmpty   = malformed("a fragment without data, and more to follow")
	errNoAck   = malformed("a fragment is answered by data")
	errIdle    = malformed("packets without data again and again")
)

func malformed(what string) error { return fmt.Errorf("eap: %w: %s", frame.ErrMalformed, what) }
