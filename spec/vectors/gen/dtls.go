package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// A dtlsCipher is an AEAD of DTLS 1.2 and how records use it.
type dtlsCipher struct {
	name                  string
	keyLen, ivLen, numLen int // numLen: bytes of the nonce that are in the record
	seal                  func(key, nonce, plaintext, additional []byte) []byte
}

var dtlsCiphers = []dtlsCipher{
	{"AES_128_GCM", 16, 4, 8, sealGCM},
	{"AES_256_GCM", 32, 4, 8, sealGCM},
	{"CHACHA20_POLY1305", 32, 12, 0, sealChaCha},
	{"AES_128_CCM", 16, 4, 8, sealCCM(16)},
	{"AES_128_CCM_8", 16, 4, 8, sealCCM(8)},
	{"AES_256_CCM_8", 32, 4, 8, sealCCM(8)},
}

// bytes returns n bytes of which neighbours differ.
func (c dtlsCipher) bytes(n int, first byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = first + byte(7*i)
	}
	return p
}

func (c dtlsCipher) key() []byte { return c.bytes(c.keyLen, 0x11) }
func (c dtlsCipher) iv() []byte  { return c.bytes(c.ivLen, 0xc5) }

// A dtlsRecord is one that is to be protected.
type dtlsRecord struct {
	seq     uint64
	typ     byte
	cid     []byte
	content []byte
	zeros   int    // behind the inner type
	number  []byte // in place of epoch and sequence in the nonce; nil: those
}

const dtlsEpoch = 1

// sealed returns the record. https://www.rfc-editor.org/rfc/rfc6347#section-4.1
// https://www.rfc-editor.org/rfc/rfc9146#section-4
func (c dtlsCipher) sealed(r dtlsRecord) []byte {
	const withCID = 25
	position := binary.BigEndian.AppendUint64(nil, dtlsEpoch<<48|r.seq)
	version := []byte{0xfe, 0xfd}
	typ, content := r.typ, r.content
	if r.cid != nil {
		typ, content = withCID, slices.Concat(content, []byte{r.typ}, make([]byte, r.zeros))
	}
	length := func(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
	additional := slices.Concat(position, []byte{typ}, version, length(len(content)))
	if r.cid != nil {
		additional = slices.Concat(bytes.Repeat([]byte{0xff}, 8), []byte{withCID, byte(len(r.cid)), withCID}, version,
			position, r.cid, length(len(content)))
	}
	number := r.number
	if number == nil {
		number = position
	}
	body := c.seal(c.key(), c.nonce(number), content, additional)
	body = slices.Concat(number[:c.numLen], body)
	return slices.Concat([]byte{typ}, version, position, r.cid, length(len(body)), body)
}

// nonce returns that of a record: with AES it is IV and number, one behind the other, with ChaCha20 their sum.
// https://www.rfc-editor.org/rfc/rfc5288#section-3 https://www.rfc-editor.org/rfc/rfc7905#section-2
func (c dtlsCipher) nonce(number []byte) []byte {
	if c.numLen > 0 {
		return slices.Concat(c.iv(), number)
	}
	nonce := c.iv()
	for i, b := range number {
		nonce[len(nonce)-len(number)+i] ^= b
	}
	return nonce
}

// A dtlsVector is one of the file.
type dtlsVector struct {
	id     string
	do     string // seal: both ways; open
	expect string
	cid    []byte // of the connection
	dtlsRecord
	raw     []byte
	comment string
}

var (
	dtlsText  = []byte("what is in the record")
	dtlsCID   = []byte{0x0c, 0x1d, 0xf0, 0x0d, 0x00, 0xff, 0x17, 0x2a}
	dtlsAlert = []byte{1, 0} // close_notify
)

const (
	dtlsIsAlert = 21
	dtlsIsData  = 23
	dtlsLastSeq = 1<<48 - 1
)

// dtlsFile returns the text of all vectors.
func dtlsFile() []byte {
	b := bytes.NewBufferString(dtlsHead)
	for _, c := range dtlsCiphers {
		for _, v := range slices.Concat(c.good(), c.bad()) {
			v.write(b, c)
		}
	}
	for _, v := range dtlsCiphers[0].foreign() {
		v.write(b, dtlsCiphers[0])
	}
	return b.Bytes()
}

func (v dtlsVector) write(b *bytes.Buffer, c dtlsCipher) {
	field := func(name, format string, value any) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%s: "+format, name, value), " ") + "\n")
	}
	field("\nid", "%s", strings.ReplaceAll(strings.ToLower(c.name), "_", "-")+"-"+v.id)
	field("cipher", "%s", c.name)
	field("key", "%x", c.key())
	field("iv", "%x", c.iv())
	if v.cid != nil {
		field("cid", "%x", v.cid)
	}
	field("do", "%s", v.do)
	field("expect", "%s", v.expect)
	if v.expect == "ok" {
		field("epoch", "%d", dtlsEpoch)
		field("sequence", "%d", v.seq)
		field("type", "%d", v.typ)
		field("plaintext", "%x", v.content)
	}
	field("record", "%x", v.raw)
	if v.comment != "" {
		field("comment", "%s", v.comment)
	}
}

