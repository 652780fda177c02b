package dtls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/encase-tls/encase/frame"
	"github.com/pion/dtls/v3/pkg/crypto/ccm"
	"golang.org/x/crypto/chacha20poly1305"
)

// A suite is a cipher suite, as far as the record layer and the choice between suites are concerned.
type suite struct {
	id     uint16
	cipher *cipherKind
	hash   func() hash.Hash // of the pseudorandom function
	psk    bool             // authenticated by a pre-shared key
	good   bool             // used unless the configuration says otherwise
}

// A cipherKind is an AEAD and how DTLS 1.2 uses it.
type cipherKind struct {
	keyLen  int
	ivLen   int // the part of the nonce that comes from the key block
	numLen  int // the part that is sent in each record; 0: nonce = IV xor record number
	tagLen  int
	newAEAD func(key []byte) (cipher.AEAD, error)

	// How much may be sealed, in blocks of 16 bytes, and how many forgeries opened.
	// https://www.rfc-editor.org/rfc/rfc9147#section-4.5.3
	maxBlocks, maxForged uint64
}

// Limits of RFC 9147 for full-size records, which have 2^10 blocks: 2^24.5 of them with GCM and 2^23 with CCM.
// ChaCha20 has none before its sequence numbers end. CCM_8 has no good limit for forgeries: with this one an attacker
// who sends 11 million of them succeeds with a probability of 2^-40.5.
const (
	blocksPerRecord = 1 << 10
	gcmBlocks       = 23_726_566 * blocksPerRecord // 2^24.5
	ccmBlocks       = 1 << 23 * blocksPerRecord
	maxForged       = 1 << 36
	ccmForged       = 11_863_283 // 2^23.5
	noLimit         = 1<<64 - 1
)

var (
	aes128GCM  = &cipherKind{16, 4, 8, 16, newGCM, gcmBlocks, maxForged}
	aes256GCM  = &cipherKind{32, 4, 8, 16, newGCM, gcmBlocks, maxForged}
	chacha     = &cipherKind{32, 12, 0, 16, chacha20poly1305.New, noLimit, maxForged}
	aes128CCM  = &cipherKind{16, 4, 8, 16, newCCM, ccmBlocks, ccmForged}
	aes128CCM8 = &cipherKind{16, 4, 8, 8, newCCM8, ccmBlocks, ccmForged}
	aes256CCM8 = &cipherKind{32, 4, 8, 8, newCCM8, ccmBlocks, ccmForged}
)

// Suites that crypto/tls has no name for. https://www.iana.org/assignments/tls-parameters
const (
	TLS_ECDHE_ECDSA_WITH_AES_128_CCM            uint16 = 0xc0ac
	TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8          uint16 = 0xc0ae
	TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256 uint16 = 0xccac
	TLS_PSK_WITH_AES_128_GCM_SHA256             uint16 = 0x00a8
	TLS_PSK_WITH_CHACHA20_POLY1305_SHA256       uint16 = 0xccab
	TLS_PSK_WITH_AES_128_CCM                    uint16 = 0xc0a4
	TLS_PSK_WITH_AES_128_CCM_8                  uint16 = 0xc0a8
	TLS_PSK_WITH_AES_256_CCM_8                  uint16 = 0xc0a9
)

// suites are those that pion and this record layer both have, the best first. Those with CBC are left out for good.
var suites = [...]*suite{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, aes128GCM, sha256.New, false, true},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, aes128GCM, sha256.New, false, true},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, chacha, sha256.New, false, true},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, chacha, sha256.New, false, true},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, aes256GCM, sha512.New384, false, true},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, aes256GCM, sha512.New384, false, true},
	{TLS_ECDHE_ECDSA_WITH_AES_128_CCM, aes128CCM, sha256.New, false, false},
	{TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, aes128CCM8, sha256.New, false, false},
	{TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, chacha, sha256.New, true, true},
	{TLS_PSK_WITH_AES_128_GCM_SHA256, aes128GCM, sha256.New, true, true},
	{TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, chacha, sha256.New, true, true},
	{TLS_PSK_WITH_AES_128_CCM, aes128CCM, sha256.New, true, false},
	{TLS_PSK_WITH_AES_128_CCM_8, aes128CCM8, sha256.New, true, false},
	{TLS_PSK_WITH_AES_256_CCM_8, aes256CCM8, sha256.New, true, false},
}

