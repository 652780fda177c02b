package dtls

import (
	"encoding/binary"
)

// A contentType is the first byte of a record.
type contentType uint8

const (
	typeCCS       contentType = 20 // ChangeCipherSpec
	typeAlert     contentType = 21
	typeHandshake contentType = 22
	typeData      contentType = 23
	typeCID       contentType = 25 // any of them, inside, with a connection ID outside
)

const (
	version10 = 0xfeff // in the first records of some handshakes
	version12 = VersionDTLS12

	headerLen = 13
	cidOffset = 11 // of the connection ID in the header, in front of the length
	nonceLen  = 12
	maxSeq    = 1<<48 - 1
	// maxBody is the longest body of a protected record.
	// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3
	maxBody = MaxMessage + 2048
)

// A record is one DTLS record as it lies in a datagram.
//
//	 0      1         3       5          11      11+cid   13+cid
//	┌──────┬─────────┬───────┬──────────┬───────┬────────┬──────┐
//	│ type │ version │ epoch │ sequence │ (CID) │ length │ body │
//	└──────┴─────────┴───────┴──────────┴───────┴────────┴──────┘
//
// https://www.rfc-editor.org/rfc/rfc6347#section-4.1 https://www.rfc-editor.org/rfc/rfc9146#section-4
type record struct {
	typ     contentType
	version uint16
	epoch   uint16
	seq     uint64
	cid     []byte
	body    []byte
	raw     []byte // all of it
}

// cut takes the first record off a datagram. A record with a connection ID is taken to have one of cidLen bytes,
// since its length is not in the record. ok is false if p does not begin with a whole record.
func cut(p []byte, cidLen int) (r record, rest []byte, ok bool) {
	if len(p) < headerLen {
		return r, nil, false
	}
	r.typ = contentType(p[0])
	if r.typ != typeCID {
		cidLen = 0
	}
	header := headerLen + cidLen
	if len(p) < header {
		return r, nil, false
	}
	end := header + int(binary.BigEndian.Uint16(p[header-2:]))
	if len(p) < end {
		return r, nil, false
	}
	number := binary.BigEndian.Uint64(p[3:])
	r.version = binary.BigEndian.Uint16(p[1:])
	r.epoch, r.seq = uint16(number>>48), number&maxSeq
	r.cid, r.body, r.raw = p[cidOffset:cidOffset+cidLen], p[header:end], p[:end:end]
	return r, p[end:], true
}

// Handshake messages that this package looks at.
const (
	msgHelloRequest      = 0
	msgClientHello       = 1
	msgServerHello       = 2
	msgServerHelloDone   = 14
	msgClientKeyExchange = 16
	msgFinished          = 20

	msgHeaderLen  = 12
	verifyDataLen = 12 // of Finished
)

// A fragment is the header of a handshake message, or of a part of one.
// https://www.rfc-editor.org/rfc/rfc6347#section-4.2.2
type fragment struct {
	typ         uint8
	length      int // of the whole message
	seq         uint16
	offset, len int // of this part
}

// cutFragment takes the first part of a handshake message off the body of a record.
func cutFragment(p []byte) (f fragment, rest []byte, ok bool) {
	if len(p) < msgHeaderLen {
		return f, nil, false
	}
	uint24 := func(p []byte) int { return int(p[0])<<16 | int(p[1])<<8 | int(p[2]) }
	f = fragment{
		typ:    p[0],
		length: uint24(p[1:]),
		seq:    binary.BigEndian.Uint16(p[4:]),
		offset: uint24(p[6:]),
		len:    uint24(p[9:]),
	}
	if len(p)-msgHeaderLen < f.len || f.offset+f.len > f.length {
		return f, nil, false
	}
	return f, p[msgHeaderLen+f.len:], true
}
