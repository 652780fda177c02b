package inspect

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// A Message is one of the handshake.
type Message struct {
	Type        string  `json:"type"`                  // "ClientHello", ..
	Length      int     `json:"length"`                // of the whole message, without its header
	ServerName  string  `json:"server_name,omitempty"` // ClientHello: printable ASCII, other bytes escaped
	Version     string  `json:"version,omitempty"`     // ServerHello: what has been chosen
	CipherSuite string  `json:"cipher_suite,omitempty"`
	Number      *uint16 `json:"number,omitempty"`   // DTLS: of the message
	Fragment    string  `json:"fragment,omitempty"` // DTLS: which bytes of it, if not all
	Again       bool    `json:"again,omitempty"`    // DTLS: these bytes of it have been sent before
	Wrong       string  `json:"wrong,omitempty"`
}

// The layout of a message, and of DTLS, which has number, offset and length of the fragment behind it.
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4
// https://www.rfc-editor.org/rfc/rfc6347#section-4.2.2
const (
	messageLen     = 4
	dtlsMessageLen = 12
	randomLen      = 32

	clientHello = 1
	serverHello = 2

	// maxMessage bounds what is kept of a message that comes in several records. Longer ones are named, not read.
	maxMessage = 32 << 10

	maxSeen = 1 << 10 // fragments that are remembered, to tell those that come again
)

// https://www.iana.org/assignments/tls-parameters/tls-parameters.xhtml#tls-parameters-7
var messageNames = map[byte]string{
	0: "HelloRequest", 1: "ClientHello", 2: "ServerHello", 3: "HelloVerifyRequest", 4: "NewSessionTicket",
	5: "EndOfEarlyData", 8: "EncryptedExtensions", 11: "Certificate", 12: "ServerKeyExchange",
	13: "CertificateRequest", 14: "ServerHelloDone", 15: "CertificateVerify", 16: "ClientKeyExchange",
	20: "Finished", 21: "CertificateURL", 22: "CertificateStatus", 23: "SupplementalData", 24: "KeyUpdate",
	25: "CompressedCertificate",
}

func messageName(t byte) string {
	if name, ok := messageNames[t]; ok {
		return name
	}
	return fmt.Sprintf("type %d", t)
}

// messages puts together the handshake messages of one direction.
type messages struct {
	rest []byte // of a message that is not complete
	skip int    // bytes to come of one that was too long
	seen map[fragment]bool
}

// A fragment is a part of a message of DTLS.
type fragment struct {
	kind   byte
	number uint16
	offset int
}

// read takes the body of a handshake record of TLS and returns the messages that are complete with it.
func (m *messages) read(body []byte, known *agreement) []Message {
	n := min(m.skip, len(body))
	m.skip -= n
	m.rest = append(m.rest, body[n:]...)
	var all []Message
	for len(m.rest) >= messageLen {
		size := messageLen + uint24(m.rest[1:])
		msg := Message{Type: messageName(m.rest[0]), Length: size - messageLen}
		if size > maxMessage {
			msg.Wrong = "too long to be read"
			all = append(all, msg)
			m.skip = max(0, size-len(m.rest))
			m.rest = m.rest[min(size, len(m.rest)):]
			continue
		}
		if size > len(m.rest) {
			break
		}
		msg.hello(m.rest[0], m.rest[messageLen:size], known)
		all = append(all, msg)
		m.rest = m.rest[size:]
	}
	return all
}

// datagram takes the body of a handshake record of DTLS.
func (m *messages) datagram(body []byte) []Message {
	var all []Message
	for len(body) > 0 {
		if len(body) < dtlsMessageLen || uint24(body[9:]) > len(body)-dtlsMessageLen {
			return append(all, Message{Type: messageName(body[0]), Length: len(body), Wrong: "malformed"})
		}
		number := binary.BigEndian.Uint16(body[4:])
		length, offset, n := uint24(body[1:]), uint24(body[6:]), uint24(body[9:])
		msg := Message{Type: messageName(body[0]), Length: length, Number: &number}
		msg.Again = m.again(fragment{body[0], number, offset})
		if n != length {
			msg.Fragment = fmt.Sprintf("%d to %d", offset, offset+n)
		} else {
			msg.hello(body[0], body[dtlsMessageLen:][:n], new(agreement)) // epochs tell what is encrypted
		}
		all = append(all, msg)
		body = body[dtlsMessageLen+n:]
	}
	return all
}

