package openvpn

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	_ "crypto/sha1" // linked for crypto.Hash, as the next two
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash"

	"github.com/encase-tls/encase/frame"
)

// A Digest is the hash function of tls-auth's MAC.
type Digest uint8

// The digests of tls-auth. OpenVPN uses what "auth" says in its configuration.
const (
	SHA1 Digest = iota
	SHA256
	SHA384
	SHA512
	unknownDigest
)

func (d Digest) hash() crypto.Hash {
	return [...]crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512}[d]
}

// A Direction says which half of the key of tls-auth an end sends with.
type Direction uint8

// The directions of tls-auth's key.
const (
	Normal  Direction = iota // the server has key-direction 0, the client 1
	Reverse                  // the other way round
	None                     // no key-direction: both use the first half
	unknownDirection
)

// halves returns which halves of a static key an end sends and receives with.
func (d Direction) halves(role frame.Role) (send, recv int) {
	switch {
	case d == None:
		return 0, 0
	case (role == frame.Server) == (d == Normal):
		return 0, 1
	}
	return 1, 0
}

// A guard is what protects control packets. A packet that it is given is whole, from the opcode on, with overhead bytes
// for the guard behind the header.
type guard interface {
	overhead() int
	// seal fills in its bytes in a packet, and may encrypt what is behind them.
	seal(p []byte, s stamp)
	// open returns what is behind its bytes, decrypted in place. p is long enough for the overhead. begins says that p
	// wants to begin a session.
	open(p []byte, begins bool) (body []byte, s stamp, err error)
	// begin says that the packet which was opened last begins a session.
	begin()
}

// guard returns that of one connection.
func (o *Options) guard(role frame.Role) (guard, error) {
	switch {
	case o.Auth != nil:
		send, recv := o.Direction.halves(role)
		return newAuthGuard(o.Digest.hash(), &o.Auth.halves[send], &o.Auth.halves[recv]), nil
	case o.Crypt != nil:
		return newCryptGuard(o.Crypt, role), nil
	case o.ClientKey != nil && role == frame.Client:
		return newCryptGuard(&o.ClientKey.key, role), nil
	case o.ServerKey != nil && role == frame.Server:
		return &keyedGuard{key: newCryptor(&o.ServerKey.half)}, nil
	case o.ClientKey != nil || o.ServerKey != nil:
		return nil, errors.New("openvpn: tls-crypt-v2 has one key for the client and another for the server; " +
			"this is not that of the " + role.String())
	}
	return unguarded{}, nil
}

// unguarded adds nothing.
type unguarded struct{}

func (unguarded) overhead() int      { return 0 }
func (unguarded) seal([]byte, stamp) {}
func (unguarded) begin()             {}

func (unguarded) open(p []byte, _ bool) ([]byte, stamp, error) { return p[headerLen:], stamp{}, nil }

const stampLen = 8

func putStamp(p []byte, s stamp) {
	binary.BigEndian.PutUint32(p, s.id)
	binary.BigEndian.PutUint32(p[4:], s.time)
}

func getStamp(p []byte) stamp {
	return stamp{binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])}
}

// An authGuard is tls-auth: MAC and stamp behind the header. The MAC is over stamp, header and the rest, in this order.
type authGuard struct {
	size       int
	send, recv mac
}

func newAuthGuard(h crypto.Hash, send, recv *half) *authGuard {
	n := h.Size()
	return &authGuard{n, newMAC(h, send.mac[:n]), newMAC(h, recv.mac[:n])}
}

func (g *authGuard) overhead() int { return g.size + stampLen }

func (g *authGuard) seal(p []byte, s stamp) {
	field, stamp, body := g.fields(p)
	putStamp(stamp, s)
	copy(field, g.send.of(stamp, p[:headerLen], body))
}

func (g *authGuard) open(p []byte, _ bool) ([]byte, stamp, error) {
	field, stamp, body := g.fields(p)
	if !hmac.Equal(field, g.recv.of(stamp, p[:headerLen], body)) {
		return nil, getStamp(stamp), errMAC
	}
	return body, getStamp(stamp), nil
}

func (g *authGuard) begin() {}

func (g *authGuard) fields(p []byte) (mac, stamp, body []byte) {
	p = p[headerLen:]
	return p[:g.size], p[g.size : g.size+stampLen], p[g.size+stampLen:]
}

// A mac is a keyed HMAC.
type mac struct {
	h   hash.Hash
	sum [64]byte
}

func newMAC(h crypto.Hash, key []byte) mac { return mac{h: hmac.New(h.New, key)} }

// of returns the MAC of the parts, one behind the other. It is valid until the next call.
func (m *mac) of(parts ...[]byte) []byte {
	m.h.Reset()
	for _, p := range parts {
		m.h.Write(p)
	}
	return m.h.Sum(m.sum[:0])
}

// A cryptGuard is tls-crypt: stamp and tag behind the header.
type cryptGuard struct{ send, recv *cryptor }

func newCryptGuard(k *StaticKey, role frame.Role) *cryptGuard {
	send, recv := Normal.halves(role)
	return &cryptGuard{newCryptor(&k.halves[send]), newCryptor(&k.halves[recv])}
}

const (
	tagLen = 32
	tagAt  = headerLen + stampLen
	bodyAt = tagAt + tagLen
)

func (g *cryptGuard) overhead() int { return stampLen + tagLen }

func (g *cryptGuard) seal(p []byte, s stamp) {
	putStamp(p[headerLen:], s)
	g.send.seal(p[tagAt:bodyAt], p[:tagAt], p[bodyAt:])
}

func (g *cryptGuard) open(p []byte, _ bool) ([]byte, stamp, error) {
	s := getStamp(p[headerLen:])
	if !g.recv.open(p[tagAt:bodyAt], p[:tagAt], p[bodyAt:]) {
		return nil, s, errMAC
	}
	return p[bodyAt:], s, nil
}

func (g *cryptGuard) begin() {}

// A cryptor is the authenticated encryption of tls-crypt: a MAC over what is in the clear and the plaintext,
// HMAC-SHA256, is the tag, and its first half the initial counter block of AES-256-CTR.
type cryptor struct {
	block           cipher.Block
	mac             mac
	counter, stream [aes.BlockSize]byte
}

const aes256Len = 32

func newCryptor(h *half) *cryptor {
	block, err := aes.NewCipher(h.cipher[:aes256Len])
	if err != nil {
		panic(err) // the length of the key is right
	}
	return &cryptor{block: block, mac: newMAC(crypto.SHA256, h.mac[:tagLen])}
}

// seal encrypts body in place and fills in the tag.
func (c *cryptor) seal(tag, clear, body []byte) {
	copy(tag, c.mac.of(clear, body))
	c.xor(body, tag)
}

// open decrypts body in place and reports whether it is authentic; if not, what has become of it is worthless.
func (c *cryptor) open(tag, clear, body []byte) bool {
	c.xor(body, tag)
	return hmac.Equal(tag, c.mac.of(clear, body))
}

// xor is AES-CTR. cipher.NewCTR does the same, and allocates with each packet.
func (c *cryptor) xor(p, iv []byte) {
	copy(c.counter[:], iv)
	for len(p) > 0 {
		c.block.Encrypt(c.stream[:], c.counter[:])
		p = p[subtle.XORBytes(p, p, c.stream[:]):]
		for i := len(c.counter) - 1; i >= 0; i-- {
			if c.counter[i]++; c.counter[i] != 0 {
				break
			}
		}
	}
}
