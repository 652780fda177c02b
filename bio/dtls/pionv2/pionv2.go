// Package pionv2 is an engine of package bio for DTLS 1.2 whose handshake is made by pion/dtls/v2, for programs that
// are bound to that version: because it was reviewed, or changed, or is linked already. All others want package
// bio/dtls. It is a module of its own, so that nobody has v2 in his module graph who has not asked for it.
//
//	import _ "github.com/encase-tls/encase/bio/dtls/pionv2"
//
// registers the stack "dtls-pionv2". Records after the handshake are made and opened here, not by pion.
//
// # Weaknesses
//
// pion/dtls/v2 has had no release since July 2024, and defects that were found since are mended in v3 alone. What this
// package does about them:
//
//   - CVE-2026-26014: random nonces with AES-GCM. Only the Finished message has one; records count theirs, so the
//     chance that the two meet is 2^-64 for each record.
//   - CVE-2026-54908, and its like in servers: crafted messages of ECDHE_PSK end the program. There are no pre-shared
//     keys here.
//   - CBC suites with a padding oracle: not offered, nor accepted. There is AES-GCM and nothing else.
//   - A plaintext alert of anybody ends an established connection: pion no longer sees what comes then. During the
//     handshake it does, in v3 as well.
//   - Handshake fragments without content or without end cost memory and time: these are sorted out, and the bytes of
//     a handshake are bounded.
//   - A server does not compare the client's Finished. Extended master secrets are required of both ends, so that a
//     record of a client with another view of the handshake does not authenticate.
//
// What it can do nothing about: a ClientHello may change after its cookie was returned; a curve that was not offered is
// accepted, and so is an RSA key of any size; what the handshake agrees by ALPN cannot be asked for, so there is none;
// defects that nobody looks for any more.
//
// And what bio/dtls has and this package does not, since it is to stay small: pre-shared keys, other ciphers than
// AES-GCM, resumption, connection IDs, callbacks of a tls.Config but for VerifyPeerCertificate, batches, counters, and
// sealing without allocations.
package pionv2

import (
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/pion/dtls/v2/pkg/crypto/elliptic"

	pion "github.com/pion/dtls/v2"
)

// Name is the name of the stack in package bio's registry.
const Name = "dtls-pionv2"

// VersionDTLS12 is the version in [bio.State].TLS.Version, and may be the version limits of a tls.Config.
const VersionDTLS12 = 0xfefd

// HandshakeTimeout is the time from the first datagram to the end of the handshake.
const HandshakeTimeout = time.Minute

// MaxMessage is the longest message, in bytes, that Seal takes: one record.
const MaxMessage = bio.MaxPlaintext

// ErrWornOut says that the keys have sealed as many records as this package lets them: make a new connection.
// bio.EventRekey comes long before. https://www.rfc-editor.org/rfc/rfc9147#section-4.5.3
var ErrWornOut = errors.New("pionv2: these keys are worn out (RFC 9147 4.5.3): make a new connection")

func init() {
	bio.Register(bio.Stack{
		Name:         Name,
		Datagram:     true,
		Versions:     []uint16{VersionDTLS12},
		CipherSuites: suites,
		Async:        true,
		New:          New,
	})
}

var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}

var curves = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}

const (
	minMTU     = 256
	defaultMTU = 1200
	maxMTU     = 8192
	// fragmentOverhead is what pion adds to each fragment of a message beyond its MTU: two headers.
	fragmentOverhead = headerLen + messageHeaderLen
)

// New returns a Maker of engines, each of them an *Engine. It refuses what it cannot honour in cfg; of the session
// cache, which only saves time, it makes no use.
func New(cfg *bio.Config) (bio.Maker, error) {
	p, err := translate(cfg)
	if err != nil {
		return nil, err
	}
	return func(role frame.Role) (bio.Engine, error) {
		switch {
		case role == frame.Server && len(cfg.TLS.Certificates) == 0:
			return nil, errors.New("pionv2: a server needs Config.TLS.Certificates")
		case role == frame.Client && cfg.TLS.ServerName == "" && !cfg.TLS.InsecureSkipVerify:
			return nil, errors.New("pionv2: a client needs Config.TLS.ServerName, the name in the peer's certificate")
		}
		return newEngine(cfg.TLS, p, role), nil
	}, nil
}