func suiteIDs() (ids []uint16) {
	for _, s := range suites {
		ids = append(ids, s.id)
	}
	return ids
}

func suiteByID(id uint16) *suite {
	i := slices.IndexFunc(suites[:], func(s *suite) bool { return s.id == id })
	if i < 0 {
		return nil
	}
	return suites[i]
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func newCCM(key []byte) (cipher.AEAD, error)  { return ccmWithTag(key, 16) }
func newCCM8(key []byte) (cipher.AEAD, error) { return ccmWithTag(key, 8) }

func ccmWithTag(key []byte, tagLen int) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return ccm.NewCCM(block, tagLen, nonceLen)
}

// secrets are what both ends of a connection have in common after the handshake.
type secrets struct {
	suite          *suite
	master         [48]byte
	client, server [32]byte // the randoms of the hellos
}

// prf appends n bytes of the pseudorandom function of TLS 1.2 to dst. The seed is the concatenation of its parts.
// https://www.rfc-editor.org/rfc/rfc5246#section-5
func (s *secrets) prf(n int, label string, seed ...[]byte) []byte {
	whole := slices.Concat(append([][]byte{[]byte(label)}, seed...)...)
	mac := hmac.New(s.suite.hash, s.master[:])
	a, out := whole, make([]byte, 0, n+mac.Size())
	for len(out) < n {
		mac.Reset()
		mac.Write(a)
		a = mac.Sum(nil)
		mac.Reset()
		mac.Write(a)
		mac.Write(whole)
		out = mac.Sum(out)
	}
	return out[:n]
}

// A halfKey is what protects one direction.
type halfKey struct {
	key, iv []byte
}

// keyBlock returns the keys of both directions. An AEAD has no MAC keys.
// https://www.rfc-editor.org/rfc/rfc5246#section-6.3
func (s *secrets) keyBlock() (client, server halfKey) {
	c := s.suite.cipher
	block := s.prf(2*c.keyLen+2*c.ivLen, "key expansion", s.server[:], s.client[:])
	take := func(n int) (p []byte) {
		p, block = block[:n:n], block[n:]
		return p
	}
	client.key, server.key = take(c.keyLen), take(c.keyLen)
	client.iv, server.iv = take(c.ivLen), take(c.ivLen)
	return client, server
}

// protections returns the two directions as the end of the given role uses them.
func (s *secrets) protections(role frame.Role) (write, read protection, err error) {
	mine, peers := s.keyBlock()
	if role == frame.Server {
		mine, peers = peers, mine
	}
	if write, err = newProtection(s.suite.cipher, mine); err != nil {
		return write, read, err
	}
	read, err = newProtection(s.suite.cipher, peers)
	return write, read, err
}

// reserved are labels that TLS uses itself.
var reserved = []string{
	"client finished", "server finished", "master secret", "extended master secret", "key expansion",
}

// export is the exporter for keying material; context may be nil, which is not the same as empty.
// https://www.rfc-editor.org/rfc/rfc5705#section-4
func (s *secrets) export(label string, context []byte, n int) ([]byte, error) {
	switch {
	case slices.Contains(reserved, label):
		return nil, fmt.Errorf("dtls: the exporter label %q is reserved for TLS itself", label)
	case n < 0 || len(context) > 1<<16-1:
		return nil, errors.New("dtls: the exporter takes a context of at most 65535 bytes and no negative length")
	case context == nil:
		return s.prf(n, label, s.client[:], s.server[:]), nil
	}
	length := binary.BigEndian.AppendUint16(nil, uint16(len(context)))
	return s.prf(n, label, s.client[:], s.server[:], length, context), nil
}
