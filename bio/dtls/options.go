package dtls

import (
	"io"

	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"
)

// What a configuration means to pion.

func (h *handshake) client() (*pion.Conn, error) {
	options, err := h.shared()
	if err != nil {
		return nil, err
	}
	var all []pion.ClientOption
	for _, o := range options {
		all = append(all, o)
	}
	return pion.ClientWithOptions(h.mem, h.mem.peer, all...)
}

func (h *handshake) server() (*pion.Conn, error) {
	options, err := h.shared()
	if err != nil {
		return nil, err
	}
	all := []pion.ServerOption{
		pion.WithClientAuth(pion.ClientAuthType(h.tls.ClientAuth)), // the same list as in crypto/tls
		pion.WithClientCAs(h.tls.ClientCAs),
		pion.WithInsecureSkipVerifyHello(h.SkipCookie),
	}
	if h.usesCertificates(frame.Server) {
		all = append(all, pion.WithGetCertificate(h.getCertificate))
	}
	for _, o := range options {
		all = append(all, o)
	}
	return pion.ServerWithOptions(h.mem, h.mem.peer, all...)
}

// fragmentOverhead is what pion adds to each fragment of a handshake message beyond its MTU.
const fragmentOverhead = headerLen + msgHeaderLen

// shared returns the options of both roles.
func (h *handshake) shared() ([]pion.Option, error) {
	suites, err := h.suitesFor(h.role)
	if err != nil {
		return nil, err
	}
	var ids []pion.CipherSuiteID
	for _, s := range suites {
		ids = append(ids, pion.CipherSuiteID(s.id))
	}
	options := []pion.Option{
		pion.WithCipherSuites(ids...),
		pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret), // https://www.rfc-editor.org/rfc/rfc7627
		pion.WithMTU(h.MTU - fragmentOverhead),
		pion.WithFlightInterval(h.FlightInterval),
		pion.WithServerName(h.tls.ServerName),
		pion.WithRootCAs(h.tls.RootCAs),
		pion.WithInsecureSkipVerify(h.tls.InsecureSkipVerify),
		pion.WithVerifyPeerCertificate(h.verifyPeer),
		pion.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard}),
	}
	return append(options, h.optional()...), nil
}

// optional returns the options that are there only if something is configured.
func (h *handshake) optional() (options []pion.Option) {
	add := func(wanted bool, o func() pion.Option) {
		if wanted {
			options = append(options, o())
		}
	}
	add(len(h.tls.Certificates) > 0, func() pion.Option { return pion.WithCertificates(h.tls.Certificates...) })
	add(len(h.tls.NextProtos) > 0, func() pion.Option { return pion.WithSupportedProtocols(h.tls.NextProtos...) })
	add(len(h.curves) > 0, func() pion.Option { return pion.WithEllipticCurves(h.curves...) })
	add(h.sessions != nil, func() pion.Option { return pion.WithSessionStore(h.sessions) })
	add(h.PSK != nil, func() pion.Option { return pion.WithPSK(h.psk) })
	add(h.PSKIdentity != nil, func() pion.Option { return pion.WithPSKIdentityHint(h.PSKIdentity) })
	add(h.CIDLen > 0, func() pion.Option { return pion.WithConnectionIDGenerator(h.newCID) })
	add(h.CIDLen == 0 && h.SendCID, func() pion.Option {
		return pion.WithConnectionIDGenerator(pion.OnlySendCIDGenerator())
	})
	add(h.tls.VerifyConnection != nil, func() pion.Option { return pion.WithVerifyConnection(h.verifyConnection) })
	add(h.tls.GetClientCertificate != nil, func() pion.Option {
		return pion.WithGetClientCertificate(h.getClientCertificate)
	})
	return options
}