// notHonoured are the fields of a tls.Config that would be ignored, silently, if they were not refused.
var notHonoured = []string{
	"Rand", "Time", "Renegotiation", "NameToCertificate", "GetCertificate", "GetClientCertificate", "GetConfigForClient",
	"VerifyConnection", "NextProtos", "SessionTicketKey", "UnwrapSession", "WrapSession",
	"EncryptedClientHelloConfigList", "EncryptedClientHelloRejectionVerify", "EncryptedClientHelloKeys",
	"GetEncryptedClientHelloKeys",
}

// translate returns what a configuration means to pion.
func translate(cfg *bio.Config) (*pion.Config, error) {
	if cfg == nil || cfg.TLS == nil {
		return nil, errors.New("pionv2: New needs Config.TLS")
	}
	c := cfg.TLS
	fields := reflect.ValueOf(c).Elem()
	for _, name := range notHonoured {
		if !fields.FieldByName(name).IsZero() {
			return nil, fmt.Errorf("pionv2: Config.TLS.%s is set: this stack cannot honour it", name)
		}
	}
	switch {
	case cfg.ChooseLate:
		return nil, errors.New("pionv2: Config.ChooseLate: this stack cannot pause after the ClientHello")
	case cfg.MTU != 0 && cfg.MTU < minMTU:
		return nil, fmt.Errorf("pionv2: Config.MTU is %d, want %d at least", cfg.MTU, minMTU)
	case !permits12(c):
		return nil, errors.New("pionv2: Config.TLS permits no DTLS 1.2, and this stack has nothing else")
	}
	mtu := min(cfg.MTU, maxMTU)
	if mtu == 0 {
		mtu = defaultMTU
	}
	p := &pion.Config{
		Certificates:          c.Certificates,
		ClientAuth:            pion.ClientAuthType(c.ClientAuth), // the same list as in crypto/tls
		ClientCAs:             c.ClientCAs,
		RootCAs:               c.RootCAs,
		ServerName:            c.ServerName,
		InsecureSkipVerify:    c.InsecureSkipVerify,
		VerifyPeerCertificate: c.VerifyPeerCertificate,
		ExtendedMasterSecret:  pion.RequireExtendedMasterSecret, // https://www.rfc-editor.org/rfc/rfc7627
		MTU:                   mtu - fragmentOverhead,
		LoggerFactory:         silence{},
	}
	for _, id := range permitted(c.CipherSuites, suites) {
		p.CipherSuites = append(p.CipherSuites, pion.CipherSuiteID(id))
	}
	for _, id := range permitted(c.CurvePreferences, curves) {
		p.EllipticCurves = append(p.EllipticCurves, elliptic.Curve(id))
	}
	if len(p.CipherSuites) == 0 || len(p.EllipticCurves) == 0 {
		return nil, fmt.Errorf("pionv2: this stack has none of Config.TLS.CipherSuites, or of CurvePreferences: "+
			"it has %#04x and %v", suites, curves)
	}
	return p, nil
}

// permits12 reports whether the version limits of c, which may be those of TLS or of DTLS, let DTLS 1.2 through.
func permits12(c *tls.Config) bool {
	lowest := c.MinVersion <= tls.VersionTLS12 || c.MinVersion == VersionDTLS12
	highest := c.MaxVersion == 0 || c.MaxVersion == tls.VersionTLS12 || c.MaxVersion == tls.VersionTLS13 ||
		c.MaxVersion == VersionDTLS12
	return lowest && highest
}

// permitted returns what list has of all, or all if it is nil.
func permitted[T comparable](list, all []T) (both []T) {
	if list == nil {
		return all
	}
	for _, id := range list {
		if slices.Contains(all, id) {
			both = append(both, id)
		}
	}
	return both
}
