package dtls

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"slices"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
)

// Options are what DTLS needs to know beyond a tls.Config. The zero value is good. They must not change once engines
// were made with them.
type Options struct {
	// CipherSuites are the suites to offer or accept, in order of preference; nil: those of tls.Config.CipherSuites,
	// and if there are none either, the good ones for the credentials: AES-GCM and ChaCha20-Poly1305.
	CipherSuites []uint16

	// PSK returns a pre-shared key: for a server, that of the client whose identity is given; for a client, that for
	// the server whose hint, often none, is given. An error, or an empty key, ends the handshake. It is called on a
	// goroutine of the engine. A client with a PSK does without certificates.
	// https://www.rfc-editor.org/rfc/rfc4279
	PSK func(hint []byte) ([]byte, error)
	// PSKIdentity is a client's identity, and a server's hint.
	PSKIdentity []byte

	// MTU is the longest datagram, in bytes, of the handshake: 256 to 8192; 0 is that of bio.Config, and if there is
	// none, 1200. It does not limit messages.
	MTU int
	// FlightInterval is the time after which an unanswered flight is sent again; it doubles every time. 0 is a second.
	FlightInterval time.Duration
	// HandshakeTimeout is the time from the first datagram to the end of the handshake; the error then wraps
	// os.ErrDeadlineExceeded. 0 is a minute.
	HandshakeTimeout time.Duration

	// ReplayWindow is how many sequence numbers before the newest may still arrive: a power of two from 64 to 65536; 0
	// is 64. A path that reorders more, or a batch spread over several queues, needs more.
	// https://www.rfc-editor.org/rfc/rfc6347#section-4.1.2.6
	ReplayWindow int

	// CIDLen asks the peer to put a connection ID of so many bytes, at most 255, into its records. 0: it need not. What
	// bio.Config says of connection IDs comes before.
	// https://www.rfc-editor.org/rfc/rfc9146
	CIDLen int
	// NewCID returns a connection ID of CIDLen bytes that no other connection has; nil: a random one. Any other length
	// is a fault of the program, and panics.
	NewCID func() []byte
	// SendCID lets the peer ask for connection IDs although CIDLen is 0.
	SendCID bool

	// Sessions lets a server resume sessions; nil: it does not. A client keeps its sessions in
	// tls.Config.ClientSessionCache.
	//
	// A resumed handshake makes no new key agreement and no connection IDs. RFC 9146 demands that these be negotiated
	// afresh and stand in its Finished messages; pion v3.1.15 has neither: as a server its resuming ServerHello
	// (flight4bGenerate) never has the extension, and in both roles it seals Finished without (flight4bGenerate and
	// flight5bGenerate set no shouldWrapCID). To put one in on the way out, the same number would have to be sealed
	// twice. So where peers shall be able to move, do not resume. A server of another kind that has them in a resumed
	// session as well is told apart: that connection fails, and the session is forgotten.
	// https://www.rfc-editor.org/rfc/rfc9146#section-3
	Sessions SessionStore

	// SkipCookie lets a server answer a first ClientHello without HelloVerifyRequest, which saves a round trip, and
	// lets anybody use the server to send its long answer to somebody else.
	// https://www.rfc-editor.org/rfc/rfc6347#section-4.2.1
	SkipCookie bool
}

const (
	minMTU     = 256
	maxMTU     = 8192 // what pion receives
	defaultMTU = 1200

	minWindow = 64
	maxWindow = 1 << 16
	maxCIDLen = 255
)

// settings are a checked configuration, shared by the engines that a Maker makes.
type settings struct {
	Options
	tls    *tls.Config // never nil
	peer   string
	suites []*suite
	curves []elliptic.Curve

	options optionSets
}

