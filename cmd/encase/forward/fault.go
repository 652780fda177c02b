package forward

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/cmd/encase/datagrams"
	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/datagram"
)

// faults holds what is needed to say what to do about an error of one wrapped side: how its user writes the keys, with
// the values that matter.
type faults struct {
	role                       frame.Role
	dtls                       bool   // with datagrams
	psk                        string // of DTLS
	hasKey                     bool   // there are pre-shared keys
	ca, cert, codec            string
	serverName, nameKey        string
	clientAuth, versions, alpn string
	ciphers                    string
}

// inHandshake says where to look after a handshake that failed; empty if there is nothing to do.
func (f *faults) inHandshake(err error) string {
	var alert *bio.AlertError
	silent := errors.Is(err, bio.ErrTruncated) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.ECONNRESET)
	switch {
	case errors.As(err, &alert) || !silent:
	case f.dtls && f.role == frame.Client:
		return "nobody answers, or not with what is of use: is the server up, the address right, and does it have the same " +
			f.codec + f.orKey() + "?"
	case f.dtls:
		return "the client does not go on; does it have the same " + f.codec + f.orKey() + "?"
	default:
		return "the peer went away or waits for something else; unless it was a probe, see whether both ends have " +
			"the same " + f.codec
	}
	return f.remedy(err)
}

// orKey names the pre-shared keys, if there are some: who has another often just does not answer.
func (f *faults) orKey() string {
	if f.psk == "" || !f.hasKey {
		return ""
	}
	return " and the same key, see " + f.psk
}

// inPreamble says where to look after a preamble that failed.
func inPreamble(err error) string {
	var wrong *preamble.Error
	if errors.As(err, &wrong) {
		return "" // the error says it
	}
	return "the peer went away or waits for something else; does it speak the protocol of this side's preamble?"
}

// remedy says where to look after an error of this side; empty if there is nothing to do.
func (f *faults) remedy(err error) string {
	var alert *bio.AlertError
	var header tls.RecordHeaderError
	switch {
	case f.certificate(err) != "":
		return f.certificate(err)
	case errors.As(err, &header), errors.Is(err, frame.ErrMalformed):
		return "the peer does not speak TLS in this framing; both ends need the same " + f.codec
	case errors.As(err, &alert) && !alert.Sent:
		return f.refused(alert.Alert)
	case f.hasKey && (errors.Is(err, datagrams.ErrUnknownIdentity) || errors.As(err, &alert)):
		return "the two ends have no identity with the same key, or no cipher in common; see " + f.psk + " and " + f.ciphers
	case errors.As(err, &alert) && f.dtls:
		return "the two ends have no certificate, cipher or protocol in common; see " + f.cert + ", " + f.ciphers + " and " +
			f.alpn
	case errors.As(err, &alert) && f.role == frame.Server:
		return "the client and this end have no certificate, version, cipher or protocol in common; see " + f.clientAuth +
			", " + f.ca + ", " + f.versions + " and " + f.alpn
	case errors.As(err, &alert):
		return "the server and this end have no version, cipher or protocol in common; see " + f.versions + " and " + f.alpn
	case errors.Is(err, bio.ErrTruncated):
		return "what arrived may be incomplete: the peer, or something on the way, ended TCP without ending TLS " +
			"(close_notify)"
	}
	return ""
}

// certificate says what to do if this end refuses the peer's certificate.
func (f *faults) certificate(err error) string {
	var (
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		invalid  x509.CertificateInvalidError
		identity *identityError
		verify   *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &identity):
		return "if this peer is to be let in, add it to pins or client_names"
	case errors.As(err, &host):
		return "the server's certificate is not for " + f.serverName + "; see " + f.nameKey
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the peer's certificate, or one above it, is not valid now; renew it there, and compare the clocks"
	case errors.As(err, &unknown):
		return "the authority that signed the peer's certificate is not in " + f.ca
	case errors.As(err, &verify):
		return "the peer's certificate does not verify against " + f.ca
	}
	return ""
}

// Alerts of https://www.rfc-editor.org/rfc/rfc8446#section-6 that have a remedy at this end.
const (
	alertBadRecord           tls.AlertError = 20
	alertHandshakeFailure    tls.AlertError = 40
	alertBadCertificate      tls.AlertError = 42
	alertUnsupportedCert     tls.AlertError = 43
	alertCertificateExpired  tls.AlertError = 45
	alertCertificateUnknown  tls.AlertError = 46
	alertUnknownCA           tls.AlertError = 48
	alertAccessDenied        tls.AlertError = 49
	alertDecryptError        tls.AlertError = 51
	alertProtocolVersion     tls.AlertError = 70
	alertUnrecognizedName    tls.AlertError = 112
	alertUnknownIdentity     tls.AlertError = 115
	alertCertificateRequired tls.AlertError = 116
	alertNoProtocol          tls.AlertError = 120
)

// refused says what to do if the peer refuses this end.
func (f *faults) refused(code tls.AlertError) string {
	switch code {
	case alertBadRecord, alertDecryptError, alertUnknownIdentity:
		return "the peer has another key for this identity, or none; see " + f.psk
	case alertUnknownCA, alertBadCertificate, alertUnsupportedCert, alertCertificateUnknown, alertAccessDenied:
		return "the peer does not accept the certificate of this end, " + f.cert +
			"; compare it with the authorities that the peer trusts"
	case alertCertificateExpired:
		return "the certificate of this end has expired for the peer; renew " + f.cert + ", and compare the clocks"
	case alertCertificateRequired:
		return "the peer wants a certificate of this end; set " + f.cert
	case alertHandshakeFailure:
		if f.dtls {
			return "no cipher in common, or the peer has no key for this identity; see " + f.ciphers + " and " + f.psk
		}
		return "no version or cipher in common; see " + f.versions
	case alertProtocolVersion:
		return "no version or cipher in common; see " + f.versions
	case alertNoProtocol:
		return "no application protocol in common; see " + f.alpn
	case alertUnrecognizedName:
		return "the server does not know the name " + f.serverName + "; see " + f.nameKey
	}
	return ""
}

// reason names the kind of an error in one word, for those who count.
func reason(err error) string {
	var alert *bio.AlertError
	var dns *net.DNSError
	var network net.Error
	switch {
	case err == nil:
		return "closed"
	case errors.Is(err, errIdle):
		return "idle"
	case errors.Is(err, errGone):
		return "gone"
	case errors.Is(err, datagram.ErrPeerSilent):
		return "silent"
	case errors.Is(err, datagram.ErrReplaced):
		return "replaced"
	case errors.Is(err, errDrained):
		return "drained"
	case errors.Is(err, bio.ErrTruncated), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "truncated"
	case errors.As(err, &alert):
		return "tls"
	case errors.Is(err, frame.ErrMalformed):
		return "malformed"
	case errors.As(err, &dns):
		return "name"
	case errors.As(err, &network) && network.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	}
	return "failed"
}
