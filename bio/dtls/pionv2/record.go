package pionv2

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"hash"
	"slices"

	"github.com/pion/dtls/v2/pkg/crypto/prf"
	"github.com/pion/transport/v2/replaydetector"
)

// Types of records, and of the handshake messages that are looked at.
const (
	typeCCS       = 20
	typeAlert     = 21
	typeHandshake = 22
	typeData      = 23

	finishedMessage = 20
)

const (
	headerLen        = 13 // │ type │ version 2 │ epoch 2 │ sequence 6 │ length 2 │
	messageHeaderLen = 12 // │ type │ length 3 │ message 2 │ offset 3 │ length 3 │
	explicitLen      = 8  // of the nonce; the other four bytes are from the key block
	tagLen           = 16
	overhead         = headerLen + explicitLen + tagLen
	maxSeq           = 1<<48 - 1
	version10        = 0xfeff // in the first records of some handshakes
)

// A record is one as it lies in a datagram. https://www.rfc-editor.org/rfc/rfc6347#section-4.1
type record []byte

func (r record) typ() byte       { return r[0] }
func (r record) version() uint16 { return binary.BigEndian.Uint16(r[1:]) }
func (r record) number() uint64  { return binary.BigEndian.Uint64(r[3:]) } // epoch‖sequence
func (r record) epoch() uint64   { return r.number() >> 48 }
func (r record) body() []byte    { return r[headerLen:] }

// cut takes the first record off a datagram. r is nil if p does not begin with a whole one.
func cut(p []byte) (r record, rest []byte) {
	if len(p) < headerLen {
		return nil, nil
	}
	end := headerLen + int(binary.BigEndian.Uint16(p[headerLen-2:]))
	if len(p) < end {
		return nil, nil
	}
	return p[:end:end], p[end:]
}

// A sealer protects what is sent. Its numbers are the nonces: never used twice, never set back.
// https://www.rfc-editor.org/rfc/rfc5288#section-3 https://www.rfc-editor.org/rfc/rfc9325#section-7.2.1
type sealer struct {
	aead   cipher.AEAD
	iv     []byte
	number uint64 // epoch‖sequence of the next record
}

// maxRecords is how many records a sealer may make: RFC 9147 permits 2^24.5 of full size.
const maxRecords = 1 << 24

func (s *sealer) sealed() uint64 { return s.number & maxSeq }

// seal appends a record to dst.
func (s *sealer) seal(dst []byte, typ byte, p []byte) []byte {
	header := headerOf(typ, s.number, explicitLen+len(p)+tagLen)
	aad := headerOf(typ, s.number, len(p))
	nonce := binary.BigEndian.AppendUint64(slices.Clone(s.iv), s.number)
	s.number++
	dst = append(append(dst, header...), nonce[len(nonce)-explicitLen:]...)
	return s.aead.Seal(dst, nonce, p, additional(aad))
}

func headerOf(typ byte, number uint64, length int) []byte {
	h := append(make([]byte, 0, headerLen), typ, VersionDTLS12>>8, VersionDTLS12&0xff)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(h, number), uint16(length))
}

// additional returns the additional data that belongs to a header: the number comes first.
// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3.3
func additional(header []byte) []byte {
	return slices.Concat(header[3:11], header[:3], header[11:])
}

// An opener opens what has come, each record once.
type opener struct {
	aead cipher.AEAD
	iv   []byte
	seen replaydetector.ReplayDetector
}

const replayWindow = 64

// open appends what is in a record to dst. ok is false if the record is of no use.
func (o *opener) open(dst []byte, r record) (out []byte, ok bool) {
	length := len(r.body()) - explicitLen - tagLen
	if r.epoch() != 1 || r.version() != VersionDTLS12 || length < 0 || length > MaxMessage {
		return dst, false
	}
	accept, fresh := o.seen.Check(r.number() & maxSeq)
	if !fresh {
		return dst, false
	}
	nonce := slices.Concat(o.iv, r.body()[:explicitLen])
	out, err := o.aead.Open(dst, nonce, r.body()[explicitLen:], additional(headerOf(r.typ(), r.number(), length)))
	if err != nil {
		return dst, false
	}
	accept() // not before it has proven to be authentic
	return out, true
}

// keys makes both directions from what the handshake agreed on.
func (x *exported) keys(next uint64) (*sealer, *opener, error) {
	keyLen, newHash := 16, sha256.New
	switch x.CipherSuiteID {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
		keyLen, newHash = 32, sha512.New384
	}
	client, server := x.LocalRandom, x.RemoteRandom
	if !x.IsClient {
		client, server = server, client
	}
	k, err := prf.GenerateEncryptionKeys(x.MasterSecret, client[:], server[:], 0, keyLen, 12-explicitLen,
		func() hash.Hash { return newHash() })
	if err != nil {
		return nil, nil, err
	}
	local, remote, localIV, remoteIV := k.ClientWriteKey, k.ServerWriteKey, k.ClientWriteIV, k.ServerWriteIV
	if !x.IsClient {
		local, remote, localIV, remoteIV = remote, local, remoteIV, localIV
	}
	out, err := newGCM(local)
	if err != nil {
		return nil, nil, err
	}
	in, err := newGCM(remote)
	return &sealer{out, localIV, next}, &opener{in, remoteIV, replaydetector.New(replayWindow, maxSeq)}, err
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