// settle checks a configuration and fills in what is left to us.
func settle(cfg *bio.Config, opts Options) (*settings, error) {
	if cfg == nil || cfg.TLS == nil && opts.PSK == nil {
		return nil, errors.New("dtls: New needs Config.TLS, or Options.PSK")
	}
	s := &settings{Options: opts, tls: cfg.TLS, peer: cfg.Peer}
	s.bound(cfg.MTU)
	if cfg.NewCID != nil {
		s.NewCID, s.CIDLen = cfg.NewCID, cfg.CIDLen
	}
	if s.tls == nil {
		s.tls = &tls.Config{}
	}
	if cfg.ChooseLate {
		return nil, errors.New("dtls: Config.ChooseLate: this stack cannot pause after the ClientHello")
	}
	if err := errors.Join(refused(s.tls), s.refused(), s.conflicts()); err != nil {
		return nil, err
	}
	s.defaults()
	var err error
	if s.suites, err = s.chooseSuites(); err != nil {
		return nil, err
	}
	s.curves, err = curves(s.tls.CurvePreferences)
	s.options = s.optionSets()
	return s, err
}

// bound lets the handshake's datagrams be no longer than mtu, 0 for any. What is longer than this stack can use is as
// good as none.
func (s *settings) bound(mtu int) {
	if s.MTU == 0 {
		s.MTU = min(cmp.Or(mtu, defaultMTU), maxMTU)
	} else if mtu != 0 {
		s.MTU = min(s.MTU, mtu)
	}
}

func (s *settings) defaults() {
	s.ReplayWindow = cmp.Or(s.ReplayWindow, minWindow)
	s.FlightInterval = cmp.Or(s.FlightInterval, time.Second)
	s.HandshakeTimeout = cmp.Or(s.HandshakeTimeout, time.Minute)
}

// refused returns what is wrong with the options alone.
func (o *Options) refused() error {
	switch {
	case o.MTU != 0 && (o.MTU < minMTU || o.MTU > maxMTU):
		return fmt.Errorf("dtls: Options.MTU, or that of bio.Config, is %d, want %d to %d", o.MTU, minMTU, maxMTU)
	case o.ReplayWindow != 0 && (o.ReplayWindow < minWindow || o.ReplayWindow > maxWindow ||
		bits.OnesCount(uint(o.ReplayWindow)) != 1):
		return fmt.Errorf("dtls: Options.ReplayWindow is %d, want a power of two from %d to %d",
			o.ReplayWindow, minWindow, maxWindow)
	case o.CIDLen < 0 || o.CIDLen > maxCIDLen:
		return fmt.Errorf("dtls: Options.CIDLen is %d, want 0 to %d", o.CIDLen, maxCIDLen)
	case o.NewCID != nil && o.CIDLen == 0:
		return errors.New("dtls: NewCID needs CIDLen, the length of what it returns")
	case o.FlightInterval < 0 || o.HandshakeTimeout < 0:
		return errors.New("dtls: Options.FlightInterval and HandshakeTimeout may not be negative")
	case o.PSKIdentity != nil && o.PSK == nil:
		return errors.New("dtls: Options.PSKIdentity needs PSK, which returns the key")
	}
	return nil
}

// refused returns which fields of c this stack cannot honour. Those that only crypto/tls over a stream knows, such as
// DynamicRecordSizingDisabled, mean nothing here and are let pass; so is PreferServerCipherSuites, which crypto/tls
// ignores as well.
func refused(c *tls.Config) error {
	switch {
	case c.MinVersion == tls.VersionTLS13 || c.MinVersion != 0 && c.MinVersion > tls.VersionTLS13 &&
		c.MinVersion != VersionDTLS12:
		return fmt.Errorf("dtls: Config.TLS.MinVersion is %s: this stack has DTLS 1.2 only",
			tls.VersionName(c.MinVersion))
	case c.MaxVersion != 0 && c.MaxVersion != VersionDTLS12 &&
		(c.MaxVersion < tls.VersionTLS12 || c.MaxVersion > tls.VersionTLS13):
		return fmt.Errorf("dtls: Config.TLS.MaxVersion is %s: this stack has DTLS 1.2 only",
			tls.VersionName(c.MaxVersion))
	case c.Renegotiation != tls.RenegotiateNever:
		return errors.New("dtls: Config.TLS.Renegotiation must be RenegotiateNever")
	}
	fields := reflect.ValueOf(c).Elem()
	for _, name := range notHonoured {
		if !fields.FieldByName(name).IsZero() {
			return fmt.Errorf("dtls: Config.TLS.%s is set: this stack cannot honour it", name)
		}
	}
	return nil
}

