package inspect

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
)

// A Record is one of TLS or DTLS, as far as it can be read without keys. What is in it may come from an attacker: only
// names that this package chooses are shown as they are, others are escaped.
type Record struct {
	Type      string    `json:"type"`    // "handshake", "alert", ..
	Version   string    `json:"version"` // as the record has it: TLS 1.3 says "TLS 1.2"
	Length    int       `json:"length"`  // of the body, in bytes
	Epoch     *uint16   `json:"epoch,omitempty"`
	Number    *uint64   `json:"number,omitempty"` // of the record in its epoch; both DTLS only
	Encrypted bool      `json:"encrypted,omitempty"`
	Messages  []Message `json:"messages,omitempty"` // of the handshake, in the clear, that are complete with this record
	Alert     string    `json:"alert,omitempty"`
	Wrong     string    `json:"wrong,omitempty"` // why the bytes are no record
}

// The layout of a record of TLS, and of DTLS, which has epoch and sequence number before the length.
//
// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
// https://www.rfc-editor.org/rfc/rfc6347#section-4.1
const (
	tlsHeaderLen  = 5
	dtlsHeaderLen = 13
	tlsMajor      = 0x03
	dtlsMajor     = 0xfe
	maxMinor      = 0x04

	// maxBody is the longest body that TLS 1.2 allows.
	//
	// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3
	maxBody = 1<<14 + 2048
)

const (
	typeCCS       = 20
	typeAlert     = 21
	typeHandshake = 22
	typeData      = 23
	typeHeartbeat = 24
	typeCID       = 25
)

var typeNames = [...]string{"change cipher spec", "alert", "handshake", "application data", "heartbeat", "tls12_cid"}

// An agreement is what both directions of a connection know.
type agreement struct {
	tls13 bool // the server has chosen TLS 1.3: change_cipher_spec means nothing, handshake records are in the clear
}

// A RecordReader reads the records of one direction. The zero value is ready for use.
type RecordReader struct {
	known  *agreement // nil: the other direction is not read
	rest   []byte     // of a record that is not complete
	hello  messages
	secret bool // handshake records are encrypted
	lost   bool // what comes is no TLS, or a part of it is missing: the next record is one that begins with a frame
}

// isDTLS reports whether p begins as a record of DTLS does.
func isDTLS(p []byte) bool { return len(p) > 1 && p[1] == dtlsMajor && recordType(p[0]) }

func recordType(t byte) bool { return t >= typeCCS && t <= typeCID }

// isTLS reports whether p begins as a record of TLS does.
func isTLS(p []byte) bool {
	return len(p) >= tlsHeaderLen && recordType(p[0]) && p[1] == tlsMajor && p[2] <= maxMinor &&
		binary.BigEndian.Uint16(p[3:]) <= maxBody
}

// isHello reports whether p begins as a first flight of TLS does.
func isHello(p []byte) bool {
	return isTLS(p) && len(p) > tlsHeaderLen && p[0] == typeHandshake && (p[5] == clientHello || p[5] == serverHello)
}

// Read returns the records that are complete with p, which may hold any part of a stream of TLS, or one datagram of
// DTLS. p is neither changed nor retained.
func (r *RecordReader) Read(p []byte) []Record {
	if r.known == nil {
		r.known = new(agreement)
	}
	if r.lost && (isTLS(p) || isDTLS(p)) {
		r.find()
	}
	switch {
	case r.lost:
		return nil
	case len(r.rest) == 0 && (isDTLS(p) || isUnified(p)):
		return r.datagram(p)
	}
	r.rest = append(r.rest, p...)
	var all []Record
	for len(r.rest) >= tlsHeaderLen && !r.lost {
		n := tlsHeaderLen + int(binary.BigEndian.Uint16(r.rest[3:]))
		if !isTLS(r.rest) {
			all = append(all, Record{Type: "unknown", Length: len(r.rest), Wrong: "no TLS record begins here"})
			r.lose()
			break
		}
		if n > len(r.rest) {
			break
		}
		all = append(all, r.record(r.rest[:n]))
		r.rest = r.rest[n:]
	}
	return all
}

