package dtls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"

	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
)

// The callbacks of a tls.Config, as pion calls them: on a goroutine of its own.

// psk refuses an empty key: everybody has it.
func (s *settings) psk(hint []byte) ([]byte, error) {
	key, err := s.PSK(hint)
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
	cs, err := h.describe(uint16(state.CipherSuiteID), state.NegotiatedProtocol, state.PeerCertificates)
	if err != nil {
		return err
	}
	return h.tls.VerifyConnection(cs)
}

// describe returns a ConnectionState with what pion says of a connection and what callbacks have learned.
func (h *handshake) describe(suite uint16, alpn string, certs [][]byte) (cs tls.ConnectionState, err error) {
	cs = tls.ConnectionState{
		Version: VersionDTLS12, CipherSuite: suite, NegotiatedProtocol: alpn, ServerName: h.serverName,
	}
	if h.role == frame.Client {
		cs.ServerName = h.tls.ServerName
	}
	if len(certs) > 0 && len(h.chains) > 0 && bytes.Equal(h.chains[0][0].Raw, certs[0]) {
		cs.VerifiedChains = h.chains
	}
	cs.PeerCertificates, err = parseCertificates(certs, cs.VerifiedChains)
	return cs, err
}

// getCertificate notes the name that the client asks for. nil lets pion choose among Certificates, for which it parses
// them all.
func (h *handshake) getCertificate(hello *pion.ClientHelloInfo) (*tls.Certificate, error) {
	h.serverName = hello.ServerName
	switch {
	case h.tls.GetCertificate != nil:
	case len(h.tls.Certificates) == 1:
		return &h.tls.Certificates[0], nil
	default:
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

func (s *settings) getClientCertificate(request *pion.CertificateRequestInfo) (*tls.Certificate, error) {
	info := &tls.CertificateRequestInfo{AcceptableCAs: request.AcceptableCAs, Version: tls.VersionTLS12}
	if slices.Contains(request.CertificateTypes, ecdsaSign) {
		info.SignatureSchemes = append(info.SignatureSchemes, tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384,
			tls.ECDSAWithP521AndSHA512, tls.Ed25519)
	}
	if slices.Contains(request.CertificateTypes, rsaSign) {
		info.SignatureSchemes = append(info.SignatureSchemes, tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
			tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512)
	}
	return s.tls.GetClientCertificate(info)
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