// notHonoured are the fields of a tls.Config that would be ignored, silently, if they were not refused.
var notHonoured = []string{
	"Rand", "Time", "NameToCertificate", "GetConfigForClient",
	"SessionTicketKey", "UnwrapSession", "WrapSession",
	"EncryptedClientHelloConfigList", "EncryptedClientHelloRejectionVerify",
	"EncryptedClientHelloKeys", "GetEncryptedClientHelloKeys",
}

// conflicts returns which settings exclude each other.
func (s *settings) conflicts() error {
	must := s.tls.ClientAuth == tls.RequireAnyClientCert || s.tls.ClientAuth == tls.RequireAndVerifyClientCert
	if s.PSK != nil && must {
		return fmt.Errorf("dtls: Config.TLS.ClientAuth is %v, but a client with a PSK needs no certificate: choose one",
			s.tls.ClientAuth)
	}
	return nil
}

// fit returns what is wrong with the settings for one role.
func (s *settings) fit(role frame.Role) error {
	certificates := len(s.tls.Certificates) > 0
	switch {
	case role == frame.Server && s.PSK == nil && !certificates && s.tls.GetCertificate == nil:
		return errors.New("dtls: a server needs Config.TLS.Certificates or GetCertificate, or Options.PSK")
	case role == frame.Server:
		return nil
	case s.PSK != nil && (certificates || s.tls.GetClientCertificate != nil):
		return errors.New("dtls: a client has a PSK or certificates, not both: it could not keep them apart")
	case s.PSK != nil && s.PSKIdentity == nil:
		return errors.New("dtls: a client with a PSK needs Options.PSKIdentity, by which the server finds the key")
	case s.PSK == nil && s.tls.ServerName == "" && !s.tls.InsecureSkipVerify:
		return errors.New("dtls: a client needs Config.TLS.ServerName, the name in the peer's certificate")
	}
	return nil
}

// usesCertificates reports whether the end of this role can authenticate, or be authenticated to, by certificates.
func (s *settings) usesCertificates(role frame.Role) bool {
	if role == frame.Client {
		return s.PSK == nil
	}
	return len(s.tls.Certificates) > 0 || s.tls.GetCertificate != nil
}

// chooseSuites returns the suites in the order of the configuration. Suites that this stack does not have are no reason
// to refuse a list, since a list only permits; a list without any suite of ours is.
func (s *settings) chooseSuites() ([]*suite, error) {
	ids := s.CipherSuites
	if ids == nil {
		ids = s.tls.CipherSuites
	}
	if ids == nil {
		return suites[:], nil // chosenFor leaves out what is not good
	}
	var chosen []*suite
	for _, id := range ids {
		if c := suiteByID(id); c != nil && !slices.Contains(chosen, c) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("dtls: this stack has none of the cipher suites %#04x; it has %#04x", ids, suiteIDs())
	}
	return chosen, nil
}

// suitesFor returns the suites that the credentials of a role can be used with.
func (s *settings) suitesFor(role frame.Role) (list []*suite, err error) {
	chosen := s.CipherSuites != nil || s.tls.CipherSuites != nil
	for _, c := range s.suites {
		usable := c.psk && s.PSK != nil || !c.psk && s.usesCertificates(role)
		if usable && (chosen || c.good) {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("dtls: no cipher suite is left that the credentials of a %v can be used with", role)
	}
	return list, nil
}

// curves returns the groups of preferences that this stack has; nil means the default.
func curves(preferences []tls.CurveID) (list []elliptic.Curve, err error) {
	for _, id := range preferences {
		if c := elliptic.Curve(id); elliptic.Curves()[c] {
			list = append(list, c)
		}
	}
	if len(preferences) > 0 && len(list) == 0 {
		return nil, fmt.Errorf("dtls: none of Config.TLS.CurvePreferences %v is X25519, P-256 or P-384", preferences)
	}
	return list, nil
}