// again reports whether f has been here before.
func (m *messages) again(f fragment) bool {
	if m.seen[f] {
		return true
	}
	if m.seen == nil || len(m.seen) >= maxSeen {
		m.seen = map[fragment]bool{}
	}
	m.seen[f] = true
	return false
}

// hello reads the body of a ClientHello or ServerHello.
func (m *Message) hello(kind byte, body []byte, known *agreement) {
	ok := true
	switch kind {
	case clientHello:
		ok = m.client(body)
	case serverHello:
		var version uint16
		version, ok = m.server(body)
		known.tls13 = ok && version == tls.VersionTLS13
	}
	if !ok {
		m.Wrong = "malformed"
	}
}

// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2
func (m *Message) client(body []byte) bool {
	r := &reader{p: body}
	version := r.uint16()
	r.bytes(randomLen)
	r.vector8() // session ID
	if version>>8 == dtlsMajor {
		r.vector8() // cookie
	}
	r.vector16() // cipher suites
	r.vector8()  // compression
	r.extensions(func(kind uint16, e *reader) {
		if kind == extServerName {
			names := e.vector16()
			names.bytes(1) // kind of the name: there is one only
			m.ServerName = printable(names.vector16().p)
		}
	})
	return !r.failed
}

// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3
func (m *Message) server(body []byte) (version uint16, ok bool) {
	r := &reader{p: body}
	version = r.uint16()
	r.bytes(randomLen)
	r.vector8() // session ID
	suite := r.uint16()
	r.bytes(1) // compression
	r.extensions(func(kind uint16, e *reader) {
		if kind == extVersions {
			version = e.uint16()
		}
	})
	m.Version, m.CipherSuite = versionName(version), tls.CipherSuiteName(suite)
	return version, !r.failed
}

// https://www.iana.org/assignments/tls-extensiontype-values/tls-extensiontype-values.xhtml
const (
	extServerName = 0
	extVersions   = 43
)

// A reader takes bytes apart. Once a read has asked for more than there is, all fail.
type reader struct {
	p      []byte
	failed bool
}

func (r *reader) bytes(n int) []byte {
	if r.failed || n > len(r.p) {
		r.failed = true
		return make([]byte, min(n, 2)) // for the numbers
	}
	p := r.p[:n:n]
	r.p = r.p[n:]
	return p
}

func (r *reader) uint16() uint16    { return binary.BigEndian.Uint16(r.bytes(2)) }
func (r *reader) vector8() *reader  { return r.vector(int(r.bytes(1)[0])) }
func (r *reader) vector16() *reader { return r.vector(int(r.uint16())) }

func (r *reader) vector(n int) *reader {
	p := r.bytes(n)
	if r.failed {
		return &reader{failed: true}
	}
	return &reader{p: p}
}

// extensions calls f for each; a hello may have none.
func (r *reader) extensions(f func(kind uint16, e *reader)) {
	if r.failed || len(r.p) == 0 {
		return
	}
	all := r.vector16()
	for !all.failed && len(all.p) > 0 {
		if kind, e := all.uint16(), all.vector16(); !all.failed {
			f(kind, e)
		}
	}
	r.failed = r.failed || all.failed
}

func uint24(p []byte) int { return int(p[0])<<16 | int(p[1])<<8 | int(p[2]) }

// printable returns p with all escaped that is not printable ASCII, and cut.
func printable(p []byte) string {
	const most = 255 // of a name in DNS
	cut := ""
	if len(p) > most {
		p, cut = p[:most], "..."
	}
	s := strconv.QuoteToASCII(string(p))
	return strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`) + cut
}
