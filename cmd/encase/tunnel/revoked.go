package tunnel

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
)

// revocations are lists of revoked certificates, one of each authority.
//
// https://www.rfc-editor.org/rfc/rfc5280#section-5
type revocations struct {
	lists   map[string]*x509.RevocationList // by the raw name of the issuer
	serials map[string]bool                 // by issuer and number
}

// readRevocations loads identity.crl.
func (c *config) readRevocations() {
	const at = "identity.crl"
	c.who.crlTime = modified(c.fields.crl) // before it is read: what comes later is noticed
	r, err := loadRevocations(c.fields.crl, c.who.authorities)
	if err != nil {
		if c.who.authorities != nil { // else that has been said
			c.doc.wrong(at, "%v", err)
		}
		return
	}
	c.who.revoked = r
	switch left := time.Until(r.expires()); {
	case left < 0:
		c.doc.wrong(at, "%s: the list expired on %s: nobody would be let in; make a new one with: encase pki crl, or "+
			"\"openssl "+
			"ca -gencrl\"", c.fields.crl, conf.Date(r.expires()))
	case left < listExpiresSoon:
		c.doc.warn(at, "%s: the list expires on %s, and nobody will be let in then; make a new one with: encase pki crl",
			c.fields.crl, conf.Date(r.expires()))
	}
}

// modified returns when a file was changed, zero if that is not known.
func modified(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// loadRevocations reads lists in PEM form or, a single one, in DER, and checks who has signed them.
func loadRevocations(file string, authorities []*x509.Certificate) (*revocations, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s; name a file with a list of revoked certificates", conf.FileFault(err))
	}
	var ders [][]byte
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "X509 CRL" {
			ders = append(ders, block.Bytes)
		}
	}
	if ders == nil {
		ders = [][]byte{data}
	}
	r := &revocations{lists: map[string]*x509.RevocationList{}, serials: map[string]bool{}}
	for _, der := range ders {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; it needs \"-----BEGIN X509 CRL-----\"", file, err)
		}
		if err := r.add(list, authorities); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return r, nil
}

// add adds a list that an authority has signed. Of several of one authority the newest counts.
func (r *revocations) add(list *x509.RevocationList, authorities []*x509.Certificate) error {
	var last error
	for _, a := range authorities {
		if last = list.CheckSignatureFrom(a); last == nil {
			break
		}
	}
	if last != nil || len(authorities) == 0 {
		return fmt.Errorf("the list of %s is not signed by an authority in identity.ca", list.Issuer)
	}
	issuer := string(list.RawIssuer)
	if have := r.lists[issuer]; have != nil && !have.ThisUpdate.Before(list.ThisUpdate) {
		return nil
	}
	r.lists[issuer] = list
	for _, e := range list.RevokedCertificateEntries {
		r.serials[issuer+e.SerialNumber.String()] = true
	}
	return nil
}

// expires returns when the first of the lists does.
func (r *revocations) expires() (first time.Time) {
	for _, list := range r.lists {
		if first.IsZero() || list.NextUpdate.Before(first) {
			first = list.NextUpdate
		}
	}
	return first
}

// check says why a certificate does not count. What is not known counts as revoked.
func (r *revocations) check(cert *x509.Certificate, now time.Time) error {
	list := r.lists[string(cert.RawIssuer)]
	switch {
	case r.serials[string(cert.RawIssuer)+cert.SerialNumber.String()]:
		return fmt.Errorf("the certificate with the number %X has been revoked", cert.SerialNumber)
	case list == nil:
		return fmt.Errorf("there is no list of revoked certificates of %s in identity.crl", cert.Issuer)
	case now.After(list.NextUpdate):
		return fmt.Errorf("the list of revoked certificates has expired on %s", conf.Date(list.NextUpdate))
	}
	return nil
}
