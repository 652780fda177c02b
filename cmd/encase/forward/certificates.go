package forward

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/encase-tls/encase/frame"
)

// expiresSoon is when a certificate that runs out is warned about.
const expiresSoon = 21 * 24 * time.Hour

type rootPool = *x509.CertPool

// identity loads the certificate and the key of a side.
func (s *section) identity(cfg *tls.Config, role frame.Role) {
	certFile, keyFile := s.text("cert"), s.text("key")
	keyName := "key"
	switch {
	case certFile == "" && keyFile != "":
		s.wrong("key", "needs a certificate; set %s", s.name("cert"))
		return
	case certFile == "":
		return
	case keyFile == "":
		keyFile, keyName = certFile, "cert"
	}
	chain := s.chain("cert", certFile)
	if chain == nil && keyFile == certFile {
		return // has been said
	}
	key := s.privateKey(keyName, keyFile)
	if chain == nil || key == nil {
		return
	}
	pair, err := tls.X509KeyPair(encode(chain), key)
	if err != nil {
		s.wrong(keyName, "%v; the key must be that of the first certificate in %s", err, certFile)
		return
	}
	pair.Leaf = chain[0]
	cfg.Certificates = []tls.Certificate{pair}
	s.checkLeaf(pair.Leaf, role)
	s.checkDates("cert", certFile, chain[:1], s.doc.problems.add)
	s.checkDates("cert", certFile, chain[1:], s.doc.problems.warn)
}

// authorities loads the certificates that a side trusts; nil if none are named.
func (s *section) authorities() rootPool {
	file := s.text("ca")
	if file == "" {
		return nil
	}
	list := s.chain("ca", file)
	s.checkDates("ca", file, list, s.doc.problems.warn)
	pool := x509.NewCertPool()
	for _, cert := range list {
		pool.AddCert(cert)
	}
	return pool
}

// chain returns the certificates in a file, nil if there are none.
func (s *section) chain(key, file string) (chain []*x509.Certificate) {
	data, err := os.ReadFile(file)
	if err != nil {
		s.wrong(key, "%s; name a PEM file with certificates that this user may read", pathFault(err))
		return nil
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			s.wrong(key, "%s: certificate %d: %v; make it anew", file, len(chain)+1, err)
			return nil
		}
		chain = append(chain, cert)
	}
	if chain == nil {
		s.wrong(key, `%s: no certificate in PEM form is in it; it needs "-----BEGIN CERTIFICATE-----"`, file)
	}
	return chain
}

func encode(chain []*x509.Certificate) (out []byte) {
	for _, cert := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

// privateKey returns the contents of a file with a private key in clear, nil if it is not one or others may read it.
func (s *section) privateKey(key, file string) []byte {
	data, mode, err := readWithMode(file)
	if err != nil {
		s.wrong(key, "%s; name a PEM file with a private key that this user may read", pathFault(err))
		return nil
	}
	if mode&0o077 != 0 && runtime.GOOS != "windows" {
		s.wrong(key, "%s: others than its owner may use this private key (mode %04o); run: chmod 600 %[1]s", file, mode)
		return nil
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			s.wrong(key, "%s: the private key is encrypted; run: openssl pkey -in %[1]s -out NEW, and name NEW", file)
			return nil
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return data
		}
	}
	s.wrong(key, `%s: no private key in PEM form is in it; it needs "-----BEGIN PRIVATE KEY-----"`, file)
	return nil
}

// readWithMode reads a file and its permissions, both of the same one.
func readWithMode(name string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(f)
	return data, info.Mode().Perm(), err
}

// checkLeaf reports what peers will refuse.
func (s *section) checkLeaf(leaf *x509.Certificate, role frame.Role) {
	usage, whom := x509.ExtKeyUsageServerAuth, "servers (extendedKeyUsage = serverAuth)"
	if role == frame.Client {
		usage, whom = x509.ExtKeyUsageClientAuth, "clients (extendedKeyUsage = clientAuth)"
	}
	if !mayBeUsed(leaf, usage) {
		s.wrong("cert", "the certificate is not for %s; get one that is", whom)
	}
	if role == frame.Server && len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.URIs) == 0 {
		s.doc.problems.warn(s.at("cert"),
			"the certificate has no subjectAltName: clients refuse it; get one with DNS:NAME or IP:ADDRESS")
	}
}

func mayBeUsed(cert *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range cert.ExtKeyUsage {
		if u == usage || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// checkDates gives certificates that are not valid now to report, and warns of those that will soon not be.
func (s *section) checkDates(key, file string, list []*x509.Certificate, report func(place, string, ...any)) {
	now := time.Now()
	for _, cert := range list {
		name, from, to := cert.Subject.String(), cert.NotBefore, cert.NotAfter
		switch {
		case now.After(to):
			report(s.at(key), "%s: the certificate of %s expired on %s; renew it", file, name, date(to))
		case now.Before(from):
			report(s.at(key), "%s: the certificate of %s is valid from %s only; is the clock of this machine right?",
				file, name, date(from))
		case to.Sub(now) < expiresSoon:
			s.doc.problems.warn(s.at(key), "%s: the certificate of %s expires on %s; renew it", file, name, date(to))
		}
	}
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// pathFault returns an error of a file without the name of the system call.
func pathFault(err error) string {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Path + ": " + e.Err.Error()
	}
	return err.Error()
}
