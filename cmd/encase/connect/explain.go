package connect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/cmd/encase/picture"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

// explain adds to an error what a person can do about it.
func (o *options) explain(err error) error {
	var (
		certificate *tls.CertificateVerificationError
		header      tls.RecordHeaderError
		alert       *bio.AlertError
		handshake   *handshakeError
		dialogue    *preamble.Error
	)
	shaking := errors.As(err, &handshake)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return &advice{err, "interrupted"} // before there was a connection
	case errors.As(err, &dialogue):
		return err // it says all there is to say
	case errors.As(err, &certificate):
		return &advice{err, o.aboutCertificate(certificate)}
	case errors.Is(err, frame.ErrMalformed), errors.As(err, &header):
		return &advice{err, err.Error() + o.doubt()}
	case shaking && (errors.Is(err, bio.ErrTruncated) || errors.Is(err, os.ErrDeadlineExceeded)):
		return &advice{err, err.Error() + o.doubt()}
	case errors.Is(err, bio.ErrTruncated):
		return &advice{err, "the peer ended without close_notify: what came may be incomplete"}
	case errors.As(err, &alert):
		return &advice{err, err.Error() + o.aboutAlert(alert)}
	}
	return err
}

// doubt asks what the peer may not have.
func (o *options) doubt() string {
	switch {
	case !o.datagrams.on:
		return fmt.Sprintf("; does the peer speak TLS in --codec %s?", o.codec)
	case o.datagrams.pskFile != "":
		return fmt.Sprintf("; does the peer speak DTLS in --codec %s, with the same key for this identity?", o.codec)
	}
	return fmt.Sprintf("; does the peer speak DTLS in --codec %s?", o.codec)
}

// advice is an error in other words.
type advice struct {
	err  error
	text string
}

func (a *advice) Error() string { return a.text }
func (a *advice) Unwrap() error { return a.err }

// aboutCertificate says why the peer's certificate was refused.
func (o *options) aboutCertificate(e *tls.CertificateVerificationError) string {
	var (
		name      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
	)
	owner := "server"
	if o.listen {
		owner = "client"
	}
	subject := "its certificate"
	if len(e.UnverifiedCertificates) > 0 {
		subject = fmt.Sprintf("the certificate %q", picture.Name(e.UnverifiedCertificates[0]))
	}
	prefix := fmt.Sprintf("the %s is refused: %s", owner, subject)
	switch {
	case errors.As(e.Err, &name):
		return fmt.Sprintf("%s is for %s, not for %q: give --server-name NAME with a name that it is for, "+
			"if this is the server you mean", prefix, names(name.Certificate), name.Host)
	case errors.As(e.Err, &authority):
		return fmt.Sprintf("%s was issued by %q, which %s: give the certificate of the issuing authority with --ca",
			prefix, issuer(e), o.trust())
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		return prefix + " " + validity(invalid.Cert)
	}
	return prefix + ": " + e.Err.Error()
}

// trust says whom this end trusts.
func (o *options) trust() string {
	if o.ca == "" {
		return "this system does not trust"
	}
	return "is not in " + o.ca
}

// issuer returns who issued the last certificate that the peer showed.
func issuer(e *tls.CertificateVerificationError) string {
	chain := e.UnverifiedCertificates
	if len(chain) == 0 {
		return "somebody"
	}
	return terminal.Text(chain[len(chain)-1].Issuer.String())
}

// names lists what a certificate is for.
func names(c *x509.Certificate) string {
	var list []string
	for _, name := range c.DNSNames {
		list = append(list, terminal.Text(name))
	}
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	const most = 10
	if len(list) > most {
		list = append(list[:most], fmt.Sprintf("%d more", len(list)-most))
	}
	if len(list) == 0 {
		return "no name at all"
	}
	return strings.Join(list, ", ")
}

func validity(c *x509.Certificate) string {
	if time.Now().Before(c.NotBefore) {
		return fmt.Sprintf("is valid from %s on; is the clock right?", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("has expired on %s", c.NotAfter.UTC().Format(time.RFC3339))
}

// Alerts that say what to do.
// https://www.rfc-editor.org/rfc/rfc8446#section-6
const (
	badRecord           = 20
	handshakeFailure    = 40
	badCertificate      = 42
	unknownCA           = 48
	decryptError        = 51
	protocolVersion     = 70
	unknownIdentity     = 115
	certificateRequired = 116
	noProtocol          = 120
)

// aboutAlert says what may be behind an alert.
func (o *options) aboutAlert(e *bio.AlertError) string {
	own := o.cert != ""
	switch {
	case e.Sent:
		return ""
	case o.datagrams.pskFile != "" && (e.Alert == handshakeFailure || e.Alert == badRecord || e.Alert == decryptError ||
		e.Alert == unknownIdentity):
		return "; do both ends have the same key for this identity, and a cipher suite in common, see --ciphers?"
	case e.Alert == noProtocol:
		return "; do both ends have a protocol of --alpn in common?"
	case e.Alert == protocolVersion:
		return "; do both ends have a version of TLS in common, see --min-version and --max-version?"
	case e.Alert == certificateRequired, !own && (e.Alert == badCertificate || e.Alert == handshakeFailure):
		return "; does it want a client certificate? Give --cert and --key"
	case own && (e.Alert == badCertificate || e.Alert == unknownCA):
		return "; does it trust who issued " + o.cert + ", and look for a name in it?"
	}
	return ""
}
