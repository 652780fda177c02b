// Package ephemeral makes certificates that live in memory and as long as the program: for a demonstration, an example
// or a test, where a file would only be in the way. Its keys are ECDSA P-256. Nothing in it is fit to protect what
// matters: whoever can read the program's memory is the certificate authority.
package ephemeral

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is long enough for a test that runs over night.
const lifetime = 24 * time.Hour

// An Authority is a certificate authority in memory.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// New returns a new authority.
func New(name string) (*Authority, error) {
	a := &Authority{}
	template := template(name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	cert, err := a.sign(template)
	if err != nil {
		return nil, err
	}
	a.Certificate, a.key = cert.Leaf, cert.PrivateKey.(*ecdsa.PrivateKey)
	return a, nil
}

// Issue returns a certificate, good for servers and clients, for names: host names and IP addresses. The first is also
// its common name.
func (a *Authority) Issue(names ...string) (tls.Certificate, error) {
	if len(names) == 0 {
		return tls.Certificate{}, fmt.Errorf("ephemeral: Issue needs a name")
	}
	template := template(names[0])
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.sign(template)
}

// Pool returns a pool that trusts this authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// WriteFiles writes ca.crt, and for each certificate NAME.crt and NAME.key, as PEM into dir; keys are readable by their
// owner alone.
func (a *Authority) WriteFiles(dir string, certs map[string]tls.Certificate) error {
	if err := writePEM(filepath.Join(dir, "ca.crt"), 0o644, "CERTIFICATE", a.Certificate.Raw); err != nil {
		return err
	}
	for name, cert := range certs {
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			return fmt.Errorf("ephemeral: %w", err)
		}
		if err := writePEM(filepath.Join(dir, name+".key"), 0o600, "PRIVATE KEY", key); err != nil {
			return err
		}
		if err := writePEM(filepath.Join(dir, name+".crt"), 0o644, "CERTIFICATE", cert.Certificate[0]); err != nil {
			return err
		}
	}
	return nil
}

// writePEM gives the file its mode before its contents: an old file may be readable by more.
func writePEM(path string, mode os.FileMode, kind string, der []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if err = f.Chmod(mode); err == nil {
		err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	}
	return errors.Join(err, f.Close())
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.Add(lifetime),
	}
}

// sign makes a key and a certificate for it, signed by a, or by itself if a has no key yet.
func (a *Authority) sign(template *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("ephemeral: %w", err)
	}
	parent, signer := a.Certificate, a.key
	if signer == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("ephemeral: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("ephemeral: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
