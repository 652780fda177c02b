package dtls

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"slices"
)

// A protection seals or opens the records of one direction. Its scratch space makes that free of allocations; so it is
// for one goroutine at a time.
type protection struct {
	*cipherKind
	aead  cipher.AEAD
	iv    [nonceLen]byte
	nonce [nonceLen]byte // scratch
	aad   []byte         // scratch, with what never changes filled in
	cid   []byte         // in every record; empty: none
}

// newProtection returns one that must be told its connection ID yet.
func newProtection(kind *cipherKind, k halfKey) (p protection, err error) {
	p.cipherKind = kind
	p.aead, err = kind.newAEAD(k.key)
	copy(p.iv[:], k.iv)
	return p, err
}

// Additional data without a connection ID. https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3.3
//
//	│ epoch, sequence (8) │ type │ version (2) │ length (2) │
//
// and with one. https://www.rfc-editor.org/rfc/rfc9146#section-5.3
//
//	│ ff.. (8) │ 25 │ CID length │ 25 │ version (2) │ epoch, sequence (8) │ CID │ length (2) │
const (
	aadLen       = 13
	cidAADLen    = 23
	cidAADNumber = 13
)

// identify sets the connection ID, nil for none.
func (p *protection) identify(cid []byte) {
	p.cid = cid
	if len(cid) == 0 {
		p.aad = make([]byte, aadLen)
		binary.BigEndian.PutUint16(p.aad[9:], version12)
		return
	}
	p.aad = slices.Concat(bytes.Repeat([]byte{0xff}, 8),
		[]byte{byte(typeCID), byte(len(cid)), byte(typeCID), version12 >> 8, version12 & 0xff},
		make([]byte, 8), cid, make([]byte, 2))
}

// additional returns the additional data of a record; number is epoch‖sequence, length that of the plaintext.
func (p *protection) additional(typ contentType, number uint64, length int) []byte {
	if len(p.cid) == 0 {
		binary.BigEndian.PutUint64(p.aad, number)
		p.aad[8] = byte(typ)
	} else {
		binary.BigEndian.PutUint64(p.aad[cidAADNumber:], number)
	}
	binary.BigEndian.PutUint16(p.aad[len(p.aad)-2:], uint16(length))
	return p.aad
}

// nonceOf returns the nonce of a record with a number: the one in the record if the cipher has it there, which is what
// the sender of the record has chosen, else epoch‖sequence.
// https://www.rfc-editor.org/rfc/rfc5288#section-3 https://www.rfc-editor.org/rfc/rfc7905#section-2
func (p *protection) nonceOf(number uint64) []byte {
	p.nonce = p.iv
	tail := p.nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^number)
	return p.nonce[:]
}

// front returns the length of what stands in front of the encrypted part of a record.
func (p *protection) front() int { return headerLen + len(p.cid) + p.numLen }

// overhead returns the bytes that a record adds to its plaintext.
func (p *protection) overhead() int { return p.front() + p.inner() + p.tagLen }

// inner returns the bytes that are encrypted besides the plaintext: its type, if a connection ID stands outside.
func (p *protection) inner() int {
	if len(p.cid) == 0 {
		return 0
	}
	return 1
}

// A sender seals records.
type sender struct {
	protection
	number uint64 // epoch‖sequence of the next record: never used twice, never set back
	blocks uint64 // that may still be sealed
	warned bool   // bio.EventRekey has been told
}

// worn reports whether the keys may seal no further message of n bytes.
func (s *sender) worn(n int) bool {
	const reserve = 64 // records, for alerts
	return s.blocks < blocksOf(n) || s.number&maxSeq > maxSeq-reserve
}

// tiring reports, once, that one eighth is left.
func (s *sender) tiring() bool {
	if s.warned || s.blocks > s.maxBlocks/8 && s.number&maxSeq < maxSeq/8*7 {
		return false
	}
	s.warned = true
	return true
}

func blocksOf(n int) uint64 { return uint64(n+15)/16 + 1 }

