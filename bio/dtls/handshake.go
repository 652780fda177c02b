package dtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"
)

// A handshake drives pion over a memConn, on a goroutine of its own, until pion is done or gives up.
type handshake struct {
	*settings
	role     frame.Role
	conn     *pion.Conn
	mem      *memConn
	sessions pion.SessionStore // nil: none
	started  atomic.Bool
	ctx      context.Context // ends when the engine gives up
	cancel   context.CancelCauseFunc

	// What callbacks have learned. They run on a goroutine of pion's, which is done with them before the handshake is.
	serverName string
	chains     [][]*x509.Certificate
}

// errTimeout is a timeout to whoever asks for one with errors.Is or as a net.Error.
var errTimeout = fmt.Errorf("dtls: no handshake within Options.HandshakeTimeout: %w", os.ErrDeadlineExceeded)

// newHandshake prepares a handshake; nothing runs yet.
func newHandshake(s *settings, role frame.Role, mem *memConn, stored func()) (*handshake, error) {
	if err := s.fit(role); err != nil {
		return nil, err
	}
	h := &handshake{settings: s, role: role, mem: mem, sessions: s.sessionStore(role, stored)}
	var err error
	if role == frame.Client {
		h.conn, err = h.client()
	} else {
		h.conn, err = h.server()
	}
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	h.ctx, h.cancel = context.WithCancelCause(context.Background())
	return h, nil
}

// run makes the handshake and ends pion. The result is the estate or what went wrong.
func (h *handshake) run() (*estate, error) {
	ctx, stop := context.WithTimeoutCause(h.ctx, h.HandshakeTimeout, errTimeout)
	defer stop()
	err := h.conn.HandshakeContext(ctx)
	sent := h.mem.mute()
	var est *estate
	if err == nil {
		est, err = h.export(&sent)
	} else {
		err = h.blame(err, &sent, context.Cause(ctx))
	}
	h.conn.Close() // what it returns says how the memConn ended, which is known
	if est != nil {
		h.logKeys(est.secrets)
	}
	return est, err
}

// blame says whose fault it is that the handshake failed.
func (h *handshake) blame(err error, sent *trace, cause error) error {
	if alert, ok := received(err); ok {
		return &bio.AlertError{Alert: alert, Err: err}
	}
	switch {
	case errors.Is(cause, errTimeout):
		return fmt.Errorf("%w: the peer does not answer, or not with what is of use", errTimeout)
	case sent.alert[0] == alertFatal:
		return &bio.AlertError{Sent: true, Alert: tls.AlertError(sent.alert[1]), Err: err}
	}
	return fmt.Errorf("dtls: %w", err)
}

// keyLog guards the KeyLogWriters of all configurations, as crypto/tls does with its own.
var keyLog sync.Mutex

// logKeys writes the secret in the format that other programs read. pion's own log has the wrong random when a server
// resumes.
func (h *handshake) logKeys(s *secrets) {
	if h.tls.KeyLogWriter == nil {
		return
	}
	keyLog.Lock()
	defer keyLog.Unlock()
	fmt.Fprintf(h.tls.KeyLogWriter, "CLIENT_RANDOM %x %x\n", s.client, s.master)
}

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

// psk refuses an empty key: everybody has it.
func (h *handshake) psk(hint []byte) ([]byte, error) {
	key, err := h.PSK(hint)
	if err == nil && len(key) == 0 {
		err = errors.New("dtls: Options.PSK returned an empty key")
	}
	return key, err
}

// verifyPeer notes the verified chains, which pion does not keep.
func (h *handshake) verifyPeer(raw [][]byte, chains [][]*x509.Certificate) error {
	h.chains = chains
	if h.tls.VerifyPeerCertificate != nil {
		return h.tls.VerifyPeerCertificate(raw, chains)
	}
	return nil
}

func (h *handshake) verifyConnection(state *pion.State) error {
	cs, err := describe(uint16(state.CipherSuiteID), state.NegotiatedProtocol, state.PeerCertificates)
	if err != nil {
		return err
	}
	h.complete(&cs)
	return h.tls.VerifyConnection(cs)
}

// complete adds what callbacks have learned.
func (h *handshake) complete(cs *tls.ConnectionState) {
	cs.ServerName = h.serverName
	if h.role == frame.Client {
		cs.ServerName = h.tls.ServerName
	}
	if len(cs.PeerCertificates) > 0 && len(h.chains) > 0 && h.chains[0][0].Equal(cs.PeerCertificates[0]) {
		cs.VerifiedChains = h.chains
		cs.PeerCertificates[0] = h.chains[0][0] // one copy is enough
	}
}

// getCertificate notes the name that the client asks for. nil lets pion choose among Certificates.
func (h *handshake) getCertificate(hello *pion.ClientHelloInfo) (*tls.Certificate, error) {
	h.serverName = hello.ServerName
	if h.tls.GetCertificate == nil {
		return nil, nil
	}
	info := &tls.ClientHelloInfo{
		ServerName:        hello.ServerName,
		SupportedVersions: []uint16{VersionDTLS12},
		Conn:              addrOnly{h.mem},
	}
	for _, id := range hello.CipherSuites {
		info.CipherSuites = append(info.CipherSuites, uint16(id))
	}
	return h.tls.GetCertificate(info)
}

// certificateTypes of a CertificateRequest. https://www.rfc-editor.org/rfc/rfc8422#section-5.5
const (
	rsaSign   = 1
	ecdsaSign = 64
)

func (h *handshake) getClientCertificate(request *pion.CertificateRequestInfo) (*tls.Certificate, error) {
	info := &tls.CertificateRequestInfo{AcceptableCAs: request.AcceptableCAs, Version: tls.VersionTLS12}
	if slices.Contains(request.CertificateTypes, ecdsaSign) {
		info.SignatureSchemes = append(info.SignatureSchemes, tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384,
			tls.ECDSAWithP521AndSHA512, tls.Ed25519)
	}
	if slices.Contains(request.CertificateTypes, rsaSign) {
		info.SignatureSchemes = append(info.SignatureSchemes, tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
			tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512)
	}
	return h.tls.GetClientCertificate(info)
}

// addrOnly is the Conn of a ClientHelloInfo: it has addresses, and nothing can be done with it.
type addrOnly struct{ *memConn }

// Read implements net.Conn.
func (addrOnly) Read([]byte) (int, error) { return 0, net.ErrClosed }

// Write implements net.Conn.
func (addrOnly) Write([]byte) (int, error) { return 0, net.ErrClosed }

// Close implements net.Conn.
func (addrOnly) Close() error { return net.ErrClosed }

// RemoteAddr implements net.Conn.
func (a addrOnly) RemoteAddr() net.Addr { return a.peer }
