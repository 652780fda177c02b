package bio

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

const (
	// MaxPlaintext is the most application data, in bytes, in one record.
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
	MaxPlaintext = 16384

	recordHeaderLen = 5
	recordAlert     = 21
	recordData      = 23
)

func init() {
	var suites []uint16
	for _, s := range tls.CipherSuites() {
		suites = append(suites, s.ID)
	}
	Register(Stack{
		Name:         "tls",
		Versions:     []uint16{tls.VersionTLS12, tls.VersionTLS13},
		CipherSuites: suites,
		New:          TLS,
	})
}

// TLS returns a Maker of engines over crypto/tls, TLS 1.2 and 1.3. They implement [Chooser].
func TLS(cfg *Config) (Maker, error) {
	if cfg == nil || cfg.TLS == nil {
		return nil, errors.New("bio: TLS needs Config.TLS")
	}
	if err := cfg.refused(); err != nil {
		return nil, err
	}
	shared := fit(cfg.TLS) // once: clones of a Config that has no ticket keys yet would each make their own
	if cfg.ChooseLate {
		shared.GetConfigForClient = chooseLate
	}
	peer := memAddr(cmp.Or(cfg.Peer, "peer"))
	return func(role frame.Role) (Engine, error) {
		e := &tlsEngine{role: role, mem: memConn{peer: peer}}
		e.mem.engine = e
		switch {
		case role == frame.Server:
			e.conn = tls.Server(&e.mem, shared)
		case shared.ServerName == "" && !shared.InsecureSkipVerify:
			return nil, errors.New("bio: a TLS client needs Config.TLS.ServerName, the name in the peer's certificate")
		default:
			e.conn = tls.Client(&e.mem, clientConfig(shared, e))
		}
		return e, nil
	}, nil
}

// refused returns what is wrong with a configuration.
func (c *Config) refused() error {
	switch {
	case c.TLS.MaxVersion != 0 && c.TLS.MaxVersion < tls.VersionTLS12:
		return fmt.Errorf("bio: Config.TLS.MaxVersion is %s: this stack begins with TLS 1.2",
			tls.VersionName(c.TLS.MaxVersion))
	case c.TLS.Renegotiation != tls.RenegotiateNever:
		return errors.New("bio: Config.TLS.Renegotiation must be RenegotiateNever: " +
			"a second handshake cannot be suspended")
	case c.ChooseLate && c.TLS.GetConfigForClient != nil:
		return errors.New("bio: Config.ChooseLate replaces Config.TLS.GetConfigForClient: set one of the two")
	}
	return nil
}

// fit returns a copy of cfg with which an engine keeps its promises: one record for one Seal, TLS 1.2 or later.
func fit(cfg *tls.Config) *tls.Config {
	c := cfg.Clone()
	c.DynamicRecordSizingDisabled = true
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil {
				return nil, err
			}
			return fitting(chosen), nil
		}
	}
	return c
}

// fitting returns cfg, or a copy if it does not fit as it is.
func fitting(cfg *tls.Config) *tls.Config {
	if cfg.DynamicRecordSizingDisabled && cfg.MinVersion >= tls.VersionTLS12 {
		return cfg
	}
	return fit(cfg)
}

// clientConfig lets e see when a session is stored.
func clientConfig(shared *tls.Config, e *tlsEngine) *tls.Config {
	if shared.ClientSessionCache == nil {
		return shared
	}
	c := shared.Clone()
	c.ClientSessionCache = ticketWatch{shared.ClientSessionCache, e}
	return c
}

type ticketWatch struct {
	tls.ClientSessionCache
	e *tlsEngine
}

func (w ticketWatch) Put(key string, s *tls.ClientSessionState) {
	w.ClientSessionCache.Put(key, s)
	if s != nil {
		w.e.events |= EventTicket
	}
}

// overhead returns the fewest and the most bytes that a record adds to its plaintext.
func overhead(cs *tls.ConnectionState) (least, most int) {
	const (
		tls13    = recordHeaderLen + 1 + 16 // content type, tag
		gcm12    = recordHeaderLen + 8 + 16 // explicit nonce, tag
		chacha12 = recordHeaderLen + 16
		oldLeast = recordHeaderLen + 20           // RC4: the MAC alone
		oldMost  = recordHeaderLen + 16 + 32 + 16 // AES-CBC with SHA-256: IV, MAC, padding
	)
	if cs.Version == tls.VersionTLS13 {
		return tls13, tls13 // the record of a peer that pads adds more
	}
	switch cs.CipherSuite {
	case tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return chacha12, chacha12
	case tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
		return gcm12, gcm12
	}
	return oldLeast, oldMost
}