// seal appends a record with the plaintext p to dst. p may lie where its ciphertext will, or else not overlap it.
// https://www.rfc-editor.org/rfc/rfc9325#section-7.2.1 rules the nonce.
func (s *sender) seal(dst []byte, typ contentType, p []byte) []byte {
	at, front := len(dst), s.front()
	dst = slices.Grow(dst, len(p)+s.overhead())[:at+front]
	header := dst[at:]
	s.putHeader(header, typ, s.numLen+len(p)+s.inner()+s.tagLen)
	if len(s.cid) > 0 {
		dst = append(append(dst, p...), byte(typ))
		p, dst = dst[at+front:], dst[:at+front]
	}
	nonce := s.nonceOf(s.number)
	copy(header[front-s.numLen:], nonce[nonceLen-s.numLen:])
	dst = s.aead.Seal(dst, nonce, p, s.additional(typ, s.number, len(p)))
	s.blocks -= min(s.blocks, blocksOf(len(p)))
	s.number++
	return dst
}

func (s *sender) putHeader(header []byte, typ contentType, bodyLen int) {
	if len(s.cid) > 0 {
		typ = typeCID
	}
	header[0] = byte(typ)
	binary.BigEndian.PutUint16(header[1:], version12)
	binary.BigEndian.PutUint64(header[3:], s.number)
	copy(header[cidOffset:], s.cid)
	binary.BigEndian.PutUint16(header[cidOffset+len(s.cid):], uint16(bodyLen))
}

// A receiver opens records.
type receiver struct {
	protection
	seen   window
	forged uint64 // records that were not authentic
	newest bool   // one of this call was newer than all before it
	warned bool   // bio.EventRekey has been told
}

// A verdict is what becomes of a record.
type verdict uint8

const (
	authentic verdict = iota
	malformed
	wrongEpoch
	plaintext // of epoch 0
	replayed
	forged
)

// open appends the content of a record to dst and returns its type. dst is either elsewhere, or the empty slice where
// the ciphertext begins.
func (r *receiver) open(dst []byte, rec *record) ([]byte, contentType, verdict) {
	if v := r.judge(rec); v != authentic {
		return dst, 0, v
	}
	number := uint64(1)<<48 | rec.seq
	nonce := r.nonceOf(number)
	copy(nonce[nonceLen-r.numLen:], rec.body[:r.numLen])
	sealed := rec.body[r.numLen:]
	length := len(sealed) - r.tagLen
	at := len(dst)
	out, err := r.aead.Open(slices.Grow(dst, length), nonce, sealed, r.additional(rec.typ, number, length))
	if err != nil {
		r.forged++
		return dst, 0, forged
	}
	r.newest = r.seen.commit(rec.seq) || r.newest
	typ := rec.typ
	if typ == typeCID {
		out, typ = unwrap(out, at)
	}
	if len(out)-at > MaxMessage || typ == 0 {
		return dst, 0, malformed
	}
	return out, typ, authentic
}

// judge looks at a record before it is decrypted.
func (r *receiver) judge(rec *record) verdict {
	want := rec.typ != typeCID
	if len(r.cid) > 0 {
		want = rec.typ == typeCID && bytes.Equal(rec.cid, r.cid)
	}
	switch {
	case rec.epoch == 0:
		return plaintext
	case rec.epoch != 1:
		return wrongEpoch
	case !want, rec.version != version12, len(rec.body) < r.numLen+r.inner()+r.tagLen, len(rec.body) > maxBody:
		return malformed
	case !r.seen.fresh(rec.seq):
		return replayed
	}
	return authentic
}

// unwrap takes padding and type off the inner plaintext, which begins at offset at; the type is 0 if there is none.
// https://www.rfc-editor.org/rfc/rfc9146#section-4
func unwrap(p []byte, at int) ([]byte, contentType) {
	for end := len(p) - 1; end >= at; end-- {
		if p[end] != 0 {
			return p[:end], contentType(p[end])
		}
	}
	return p[:at], 0
}
