package forward

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
)

// peerRules are what a peer's certificate must meet besides being valid.
type peerRules struct {
	pins  []pin
	names []string
}

// check returns the rules as a tls.Config.VerifyConnection, which sees resumed sessions, too; nil if there are none.
func (p peerRules) check() func(tls.ConnectionState) error {
	if len(p.pins) == 0 && len(p.names) == 0 {
		return nil
	}
	return func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return &identityError{"without a certificate nobody is let in"}
		}
		return p.meets(cs.PeerCertificates[0])
	}
}

func (p peerRules) meets(cert *x509.Certificate) error {
	if len(p.pins) > 0 && !slices.Contains(p.pins, pinOf(cert)) {
		key := pinOf(cert)
		return &identityError{fmt.Sprintf("the public key %s of %s is not pinned", hex.EncodeToString(key[:]), cert.Subject)}
	}
	matches := func(name string) bool { return cert.VerifyHostname(name) == nil }
	if len(p.names) > 0 && !slices.ContainsFunc(p.names, matches) {
		return &identityError{fmt.Sprintf("the certificate of %s is for none of the names that are let in", cert.Subject)}
	}
	return nil
}

func pinOf(cert *x509.Certificate) pin { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// An identityError says that a peer is known but not wanted.
type identityError struct{ text string }

func (e *identityError) Error() string { return "forward: " + e.text }