// lose gives up: nothing tells where the next record begins.
func (r *RecordReader) lose() { r.lost, r.rest, r.hello = true, nil, messages{} }

// find starts anew at a record.
func (r *RecordReader) find() { r.lost, r.rest, r.hello = false, nil, messages{} }

// record reads a whole record.
func (r *RecordReader) record(p []byte) Record {
	body := p[tlsHeaderLen:]
	rec := Record{Type: typeNames[p[0]-typeCCS], Version: versionName(binary.BigEndian.Uint16(p[1:])), Length: len(body)}
	r.contents(&rec, p[0], body, func() []Message { return r.hello.read(body, r.known) })
	return rec
}

// contents sets what can be told of the body of a record. handshake reads it as messages.
func (r *RecordReader) contents(rec *Record, kind byte, body []byte, handshake func() []Message) {
	rec.Encrypted = r.secret && (!r.known.tls13 || kind == typeData) || kind == typeData || kind == typeCID
	switch {
	case rec.Encrypted:
	case kind == typeCCS:
		r.secret = !r.known.tls13
	case kind == typeAlert:
		rec.Alert = alert(body)
	case kind == typeHandshake:
		rec.Messages = handshake()
	}
}

// isUnified reports whether p begins as an encrypted record of DTLS 1.3 does.
//
// https://www.rfc-editor.org/rfc/rfc9147#section-4
func isUnified(p []byte) bool { return len(p) > 0 && p[0]>>5 == 1 }

// datagram reads the records of one datagram.
func (r *RecordReader) datagram(p []byte) []Record {
	var all []Record
	for len(p) > 0 {
		if isUnified(p) {
			return append(all, Record{Type: "encrypted", Version: "DTLS 1.3", Length: len(p), Encrypted: true})
		}
		if len(p) < dtlsHeaderLen || !isDTLS(p) {
			return append(all, Record{Type: "unknown", Length: len(p), Wrong: "no DTLS record begins here"})
		}
		n := dtlsHeaderLen + int(binary.BigEndian.Uint16(p[11:]))
		if n > len(p) || p[0] == typeCID { // the length of a connection ID is not in the record
			n = len(p)
		}
		all = append(all, r.dtlsRecord(p[:n]))
		p = p[n:]
	}
	return all
}

func (r *RecordReader) dtlsRecord(p []byte) Record {
	body := p[dtlsHeaderLen:]
	epoch := binary.BigEndian.Uint16(p[3:])
	number := binary.BigEndian.Uint64(p[3:]) & (1<<48 - 1)
	rec := Record{
		Type: typeNames[p[0]-typeCCS], Version: versionName(binary.BigEndian.Uint16(p[1:])), Length: len(body),
		Epoch: &epoch, Number: &number,
	}
	if declared := int(binary.BigEndian.Uint16(p[11:])); declared > len(body) && p[0] != typeCID {
		rec.Wrong = fmt.Sprintf("says %d bytes, there are %d", declared, len(body))
		return rec
	}
	if epoch > 0 {
		rec.Encrypted = true
		return rec
	}
	r.contents(&rec, p[0], body, func() []Message { return r.hello.datagram(body) })
	r.secret = false // the epoch tells
	return rec
}

// https://www.rfc-editor.org/rfc/rfc8446#section-6
func alert(body []byte) string {
	if len(body) != 2 {
		return "malformed"
	}
	level := map[byte]string{1: "warning", 2: "fatal"}[body[0]]
	return strings.TrimSpace(level + " " + strings.TrimPrefix(tls.AlertError(body[1]).Error(), "tls: "))
}

func versionName(v uint16) string {
	switch v {
	case 0xfeff:
		return "DTLS 1.0"
	case 0xfefd:
		return "DTLS 1.2"
	case 0xfefc:
		return "DTLS 1.3"
	case tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13:
		return tls.VersionName(v)
	}
	return fmt.Sprintf("0x%04x", v)
}
