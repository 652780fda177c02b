package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"hash"
)

// A signer makes and verifies what proves that a packet is from somebody who knows the secret. MD5 is what the protocol
// prescribes.
type signer struct {
	secret []byte
	mac    hash.Hash
	md5    hash.Hash
	sum    [authenticatorLen]byte
}

// Verify returns nil if p is an Access-Request that is signed with the secret, and otherwise why it is not. A session
// looks itself; Verify is for a program with many sessions, which should not make one for a stranger. p is only read.
func Verify(p []byte, s *Secret) error {
	request, err := parse(p)
	switch {
	case err != nil:
		return err
	case request.code != accessRequest:
		return errCode
	}
	signer := newSigner(s)
	return signer.verify(request, request.authenticator())
}

func newSigner(s *Secret) signer {
	return signer{secret: s.key, mac: hmac.New(md5.New, s.key), md5: md5.New()}
}

// signature returns the Message-Authenticator of the packet p, the value of which is at at. authenticator is that of
// the request. The result is valid until the next call.
// https://www.rfc-editor.org/rfc/rfc3579.html#section-3.2
func (s *signer) signature(p, authenticator []byte, at int) []byte {
	s.mac.Reset()
	s.mac.Write(p[:authenticatorAt])
	s.mac.Write(authenticator)
	s.mac.Write(p[headerLen:at])
	s.mac.Write(zeros[:])
	s.mac.Write(p[at+authenticatorLen:])
	return s.mac.Sum(s.sum[:0])
}

// response returns the authenticator of the reply p to the request with authenticator. The result is valid until the
// next call.
// https://www.rfc-editor.org/rfc/rfc2865.html#section-3
func (s *signer) response(p, authenticator []byte) []byte {
	s.md5.Reset()
	s.md5.Write(p[:authenticatorAt])
	s.md5.Write(authenticator)
	s.md5.Write(p[headerLen:])
	s.md5.Write(s.secret)
	return s.md5.Sum(s.sum[:0])
}

// verify returns why the Message-Authenticator of p is not right. authenticator is that of the request.
func (s *signer) verify(p packet, authenticator []byte) error {
	value, at := p.attributes.find(attrMessageAuthenticator)
	if len(value) != authenticatorLen || p.attributes.count(attrMessageAuthenticator) != 1 {
		return errUnsigned
	}
	if subtle.ConstantTimeCompare(s.signature(p.all, authenticator, headerLen+at), value) != 1 {
		return errSignature
	}
	return nil
}

// verifyReply returns why p is no reply to the request with authenticator by somebody who knows the secret.
func (s *signer) verifyReply(p packet, authenticator []byte) error {
	if subtle.ConstantTimeCompare(s.response(p.all, authenticator), p.authenticator()) != 1 {
		return errSignature
	}
	return s.verify(p, authenticator)
}

// signRequest finishes a request, which has a random authenticator.
func (s *signer) signRequest(d draft) {
	d.finish()
	copy(d.Bytes()[signatureAt:], s.signature(d.Bytes(), d.authenticator(), signatureAt))
}

// signReply finishes a reply.
func (s *signer) signReply(d draft, authenticator []byte) {
	d.finish()
	copy(d.Bytes()[signatureAt:], s.signature(d.Bytes(), authenticator, signatureAt))
	copy(d.authenticator(), s.response(d.Bytes(), authenticator))
}
