package picture

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/encase-tls/encase/cmd/encase/terminal"
)

// Agreed returns what a handshake has agreed on, for a person to read.
func Agreed(cs tls.ConnectionState) []terminal.Row {
	rows := []terminal.Row{
		{Name: "version", Text: versionName(cs.Version)},
		{Name: "cipher suite", Text: tls.CipherSuiteName(cs.CipherSuite)},
	}
	if cs.CurveID != 0 {
		rows = append(rows, terminal.Row{Name: "key exchange", Text: groupName(uint16(cs.CurveID))})
	}
	if cs.NegotiatedProtocol != "" {
		rows = append(rows, terminal.Row{Name: "ALPN", Text: terminal.Text(cs.NegotiatedProtocol)})
	}
	if cs.DidResume {
		rows = append(rows, terminal.Row{Name: "session", Text: "resumed"})
	}
	certificate := "the peer showed none"
	if len(cs.PeerCertificates) > 0 {
		certificate = Certificate(cs.PeerCertificates[0])
	}
	return append(rows, terminal.Row{Name: "certificate", Text: certificate})
}

// Certificate describes a certificate in one line of printable ASCII, whatever is in it.
func Certificate(c *x509.Certificate) string {
	return fmt.Sprintf("%s, %s, issued by %s, until %s", Name(c), publicKey(c),
		terminal.Text(c.Issuer.String()), c.NotAfter.UTC().Format(time.RFC3339))
}

// Name returns what a certificate says it is for: its subject, or its first name if that is empty.
func Name(c *x509.Certificate) string {
	subject := c.Subject.String()
	switch {
	case subject != "":
		return terminal.Text(subject)
	case len(c.DNSNames) > 0:
		return terminal.Text(c.DNSNames[0])
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return "a certificate without a name"
}

func publicKey(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}