// good returns records that are accepted.
func (c dtlsCipher) good() (list []dtlsVector) {
	add := func(id, do, comment string, r dtlsRecord) {
		list = append(list, dtlsVector{id, do, "ok", r.cid, r, c.sealed(r), comment})
	}
	long := c.bytes(300, 3)
	add("data", "seal", "", dtlsRecord{seq: 1, typ: dtlsIsData, content: dtlsText})
	add("long", "seal", "", dtlsRecord{seq: 258, typ: dtlsIsData, content: long})
	add("empty", "seal", "a message without a byte", dtlsRecord{seq: 2, typ: dtlsIsData})
	add("alert", "seal", "close_notify", dtlsRecord{seq: 3, typ: dtlsIsAlert, content: dtlsAlert})
	add("last", "seal", "the last sequence number", dtlsRecord{seq: dtlsLastSeq, typ: dtlsIsData, content: dtlsText})
	add("cid", "seal", "", dtlsRecord{seq: 1, typ: dtlsIsData, cid: dtlsCID, content: dtlsText})
	add("cid-alert", "seal", "a connection ID of one byte, and the type inside",
		dtlsRecord{seq: 0x010203040506, typ: dtlsIsAlert, cid: dtlsCID[:1], content: dtlsAlert})
	add("cid-padded", "open", "zeros behind the inner type",
		dtlsRecord{seq: 4, typ: dtlsIsData, cid: dtlsCID, content: dtlsText, zeros: 9})
	add("cid-zeros", "open", "a message of zeros, and zeros behind the inner type",
		dtlsRecord{seq: 5, typ: dtlsIsData, cid: dtlsCID, content: make([]byte, 3), zeros: 2})
	if c.numLen > 0 {
		add("nonce", "open", "the sender has chosen another nonce than epoch and sequence number",
			dtlsRecord{seq: 6, typ: dtlsIsData, content: dtlsText, number: c.bytes(8, 0x80)})
	}
	return list
}

// bad returns records that were changed on the way.
func (c dtlsCipher) bad() (list []dtlsVector) {
	plain := c.sealed(dtlsRecord{seq: 1, typ: dtlsIsData, content: dtlsText})
	withCID := c.sealed(dtlsRecord{seq: 1, typ: dtlsIsData, cid: dtlsCID, content: dtlsText})
	add := func(id, expect, comment string, cid, raw []byte) {
		list = append(list, dtlsVector{id: id, do: "open", expect: expect, cid: cid, raw: raw, comment: comment})
	}
	add("tag", "forged", "the last bit", nil, flipped(plain, len(plain)-1))
	add("ciphertext", "forged", "", nil, flipped(plain, 13+c.numLen))
	add("sequence", "forged", "another sequence number in the header", nil, flipped(plain, 10))
	add("type", "forged", "data that became an alert", nil, slices.Concat([]byte{dtlsIsAlert}, plain[1:]))
	add("cid-tag", "forged", "", dtlsCID, flipped(withCID, len(withCID)-1))
	add("cid-sequence", "forged", "", dtlsCID, flipped(withCID, 10))
	add("cid-empty", "malformed", "authentic, but without a type: nothing but zeros",
		dtlsCID, c.sealed(dtlsRecord{seq: 7, cid: dtlsCID, zeros: 4}))
	return list
}

// foreign returns what is no record for this connection: the cipher does not matter.
func (c dtlsCipher) foreign() (list []dtlsVector) {
	plain := c.sealed(dtlsRecord{seq: 1, typ: dtlsIsData, content: dtlsText})
	withCID := c.sealed(dtlsRecord{seq: 1, typ: dtlsIsData, cid: dtlsCID, content: dtlsText})
	add := func(id, expect, comment string, cid, raw []byte) {
		list = append(list, dtlsVector{id: id, do: "open", expect: expect, cid: cid, raw: raw, comment: comment})
	}
	add("nothing", "malformed", "a header, but for its last byte", nil, plain[:12])
	add("truncated", "malformed", "the last byte is missing", nil, plain[:len(plain)-1])
	add("short", "malformed", "too short for nonce and tag",
		nil, slices.Concat(plain[:11], []byte{0, 23}, plain[13:36]))
	add("version", "malformed", "DTLS 1.0", nil, slices.Concat(plain[:2], []byte{0xff}, plain[3:]))
	add("cid-missing", "malformed", "the connection has an ID", dtlsCID, plain)
	add("cid-unwanted", "malformed", "the connection has no ID", nil, withCID)
	add("cid-other", "malformed", "the ID of another connection", dtlsCID, flipped(withCID, 11))
	add("epoch-0", "plaintext", "an alert that anybody can send", nil,
		[]byte{dtlsIsAlert, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40})
	add("epoch-2", "wrong-epoch", "keys that there are not", nil, slices.Concat(plain[:4], []byte{2}, plain[5:]))
	return list
}

// flipped returns p with the last bit of one byte changed.
func flipped(p []byte, at int) []byte {
	p = slices.Clone(p)
	p[at] ^= 1
	return p
}

const dtlsHead = `# Records of DTLS 1.2 with known keys, see carriage.md, section 9. Written by go run ./spec/vectors/gen, which
# does not use the record layer under test. Blocks of "key: value", an empty line between them; bytes are hexadecimal.
#
#   cipher     the AEAD, as in the names of cipher suites
#   key, iv    of the sender, from the key block (RFC 5246 6.3); iv is what RFC 5288 calls salt, for ChaCha20 all of it
#   cid        the connection ID that records of this direction carry; absent: none is agreed on
#   do         seal: plaintext becomes exactly this record, and the record plaintext; open: the latter alone
#   expect     ok, or why the record is dropped: malformed, forged, plaintext (epoch 0), wrong-epoch
#   epoch, sequence, type, plaintext, record
#
# The nonce in records of AES-GCM and AES-CCM is epoch and sequence number (RFC 9325 7.2.1). An accepted record that
# comes again is dropped as replayed.
`
