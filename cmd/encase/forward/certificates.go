package forward

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/frame"
)

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
	pair, err := tls.X509KeyPair(conf.EncodeCertificates(chain), key)
	if err != nil {
		s.wrong(keyName, "%v; the key must be that of the first certificate in %s", err, certFile)
		return
	}
	pair.Leaf = chain[0]
	cfg.Certificates = []tls.Certificate{pair}
	s.checkLeaf(pair.Leaf, role)
	s.checkDates("cert", certFile, chain[:1], s.doc.problems.Add)
	s.checkDates("cert", certFile, chain[1:], s.doc.problems.Warn)
}

// authorities loads the certificates that a side trusts; nil if none are named.
func (s *section) authorities() rootPool {
	file := s.text("ca")
	if file == "" {
		return nil
	}
	list := s.chain("ca", file)
	s.checkDates("ca", file, list, s.doc.problems.Warn)
	pool := x509.NewCertPool()
	for _, cert := range list {
		pool.AddCert(cert)
	}
	return pool
}

// chain returns the certificates in a file, nil if there are none.
func (s *section) chain(key, file string) []*x509.Certificate {
	chain, err := conf.Certificates(file)
	if err != nil {
		s.wrong(key, "%v", err)
	}
	return chain
}

// privateKey returns the contents of a file with a private key in clear, nil if it is not one or others may read it.
func (s *section) privateKey(key, file string) []byte {
	data, err := conf.PrivateKey(file)
	if err != nil {
		s.wrong(key, "%v", err)
	}
	return data
}

// checkLeaf reports what peers will refuse.
func (s *section) checkLeaf(leaf *x509.Certificate, role frame.Role) {
	usage, whom := x509.ExtKeyUsageServerAuth, "servers (extendedKeyUsage = serverAuth)"
	if role == frame.Client {
		usage, whom = x509.ExtKeyUsageClientAuth, "clients (extendedKeyUsage = clientAuth)"
	}
	if !conf.MayServe(leaf, usage) {
		s.wrong("cert", "the certificate is not for %s; get one that is", whom)
	}
	if role == frame.Server && len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.URIs) == 0 {
		s.doc.problems.Warn(s.at("cert"),
			"the certificate has no subjectAltName: clients refuse it; get one with DNS:NAME or IP:ADDRESS")
	}
}

// checkDates gives certificates that are not valid now to report, and warns of those that will soon not be.
func (s *section) checkDates(key, file string, list []*x509.Certificate, report func(place, string, ...any)) {
	wrong, soon := conf.Dates(file, list, time.Now())
	for _, text := range wrong {
		report(s.at(key), "%s", text)
	}
	for _, text := range soon {
		s.doc.problems.Warn(s.at(key), "%s", text)
	}
}

// pathFault returns an error of a file without the name of the system call.
func pathFault(err error) string { return conf.FileFault(err) }
