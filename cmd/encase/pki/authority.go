// Package pki is the command "encase pki": a small certificate authority in a folder, for people who have none.
//
//	ca.crt ca.key ca.crl    the authority, and what it has revoked
//	NAME.crt NAME.key       what it has issued
//
// All files are PEM. The folder is the authority: it belongs on a machine that is no server, or at least into a backup.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
)

const (
	day = 24 * time.Hour

	authorityLife = 10 * 365 * day
	serverLife    = 2 * 365 * day
	clientLife    = 365 * day
	listLife      = 180 * day // whoever relies on the list lets nobody in afterwards

	// early is how much before its making a certificate is valid: clocks differ.
	early = time.Hour
)

// An authority is that of a folder.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// create makes an authority in a folder that has none, and an empty list of what it has revoked.
func create(dir, name string, now time.Time) (*authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &authority{dir: dir}
	for _, f := range []string{"ca.crt", "ca.key"} {
		if _, err := os.Stat(a.file(f)); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("pki: %s is there already: an authority must not be replaced; name another folder with --dir",
				a.file(f))
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-early),
		NotAfter: now.Add(authorityLife),
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if err := a.write("ca", der, key); err != nil {
		return nil, err
	}
	if a, err = open(dir); err != nil {
		return nil, err
	}
	return a, a.publish(nil, now)
}

// serial returns a number that nobody can guess, of 127 bits.
// https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.2
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// write writes a certificate and its key; the key first, so that there is no certificate without one.
func (a *authority) write(name string, der []byte, key *ecdsa.PrivateKey) error {
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	if err := conf.ReplaceFile(a.file(name+".key"), block, 0o600); err != nil {
		return err
	}
	return conf.ReplaceFile(a.file(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// open returns the authority of a folder.
func open(dir string) (*authority, error) {
	a := &authority{dir: dir}
	list, err := conf.Certificates(a.file("ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("pki: %w; an authority is made with: encase pki init", err)
	}
	data, err := conf.PrivateKey(a.file("ca.key"))
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if key := parseKey(block); key != nil {
			a.key = key
			break
		}
	}
	if a.cert = list[0]; a.key == nil {
		return nil, fmt.Errorf("pki: %s holds no key that can sign", a.file("ca.key"))
	}
	if public, ok := a.key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("pki: %s is not the key of %s", a.file("ca.key"), a.file("ca.crt"))
	}
	return a, nil
}

func parseKey(block *pem.Block) crypto.Signer {
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		signer, _ := key.(crypto.Signer)
		return signer
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key
	}
	return nil
}

// A request is what a certificate is to be.
type request struct {
	names  []string
	server bool
	life   time.Duration // 0: as is usual
	renew  bool          // replace what is there
}

// issue makes a certificate and its key and returns the names of their files without ".crt" and ".key".
func (a *authority) issue(r request, now time.Time) (string, error) {
	base, err := fileName(r.names[0])
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(a.file(base + ".crt")); err == nil && !r.renew {
		return "", fmt.Errorf("pki: %s is there already; add --renew to replace it", a.file(base+".crt"))
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: r.names[0]}, NotBefore: now.Add(-early),
		NotAfter: now.Add(r.lifetime()), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if r.server {
		template.ExtKeyUsage[0] = x509.ExtKeyUsageServerAuth
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	for _, n := range r.names {
		if ip, err := netip.ParseAddr(n); err == nil {
			template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return "", fmt.Errorf("pki: %w", err)
	}
	return base, a.write(base, der, key)
}

func (r *request) lifetime() time.Duration {
	switch {
	case r.life > 0:
		return r.life
	case r.server:
		return serverLife
	}
	return clientLife
}

// fileName returns the name of the files for a certificate.
func fileName(name string) (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:"
	if name == "" || name == "ca" || strings.Trim(name, letters) != "" || name[0] == '.' || name[0] == '-' ||
		len(name) > 200 {
		return "", fmt.Errorf("pki: %q cannot be a name here; use letters, digits and hyphens, as in alice.example", name)
	}
	return name, nil
}

// revocationList returns what has been revoked so far.
func (a *authority) revocationList() (*x509.RevocationList, error) {
	data, err := os.ReadFile(a.file("ca.crl"))
	if err != nil {
		return nil, fmt.Errorf("pki: %w; what has been revoked must not be forgotten: put the file back", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "X509 CRL" {
		return nil, fmt.Errorf("pki: %s: no list of revoked certificates in PEM form is in it", a.file("ca.crl"))
	}
	list, err := x509.ParseRevocationList(block.Bytes)
	if err == nil {
		err = list.CheckSignatureFrom(a.cert)
	}
	if err != nil {
		return nil, fmt.Errorf("pki: %s: %w", a.file("ca.crl"), err)
	}
	return list, nil
}

// publish writes a list of revoked certificates that is valid from now on.
func (a *authority) publish(entries []x509.RevocationListEntry, now time.Time) error {
	template := &x509.RevocationList{
		Number: big.NewInt(now.UnixMicro()), ThisUpdate: now.Add(-early), NextUpdate: now.Add(listLife),
		RevokedCertificateEntries: entries,
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	return conf.ReplaceFile(a.file("ca.crl"), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o644)
}

// renewList writes the list anew, with the same entries.
func (a *authority) renewList(now time.Time) error {
	list, err := a.revocationList()
	if err != nil {
		return err
	}
	return a.publish(list.RevokedCertificateEntries, now)
}

// revoke adds a certificate to the list: the one with a name, or that with a number.
func (a *authority) revoke(name string, number *big.Int, now time.Time) error {
	if number == nil {
		base, err := fileName(name)
		if err != nil {
			return err
		}
		certs, err := conf.Certificates(a.file(base + ".crt"))
		if err != nil {
			return fmt.Errorf("pki: %w", err)
		}
		if number = certs[0].SerialNumber; !bytes.Equal(certs[0].RawIssuer, a.cert.RawSubject) {
			return fmt.Errorf("pki: %s is of another authority, %s", a.file(base+".crt"), certs[0].Issuer)
		}
	}
	list, err := a.revocationList()
	if err != nil {
		return err
	}
	entries := list.RevokedCertificateEntries
	if slices.ContainsFunc(entries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(number) == 0 }) {
		return fmt.Errorf("pki: the certificate with the number %X has been revoked already", number)
	}
	return a.publish(append(entries, x509.RevocationListEntry{SerialNumber: number, RevocationTime: now}), now)
}

// An issued certificate is one in the folder.
type issued struct {
	cert    *x509.Certificate
	revoked time.Time // zero: it is not
}

// list returns the certificates in the folder, by name, and when the list of revoked ones expires.
func (a *authority) list() (all []issued, expires time.Time, err error) {
	list, err := a.revocationList()
	if err != nil {
		return nil, expires, err
	}
	files, err := filepath.Glob(filepath.Join(a.dir, "*.crt"))
	if err != nil {
		return nil, expires, err
	}
	for _, f := range files {
		certs, err := conf.Certificates(f)
		if err != nil || certs[0].IsCA || certs[0].CheckSignatureFrom(a.cert) != nil {
			continue // not of this authority
		}
		entry := issued{cert: certs[0]}
		for _, e := range list.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(certs[0].SerialNumber) == 0 {
				entry.revoked = e.RevocationTime
			}
		}
		all = append(all, entry)
	}
	return all, list.NextUpdate, nil
}
