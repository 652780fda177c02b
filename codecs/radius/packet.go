package radius

import (
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// Codes of packets. https://www.rfc-editor.org/rfc/rfc2865.html#section-3
const (
	accessRequest   = 1
	accessAccept    = 2
	accessReject    = 3
	accessChallenge = 11
)

// Types of attributes. https://www.rfc-editor.org/rfc/rfc2865.html#section-5,
// https://www.rfc-editor.org/rfc/rfc3579.html#section-3
const (
	attrUserName             = 1
	attrServiceType          = 6
	attrFramedMTU            = 12
	attrState                = 24
	attrVendor               = 26
	attrNASIdentifier        = 32
	attrProxyState           = 33
	attrEAPMessage           = 79
	attrMessageAuthenticator = 80
)

const (
	headerLen        = 20
	authenticatorAt  = 4
	authenticatorLen = 16
	attrHeaderLen    = 2
	maxValue         = 253
	maxPacket        = 4096

	// signatureAt is where this end puts the value of Message-Authenticator: it is the first attribute, which is what
	// keeps replies from being forged by collisions of MD5. https://www.rfc-editor.org/info/rfc9765
	signatureAt = headerLen + attrHeaderLen
)

// A packet is one that was received, its padding cut off.
type packet struct {
	all        []byte
	code, id   byte
	attributes attributes
}

// authenticator returns the request's or the reply's.
func (p packet) authenticator() []byte { return p.all[authenticatorAt:headerLen] }

// parse takes a packet apart, which stays part of b.
func parse(b []byte) (p packet, err error) {
	if len(b) < headerLen {
		return p, errShort
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < headerLen || n > len(b) || n > maxPacket {
		return p, errLength
	}
	p = packet{all: b[:n], code: b[0], id: b[1], attributes: b[headerLen:n]}
	if !p.attributes.valid() {
		return p, errAttribute
	}
	return p, nil
}

// attributes are the rest of a packet.
type attributes []byte

// valid reports whether they can be walked through.
func (a attributes) valid() bool {
	for len(a) > 0 {
		if len(a) < attrHeaderLen || a[1] < attrHeaderLen || int(a[1]) > len(a) {
			return false
		}
		a = a[a[1]:]
	}
	return true
}

// find returns the value of the first attribute of that type, nil if there is none, and where it is.
func (a attributes) find(typ byte) (value []byte, at int) {
	for ; at < len(a); at += int(a[at+1]) {
		if a[at] == typ {
			return a[at+attrHeaderLen : at+int(a[at+1])], at + attrHeaderLen
		}
	}
	return nil, 0
}

// count returns how many attributes have that type.
func (a attributes) count(typ byte) (n int) {
	for at := 0; at < len(a); at += int(a[at+1]) {
		if a[at] == typ {
			n++
		}
	}
	return n
}

// size returns how many bytes the attributes of that type take.
func (a attributes) size(typ byte) (n int) {
	for at := 0; at < len(a); at += int(a[at+1]) {
		if a[at] == typ {
			n += int(a[at+1])
		}
	}
	return n
}

// join appends the values of all attributes of that type to dst.
func (a attributes) join(dst []byte, typ byte) []byte {
	for at := 0; at < len(a); at += int(a[at+1]) {
		if a[at] == typ {
			dst = append(dst, a[at+attrHeaderLen:at+int(a[at+1])]...)
		}
	}
	return dst
}

// keep appends all attributes of that type, whole, to dst.
func (a attributes) keep(dst []byte, typ byte) []byte {
	for at := 0; at < len(a); at += int(a[at+1]) {
		if a[at] == typ {
			dst = append(dst, a[at:at+int(a[at+1])]...)
		}
	}
	return dst
}

// State returns the value of the attribute State of a packet, nil if there is none or it is no packet. A server puts
// one of its own for each session into its challenges, and clients return it: by it a program with many sessions on one
// socket knows whose a request is. Nothing of the packet is verified; the session does that. The value is part of p.
// https://www.rfc-editor.org/rfc/rfc2865.html#section-5.24
func State(p []byte) []byte {
	parsed, err := parse(p)
	if err != nil {
		return nil
	}
	state, _ := parsed.attributes.find(attrState)
	return state
}

// A draft is a packet that is being written.
type draft struct{ *frame.Buf }

// newDraft returns a packet without authenticator, and with an empty Message-Authenticator. Its length is not yet told.
func newDraft(code, id byte) draft {
	d := draft{frame.Get(0, maxPacket)}
	clear(d.Append(headerLen))
	d.Bytes()[0], d.Bytes()[1] = code, id
	d.add(attrMessageAuthenticator, zeros[:])
	return d
}

// add writes an attribute of up to maxValue bytes.
func (d draft) add(typ byte, value []byte) { copy(d.attribute(typ, len(value)), value) }

// attribute writes the header of an attribute and returns the place for n bytes of value.
func (d draft) attribute(typ byte, n int) []byte {
	p := d.Append(attrHeaderLen + n)
	p[0], p[1] = typ, byte(len(p))
	return p[attrHeaderLen:]
}

func (d draft) addText(typ byte, value string) { copy(d.attribute(typ, len(value)), value) }

func (d draft) addNumber(typ byte, value uint32) {
	binary.BigEndian.PutUint32(d.attribute(typ, 4), value)
}

// addEAP writes an EAP packet, in as many attributes as it needs.
func (d draft) addEAP(p []byte) {
	for len(p) > 0 {
		n := min(len(p), maxValue)
		d.add(attrEAPMessage, p[:n])
		p = p[n:]
	}
}

// finish writes the length.
func (d draft) finish() { binary.BigEndian.PutUint16(d.Bytes()[2:], uint16(d.Len())) }

// authenticator returns the place for it.
func (d draft) authenticator() []byte { return d.Bytes()[authenticatorAt:headerLen] }

var zeros [authenticatorLen]byte

// Errors of bytes that came from the other end are made once, so that a flood of them allocates nothing. The first
// leave the exchange as it was: anybody may have sent such a packet.
var (
	errShort     = malformed("shorter than its header")
	errLength    = malformed("not as long as it says")
	errAttribute = malformed("an attribute not as long as it says")
	errCode      = malformed("an unknown code, or that of the wrong end")
	errReply     = malformed("a reply to what was not asked")
	errUnsigned  = malformed("no Message-Authenticator, or several")
	errSignature = malformed("a wrong authenticator: is the secret the same at both ends?")
	errState     = malformed("the State of another session")
	errNoEAP     = malformed("no EAP-Message")
	errProxies   = malformed("more Proxy-State than can be returned")
	errConflict  = malformed("an EAP packet that does not go with the code")
	errKeyLength = malformed("MS-MPPE keys that cannot be decrypted")
	errOtherKeys = malformed("MS-MPPE keys that are not those of TLS: it has another end than RADIUS")
)

func malformed(what string) error { return fmt.Errorf("radius: %w: %s", frame.ErrMalformed, what) }
