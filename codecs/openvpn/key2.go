package openvpn

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/encase-tls/encase/frame"
)

// A ClientKey is a client's own key of tls-crypt-v2, as "openvpn --tls-crypt-v2 SERVERKEY --genkey tls-crypt-v2-client
// FILE" makes it. The key is in it twice: for the client, and wrapped with the server's key, for the server, which does
// not need to know its clients. It does not show itself when it is printed.
type ClientKey struct {
	key     StaticKey
	wrapped []byte
}

// A ServerKey is the server's key of tls-crypt-v2, as "openvpn --genkey tls-crypt-v2-server FILE" makes it. It does not
// show itself when it is printed.
type ServerKey struct{ half half }

// A wrapped key is a tag, the key, what whoever made it had to say of it, and the length of all that in two bytes; key
// and text are encrypted.
const (
	minWrapped = tagLen + staticLen + 2
	maxWrapped = 1024

	clientType = "OpenVPN tls-crypt-v2 client key"
	serverType = "OpenVPN tls-crypt-v2 server key"
)

// readKeyV2 reads a key of tls-crypt-v2, either the client's or the server's, from a file as ReadStaticKey does.
func (o *Options) readKeyV2(path string) error {
	text, err := readPrivate(path)
	if err != nil {
		return fmt.Errorf("openvpn: %w", err)
	}
	if block, _ := pem.Decode(text); block != nil && block.Type == serverType {
		o.ServerKey, err = ParseServerKey(text)
	} else {
		o.ClientKey, err = ParseClientKey(text)
	}
	if err != nil {
		return fmt.Errorf("%w (in %s)", err, path)
	}
	return nil
}

// ParseClientKey returns the key in the text of a file. text is not kept.
func ParseClientKey(text []byte) (*ClientKey, error) {
	raw, err := decodeKey(text, clientType, staticLen+minWrapped, staticLen+maxWrapped)
	if err != nil {
		return nil, err
	}
	k := &ClientKey{key: *staticKey((*[staticLen]byte)(raw)), wrapped: raw[staticLen:]}
	n := len(k.wrapped)
	if int(binary.BigEndian.Uint16(k.wrapped[n-2:])) != n {
		return nil, errors.New("openvpn: the length at the end of the client key is not that of the wrapped key")
	}
	return k, nil
}

// ParseServerKey returns the key in the text of a file. text is not kept.
func ParseServerKey(text []byte) (*ServerKey, error) {
	raw, err := decodeKey(text, serverType, halfLen, halfLen)
	if err != nil {
		return nil, err
	}
	return &ServerKey{newHalf(raw)}, nil
}

func decodeKey(text []byte, kind string, least, most int) ([]byte, error) {
	block, _ := pem.Decode(text)
	switch {
	case block == nil || block.Type != kind:
		return nil, fmt.Errorf("openvpn: no %q in PEM", kind)
	case len(block.Bytes) < least || len(block.Bytes) > most:
		return nil, fmt.Errorf("openvpn: %q: %d bytes, want %d to %d", kind, len(block.Bytes), least, most)
	}
	return block.Bytes, nil
}

// Format implements fmt.Formatter: whatever the verb, it does not show the key.
func (k ClientKey) Format(f fmt.State, _ rune) { io.WriteString(f, "(secret)") }

// Format implements fmt.Formatter: whatever the verb, it does not show the key.
func (k ServerKey) Format(f fmt.State, _ rune) { io.WriteString(f, "(secret)") }

// MarshalText refuses to write the key into a file.
func (k ClientKey) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalText refuses to write the key into a file.
func (k ServerKey) MarshalText() ([]byte, error) { return nil, errSecret }

// A keyedGuard is tls-crypt-v2 at the server: tls-crypt with the key that the client's first packet has behind it.
type keyedGuard struct {
	key     *cryptor
	current keyedCrypt // of the session
	offered keyedCrypt // of the last packet that had a key
	scratch [maxWrapped]byte
}

// A keyedCrypt is tls-crypt with the key that was wrapped with this tag.
type keyedCrypt struct {
	tag      [tagLen]byte
	crypt    *cryptGuard
	metadata []byte // with its type
}

func (g *keyedGuard) overhead() int          { return stampLen + tagLen }
func (g *keyedGuard) seal(p []byte, s stamp) { g.current.crypt.seal(p, s) }

func (g *keyedGuard) begin() { g.current = g.offered }

// open takes a key that is shown later only if it is that of the session: other clients have good keys, too, and keys
// are looked at when a session begins.
func (g *keyedGuard) open(p []byte, begins bool) ([]byte, stamp, error) {
	if op := opcode(p[0] >> opcodeShift); op == resetClientV3 || op == controlWKC {
		n := len(p) - headerLen - g.overhead() // at most this long is the wrapped key
		wrapped := p[len(p)-min(n, maxWrapped):]
		if err := g.unwrap(wrapped); err != nil {
			return nil, stamp{}, err
		}
		p = p[:len(p)-int(binary.BigEndian.Uint16(p[len(p)-2:]))]
		if begins {
			return g.offered.crypt.open(p, begins)
		}
		if g.offered.tag != g.current.tag {
			return nil, stamp{}, errNewWKC
		}
	}
	if g.current.crypt == nil {
		return nil, stamp{}, errNoWKC
	}
	return g.current.crypt.open(p, begins)
}

// unwrap makes the wrapped key at the end of p the one that is offered. A client shows the same one again and again: it is
// verified each time, and made ready for use once.
func (g *keyedGuard) unwrap(p []byte) error {
	if len(p) < minWrapped {
		return errWKC
	}
	length := p[len(p)-2:]
	n := int(binary.BigEndian.Uint16(length))
	if n < minWrapped || n > len(p) {
		return errWKC
	}
	p = p[len(p)-n : len(p)-2]
	tag := [tagLen]byte(p)
	text := g.scratch[:copy(g.scratch[:], p[tagLen:])]
	defer clear(text)
	if !g.key.open(tag[:], length, text) {
		return errWKC
	}
	if g.offered.crypt != nil && g.offered.tag == tag {
		return nil
	}
	key := staticKey((*[staticLen]byte)(text))
	g.offered = keyedCrypt{tag, newCryptGuard(key, frame.Server), bytes.Clone(text[staticLen:])}
	return nil
}
