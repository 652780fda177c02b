package radius

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"

	"github.com/encase-tls/encase/codecs/eap"
)

// Microsoft's attributes for keys. https://www.rfc-editor.org/rfc/rfc2548.html#section-2.4
const (
	vendorMicrosoft = 311
	mppeSendKey     = 16
	mppeRecvKey     = 17

	vendorHeaderLen = 6 // vendor, type, length
	saltLen         = 2
	keyLen          = 32 // half an MSK
	sealedKeyLen    = 48 // its length and itself, in whole blocks
	mppeLen         = saltLen + sealedKeyLen
)

// addKeys writes the MSK: the first half is what the server receives with, the second what it sends with.
// https://www.rfc-editor.org/rfc/rfc5216.html#section-2.3
func (s *signer) addKeys(d draft, authenticator []byte, msk *eap.Key) {
	var salt [saltLen]byte
	rand.Read(salt[:])
	for i, typ := range [...]byte{mppeRecvKey, mppeSendKey} {
		salt[0] |= 0x80
		salt[1] = salt[1]&^1 | byte(i) // no two of a packet are the same
		p := d.attribute(attrVendor, vendorHeaderLen+mppeLen)
		binary.BigEndian.PutUint32(p, vendorMicrosoft)
		p[4], p[5] = typ, byte(len(p)-4)
		p = p[vendorHeaderLen:]
		copy(p, salt[:])
		sealed := p[saltLen:]
		clear(sealed)
		sealed[0] = keyLen
		copy(sealed[1:], msk[i*keyLen:][:keyLen])
		s.crypt(sealed, authenticator, salt[:], false)
	}
}

// crypt encrypts or decrypts the blocks of p in place: each is mixed with the MD5 of the secret and the encrypted block
// before it, or of what comes with the packet.
// https://www.rfc-editor.org/rfc/rfc2548.html#section-2.4.2
func (s *signer) crypt(p, authenticator, salt []byte, decrypt bool) {
	var before [authenticatorLen]byte
	for i := 0; i < len(p); i += authenticatorLen {
		s.md5.Reset()
		s.md5.Write(s.secret)
		if i == 0 {
			s.md5.Write(authenticator)
			s.md5.Write(salt)
		} else {
			s.md5.Write(before[:])
		}
		block := p[i : i+authenticatorLen]
		mask := s.md5.Sum(s.sum[:0])
		if decrypt {
			copy(before[:], block)
		}
		subtle.XORBytes(block, block, mask)
		if !decrypt {
			copy(before[:], block)
		}
	}
}

// checkKeys compares the keys in an Access-Accept, if there are any, with the MSK.
func (s *signer) checkKeys(a attributes, authenticator []byte, msk *eap.Key) error {
	for i, typ := range [...]byte{mppeRecvKey, mppeSendKey} {
		value := a.vendor(vendorMicrosoft, typ)
		if value == nil {
			continue
		}
		if len(value) != mppeLen {
			return errKeyLength
		}
		var key [sealedKeyLen]byte
		copy(key[:], value[saltLen:])
		s.crypt(key[:], authenticator, value[:saltLen], true)
		switch {
		case key[0] != keyLen:
			return errKeyLength
		case subtle.ConstantTimeCompare(key[1:1+keyLen], msk[i*keyLen:][:keyLen]) != 1:
			return errOtherKeys
		}
	}
	return nil
}

// vendor returns the value of a vendor's attribute, nil if there is none.
func (a attributes) vendor(vendor uint32, typ byte) []byte {
	for at := 0; at < len(a); at += int(a[at+1]) {
		v := a[at+attrHeaderLen : at+int(a[at+1])]
		if a[at] == attrVendor && len(v) >= vendorHeaderLen && binary.BigEndian.Uint32(v) == vendor && v[4] == typ &&
			int(v[5]) == len(v)-4 {
			return v[vendorHeaderLen:]
		}
	}
	return nil
}
