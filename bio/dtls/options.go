package dtls

import (
	"io"
	"sync"

	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"
)

// What a configuration means to pion: most of it is the same for all handshakes of a role, and is made once.

// optionSets are the options that all handshakes of a role have in common.
type optionSets struct {
	client func() ([]pion.ClientOption, error)
	server func() ([]pion.ServerOption, error)
}

func (s *settings) optionSets() optionSets {
	return optionSets{sync.OnceValues(s.clientOptions), sync.OnceValues(s.serverOptions)}
}

func (s *settings) clientOptions() ([]pion.ClientOption, error) {
	options, err := s.shared(frame.Client)
	if err != nil {
		return nil, err
	}
	all := make([]pion.ClientOption, len(options))
	for i, o := range options {
		all[i] = o
	}
	return all, nil
}

func (s *settings) serverOptions() ([]pion.ServerOption, error) {
	options, err := s.shared(frame.Server)
	if err != nil {
		return nil, err
	}
	all := []pion.ServerOption{
		pion.WithClientAuth(pion.ClientAuthType(s.tls.ClientAuth)), // the same list as in crypto/tls
		pion.WithClientCAs(s.tls.ClientCAs),
		pion.WithInsecureSkipVerifyHello(s.SkipCookie),
	}
	for _, o := range options {
		all = append(all, o)
	}
	return all, nil
}

// client makes the pion of a client.
func (h *handshake) client() (*pion.Conn, error) {
	common, err := h.options.client()
	if err != nil {
		return nil, err
	}
	all := append(make([]pion.ClientOption, 0, len(common)+ownOptions), common...)
	for _, o := range h.own() {
		all = append(all, o)
	}
	return pion.ClientWithOptions(h.mem, h.mem.peer, all...)
}

// server makes the pion of a server.
func (h *handshake) server() (*pion.Conn, error) {
	common, err := h.options.server()
	if err != nil {
		return nil, err
	}
	all := append(make([]pion.ServerOption, 0, len(common)+ownOptions), common...)
	if h.usesCertificates(frame.Server) {
		all = append(all, pion.WithGetCertificate(h.getCertificate))
	}
	for _, o := range h.own() {
		all = append(all, o)
	}
	return pion.ServerWithOptions(h.mem, h.mem.peer, all...)
}

// ownOptions is how many options a handshake has for itself, at most.
const ownOptions = 6

// own returns the options that learn, or know, something of this one handshake.
func (h *handshake) own() []pion.Option {
	options := append(make([]pion.Option, 0, ownOptions),
		pion.WithVerifyPeerCertificate(h.verifyPeer), pion.WithKeyLogWriter(&h.secret))
	if h.tls.VerifyConnection != nil {
		options = append(options, pion.WithVerifyConnection(h.verifyConnection))
	}
	if h.sessions != nil {
		options = append(options, pion.WithSessionStore(h.sessions))
	}
	if h.CIDLen > 0 {
		options = append(options, pion.WithConnectionIDGenerator(h.newCID))
	}
	return options
}

// fragmentOverhead is what pion adds to each fragment of a handshake message beyond its MTU.
const fragmentOverhead = headerLen + msgHeaderLen

// shared returns what the options of both roles have in common.
func (s *settings) shared(role frame.Role) ([]pion.Option, error) {
	suites, err := s.suitesFor(role)
	if err != nil {
		return nil, err
	}
	var ids []pion.CipherSuiteID
	for _, c := range suites {
		ids = append(ids, pion.CipherSuiteID(c.id))
	}
	options := []pion.Option{
		pion.WithCipherSuites(ids...),
		pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret), // https://www.rfc-editor.org/rfc/rfc7627
		pion.WithMTU(s.MTU - fragmentOverhead),
		pion.WithFlightInterval(s.FlightInterval),
		pion.WithServerName(s.tls.ServerName),
		pion.WithRootCAs(s.tls.RootCAs),
		pion.WithInsecureSkipVerify(s.tls.InsecureSkipVerify),
		pion.WithLoggerFactory(silence{}),
	}
	return append(options, s.optional()...), nil
}

// optional returns the options that are there only if something is configured.
func (s *settings) optional() (options []pion.Option) {
	add := func(wanted bool, o func() pion.Option) {
		if wanted {
			options = append(options, o())
		}
	}
	add(len(s.tls.Certificates) > 0, func() pion.Option { return pion.WithCertificates(s.tls.Certificates...) })
	add(len(s.tls.NextProtos) > 0, func() pion.Option { return pion.WithSupportedProtocols(s.tls.NextProtos...) })
	add(len(s.curves) > 0, func() pion.Option { return pion.WithEllipticCurves(s.curves...) })
	add(s.PSK != nil, func() pion.Option { return pion.WithPSK(s.psk) })
	add(s.PSKIdentity != nil, func() pion.Option { return pion.WithPSKIdentityHint(s.PSKIdentity) })
	add(s.CIDLen == 0 && s.SendCID, func() pion.Option {
		return pion.WithConnectionIDGenerator(pion.OnlySendCIDGenerator())
	})
	add(s.tls.GetClientCertificate != nil, func() pion.Option {
		return pion.WithGetClientCertificate(s.getClientCertificate)
	})
	return options
}

// silence is where pion logs to: it says nothing that its errors do not say.
type silence struct{}

var noLogger = logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, io.Discard)

// NewLogger implements logging.LoggerFactory.
func (silence) NewLogger(string) logging.LeveledLogger { return noLogger }
