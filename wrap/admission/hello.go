package admission

import (
	"bytes"
	"encoding/binary"
)

// A Hello is what a ClientHello says of itself. Its slices alias the datagram. Nothing in it has been proven.
type Hello struct {
	Random    []byte // 32 bytes
	SessionID []byte // up to 32 bytes; empty: the client resumes nothing
	Cookie    []byte // up to 255 bytes; empty in the first ClientHello of a handshake
	Seq       uint16 // number of the message: 0 for the first, one more for each HelloVerifyRequest
	Whole     bool   // the message is not a first fragment with the rest to come
}

const (
	typeHandshake = 22

	msgClientHello        = 1
	msgServerHello        = 2
	msgHelloVerifyRequest = 3

	version10 = 0xfeff // in the first records of many handshakes
	version12 = 0xfefd

	recordHeader  = 13
	messageHeader = 12
	randomLen     = 32

	// maxHello is the longest ClientHello that is believed: certificates are not in it, tickets and key shares are.
	maxHello = 16 << 10
	// maxSeq allows for a server that asks for a cookie again.
	maxSeq = 8
)

// ParseHello parses a datagram that begins with a ClientHello of DTLS 1.2, or with the first fragment of one that
// contains at least the cookie. ok is false if it does not: then it is no datagram to answer an unknown peer for. It
// allocates nothing. Extensions are not looked into.
//
// Clients of DTLS 1.3 say that they are of 1.2, in this place; those of 1.0 alone are not taken.
//
// https://www.rfc-editor.org/rfc/rfc6347#section-4.2.1 https://www.rfc-editor.org/rfc/rfc6347#section-4.2.2
func ParseHello(datagram []byte) (h Hello, ok bool) {
	m, ok := firstMessage(datagram)
	if !ok || m.typ != msgClientHello || m.length > maxHello || m.seq > maxSeq {
		return Hello{}, false
	}
	h.Seq, h.Whole = m.seq, len(m.body) == m.length
	r := reader{m.body}
	version := r.take(2)
	h.Random, h.SessionID, h.Cookie = r.take(randomLen), r.vector(1), r.vector(1)
	switch {
	case r.p == nil || len(h.SessionID) > 32 || binary.BigEndian.Uint16(version) != version12:
		return Hello{}, false
	case h.Whole && !offersEndWell(&r):
		return Hello{}, false
	}
	return h, true
}

// offersEndWell reports whether what follows the cookie fills the message: cipher suites, compression methods with
// "none" among them, and extensions, if any.
func offersEndWell(r *reader) bool {
	suites, methods := r.vector(2), r.vector(1)
	if len(suites) == 0 || len(suites)%2 != 0 || bytes.IndexByte(methods, 0) < 0 {
		return false
	}
	if len(r.p) > 0 {
		r.vector(2)
	}
	return r.p != nil && len(r.p) == 0
}

// IsLaterFragment reports whether a datagram begins with a fragment of a ClientHello that is not the first: it means
// something only to who has that.
func IsLaterFragment(datagram []byte) bool {
	m, ok := firstFragment(datagram)
	return ok && m.typ == msgClientHello && m.offset > 0 && m.length <= maxHello
}

// ParseVerify returns the cookie in a HelloVerifyRequest. It is for datagrams of the server's own engine.
// https://www.rfc-editor.org/rfc/rfc6347#section-4.2.1
func ParseVerify(datagram []byte) (cookie []byte, ok bool) {
	m, ok := firstMessage(datagram)
	if !ok || m.typ != msgHelloVerifyRequest || len(m.body) != m.length {
		return nil, false
	}
	r := reader{m.body}
	r.take(2)
	cookie = r.vector(1)
	return cookie, r.p != nil && len(r.p) == 0
}

// IsServerHello reports whether a datagram begins with a ServerHello. It is for datagrams of the server's own engine:
// the engine says one when the client has returned its cookie, see Gate.Proven.
func IsServerHello(datagram []byte) bool {
	m, ok := firstMessage(datagram)
	return ok && m.typ == msgServerHello
}

// A message is a handshake message, or a fragment of one.
type message struct {
	typ    uint8
	length int // of the whole
	seq    uint16
	offset int
	body   []byte // of the fragment
}

// firstMessage returns the unprotected handshake message with which a datagram begins, if that is its beginning.
func firstMessage(p []byte) (message, bool) {
	m, ok := firstFragment(p)
	return m, ok && m.offset == 0
}

// firstFragment returns the part of an unprotected handshake message with which a datagram begins.
//
//	0      1         3       5          11       13     14       17    19       22       25
//	┌──────┬─────────┬───────┬──────────┬────────╥──────┬────────┬─────┬────────┬────────┬──────┐
//	│ type │ version │ epoch │ sequence │ length ║ type │ length │ seq │ offset │ length │ body │
//	└──────┴─────────┴───────┴──────────┴────────╨──────┴────────┴─────┴────────┴────────┴──────┘
//
// https://www.rfc-editor.org/rfc/rfc6347#section-4.1 https://www.rfc-editor.org/rfc/rfc6347#section-4.2.2
func firstFragment(p []byte) (m message, ok bool) {
	if len(p) < recordHeader+messageHeader || p[0] != typeHandshake {
		return m, false
	}
	version, epoch := binary.BigEndian.Uint16(p[1:]), binary.BigEndian.Uint16(p[3:])
	recordLen := int(binary.BigEndian.Uint16(p[11:]))
	if version != version10 && version != version12 || epoch != 0 || recordLen > len(p)-recordHeader {
		return m, false
	}
	p = p[recordHeader : recordHeader+recordLen]
	if len(p) < messageHeader {
		return m, false
	}
	m = message{typ: p[0], length: uint24(p[1:]), seq: binary.BigEndian.Uint16(p[4:]), offset: uint24(p[6:])}
	n := uint24(p[9:])
	p = p[messageHeader:]
	if m.offset+n > m.length || n > len(p) {
		return m, false
	}
	m.body = p[:n:n]
	return m, true
}

func uint24(p []byte) int { return int(p[0])<<16 | int(p[1])<<8 | int(p[2]) }

// A reader takes fields off a message. When there is not enough of it, p becomes nil, and stays so.
type reader struct{ p []byte }

func (r *reader) take(n int) []byte {
	if r.p == nil || n > len(r.p) {
		r.p = nil
		return nil
	}
	field := r.p[:n:n]
	r.p = r.p[n:]
	return field
}

// vector takes a field that stands behind its own length, which has so many bytes.
func (r *reader) vector(lenBytes int) []byte {
	n := 0
	for _, b := range r.take(lenBytes) {
		n = n<<8 | int(b)
	}
	return r.take(n)
}
