package tunnel

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
)

// listExpiresSoon is when a list of revoked certificates that runs out is warned about.
const listExpiresSoon = 14 * 24 * time.Hour

// identityFiles are where an identity is.
type identityFiles struct{ cert, key, ca, crl string }

// An identity is who this end is and whom it trusts.
type identity struct {
	pair        tls.Certificate
	roots       *x509.CertPool
	authorities []*x509.Certificate
	revoked     *revocations // nil: nothing is asked
	crlTime     time.Time    // when their file was changed
}

func (c *config) readIdentity() {
	d := c.doc
	c.fields = identityFiles{get[string](d, "identity.cert"), get[string](d, "identity.key"),
		get[string](d, "identity.ca"),
		get[string](d, "identity.crl")}
	c.who = &identity{}
	for _, f := range []struct{ key, what string }{
		{"cert", "its certificate"}, {"key", "the private key of its certificate"}, {"ca", "whom it trusts"},
	} {
		if !d.has("identity." + f.key) {
			d.wrong("identity."+f.key, "is missing: name the PEM file with %s; \"encase pki\" makes one", f.what)
		}
	}
	c.readPair()
	c.readAuthorities()
	if c.fields.crl != "" {
		c.readRevocations()
	}
}

func (c *config) readPair() {
	d := c.doc
	var chain []*x509.Certificate
	var key []byte
	var err error
	if c.fields.cert != "" {
		if chain, err = conf.Certificates(c.fields.cert); err != nil {
			d.wrong("identity.cert", "%v", err)
		}
	}
	if c.fields.key != "" {
		if key, err = conf.PrivateKey(c.fields.key); err != nil {
			d.wrong("identity.key", "%v", err)
		}
	}
	if chain == nil || key == nil {
		return
	}
	if c.who.pair, err = tls.X509KeyPair(conf.EncodeCertificates(chain), key); err != nil {
		d.wrong("identity.key", "%v; the key must be that of the first certificate in %s", err, c.fields.cert)
		return
	}
	c.who.pair.Leaf = chain[0]
	c.checkLeaf(chain[0])
	c.checkDates("identity.cert", c.fields.cert, chain, d.wrong)
}

func (c *config) checkLeaf(leaf *x509.Certificate) {
	usage, flag := x509.ExtKeyUsageServerAuth, "--server"
	if c.side == client {
		usage, flag = x509.ExtKeyUsageClientAuth, "--client"
	}
	if c.side != both && !conf.MayServe(leaf, usage) {
		c.doc.wrong("identity.cert", "%s: the certificate is not for a %s; make one with: encase pki issue %s NAME",
			c.fields.cert,
			c.side, flag)
	}
	if c.side == server && len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		c.doc.warn("identity.cert", "the certificate has no subjectAltName: clients refuse it; get one with DNS:NAME or "+
			"IP:ADDRESS")
	}
}

func (c *config) readAuthorities() {
	if c.fields.ca == "" {
		return
	}
	list, err := conf.Certificates(c.fields.ca)
	if err != nil {
		c.doc.wrong("identity.ca", "%v", err)
		return
	}
	c.who.roots, c.who.authorities = x509.NewCertPool(), list
	for _, cert := range list {
		c.who.roots.AddCert(cert)
		if !cert.IsCA {
			c.doc.wrong("identity.ca", "%s: %s is no authority; name the file that \"encase pki init\" has made", c.fields.ca,
				cert.Subject)
		}
	}
	c.checkDates("identity.ca", c.fields.ca, list, c.doc.warn)
}

// checkDates gives certificates that are not valid now to report, and warns of those that will soon not be.
func (c *config) checkDates(at, file string, list []*x509.Certificate, report func(string, string, ...any)) {
	wrong, soon := conf.Dates(file, list, time.Now())
	for _, text := range wrong {
		report(at, "%s", text)
	}
	for _, text := range soon {
		c.doc.warn(at, "%s", text)
	}
}
