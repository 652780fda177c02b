package dtls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
)

// papers are the certificates of a peer. An established connection keeps them as they came, in a few hundred bytes;
// parsed, they would take most of its memory.
type papers struct {
	sent   [][]byte    // DER, the leaf first; each has been parsed before
	chains [][]certRef // verified
}

// A certRef is a certificate in a chain.
type certRef struct {
	own  *x509.Certificate // from this end's own pool, where all connections have it in common; nil: the peer's
	sent int               // index of the peer's
}

// filed returns the papers for certificates that were sent, and the chains in which they were verified.
func filed(sent [][]byte, chains [][]*x509.Certificate) papers {
	p := papers{sent: sent}
	for _, chain := range chains {
		refs := make([]certRef, len(chain))
		for i, c := range chain {
			refs[i].sent = slices.IndexFunc(sent, func(der []byte) bool { return bytes.Equal(der, c.Raw) })
			if refs[i].sent < 0 {
				refs[i].own = c
			}
		}
		p.chains = append(p.chains, refs)
	}
	return p
}

// describe puts the certificates into cs.
func (p *papers) describe(cs *tls.ConnectionState) {
	certs, err := parseCertificates(p.sent, nil)
	if err != nil {
		panic(err) // these bytes have been parsed before
	}
	cs.PeerCertificates = certs
	for _, refs := range p.chains {
		chain := make([]*x509.Certificate, len(refs))
		for i, l := range refs {
			if chain[i] = l.own; l.own == nil {
				chain[i] = certs[l.sent]
			}
		}
		cs.VerifiedChains = append(cs.VerifiedChains, chain)
	}
}

// parseCertificates parses what a peer has sent, except those that are in chains, parsed.
func parseCertificates(sent [][]byte, chains [][]*x509.Certificate) (certs []*x509.Certificate, err error) {
	known := slices.Concat(chains...)
	for _, der := range sent {
		var c *x509.Certificate
		if i := slices.IndexFunc(known, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, der) }); i >= 0 {
			c = known[i]
		} else if c, err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("dtls: the peer's certificate: %w", err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}
