package dtls

import (
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// TestRefusedConfig: what cannot be honoured is refused, by name.
func TestRefusedConfig(t *testing.T) {
	key := func([]byte) ([]byte, error) { return []byte("key"), nil }
	tests := []struct {
		name   string
		want   string // in the error
		role   frame.Role
		change func(c *bio.Config, o *Options)
	}{
		{"no configuration", "Config.TLS", 0, func(c *bio.Config, o *Options) { c.TLS = nil }},
		{"a late choice", "ChooseLate", 1, func(c *bio.Config, o *Options) { c.ChooseLate = true }},
		{"TLS 1.3", "MinVersion", 0, func(c *bio.Config, o *Options) { c.TLS.MinVersion = tls.VersionTLS13 }},
		{"DTLS 1.3", "MinVersion", 0, func(c *bio.Config, o *Options) { c.TLS.MinVersion = 0xfefc }},
		{"TLS 1.1 at most", "MaxVersion", 0, func(c *bio.Config, o *Options) { c.TLS.MaxVersion = tls.VersionTLS11 }},
		{"DTLS 1.0 at most", "MaxVersion", 0, func(c *bio.Config, o *Options) { c.TLS.MaxVersion = 0xfeff }},
		{"renegotiation", "Renegotiation", 0,
			func(c *bio.Config, o *Options) { c.TLS.Renegotiation = tls.RenegotiateOnceAsClient }},
		{"randomness", "TLS.Rand", 0, func(c *bio.Config, o *Options) { c.TLS.Rand = strings.NewReader("") }},
		{"another clock", "TLS.Time", 0, func(c *bio.Config, o *Options) { c.TLS.Time = time.Now }},
		{"GetConfigForClient", "GetConfigForClient", 1, func(c *bio.Config, o *Options) {
			c.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
		}},
		{"ECH", "EncryptedClientHello", 0,
			func(c *bio.Config, o *Options) { c.TLS.EncryptedClientHelloConfigList = []byte{1} }},
		{"tickets", "WrapSession", 1, func(c *bio.Config, o *Options) {
			c.TLS.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return nil, nil }
		}},
		{"post-quantum groups only", "CurvePreferences", 0,
			func(c *bio.Config, o *Options) { c.TLS.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768} }},
		{"CBC only", "cipher suites", 0,
			func(c *bio.Config, o *Options) { o.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA} }},
		{"suites for a PSK, and none", "no cipher suite", 0,
			func(c *bio.Config, o *Options) { o.CipherSuites = []uint16{TLS_PSK_WITH_AES_128_GCM_SHA256} }},
		{"a small MTU", "MTU", 0, func(c *bio.Config, o *Options) { o.MTU = 255 }},
		{"a large MTU", "MTU", 0, func(c *bio.Config, o *Options) { o.MTU = 8193 }},
		{"an odd window", "ReplayWindow", 0, func(c *bio.Config, o *Options) { o.ReplayWindow = 100 }},
		{"a small window", "ReplayWindow", 0, func(c *bio.Config, o *Options) { o.ReplayWindow = 32 }},
		{"a long connection ID", "CIDLen", 0, func(c *bio.Config, o *Options) { o.CIDLen = 256 }},
		{"a connection ID of no length", "NewCID", 0,
			func(c *bio.Config, o *Options) { o.NewCID = func() []byte { return nil } }},
		{"a negative time", "FlightInterval", 0, func(c *bio.Config, o *Options) { o.FlightInterval = -1 }},
		{"an identity without key", "PSKIdentity", 0, func(c *bio.Config, o *Options) { o.PSKIdentity = []byte("me") }},
		{"a key without identity", "PSKIdentity", 0, func(c *bio.Config, o *Options) { o.PSK = key }},
		{"a key and a certificate", "not both", 0, func(c *bio.Config, o *Options) {
			o.PSK, o.PSKIdentity, c.TLS.Certificates = key, []byte("me"), make([]tls.Certificate, 1)
		}},
		{"a key that gets round client certificates", "ClientAuth", 1, func(c *bio.Config, o *Options) {
			o.PSK, c.TLS.ClientAuth = key, tls.RequireAndVerifyClientCert
		}},
		{"a key that gets round any client certificate", "ClientAuth", 1, func(c *bio.Config, o *Options) {
			o.PSK, c.TLS.ClientAuth = key, tls.RequireAnyClientCert
		}},
		{"a client that knows no name", "ServerName", 0, func(c *bio.Config, o *Options) { c.TLS.ServerName = "" }},
		{"a server without credentials", "Certificates", 1, func(c *bio.Config, o *Options) {}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, opts := &bio.Config{TLS: &tls.Config{ServerName: "x"}}, Options{}
			test.change(cfg, &opts)
			maker, err := New(cfg, opts)
			if err == nil {
				_, err = maker(test.role)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "dtls: ") {
				t.Errorf("got the error %v, want one about %s", err, test.want)
			}
		})
	}
}

// TestSharedConfig takes configurations that serve crypto/tls as well.
func TestSharedConfig(t *testing.T) {
	cfg := &tls.Config{
		ServerName:                  "x",
		MinVersion:                  tls.VersionTLS12,
		MaxVersion:                  tls.VersionTLS13,
		CurvePreferences:            []tls.CurveID{tls.X25519MLKEM768, tls.X25519},
		DynamicRecordSizingDisabled: true,
		KeyLogWriter:                io.Discard,
	}
	cfg.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	maker, err := New(&bio.Config{TLS: cfg}, Options{})
	check(t, err)
	e, err := maker(frame.Client)
	check(t, err)
	got, err := e.(*Engine).shake.suitesFor(frame.Client)
	check(t, err)
	if len(got) != 1 || got[0].id != tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 {
		t.Errorf("suites %v", got)
	}
}

// TestStack checks what the registry knows.
func TestStack(t *testing.T) {
	s, err := bio.Lookup(Name)
	check(t, err)
	if !s.Datagram || !s.Async || !slices.Equal(s.Versions, []uint16{VersionDTLS12}) ||
		len(s.CipherSuites) != len(suites) {
		t.Errorf("%+v", s)
	}
}

// TestNotHonoured checks that the names of fields are those of this version of crypto/tls: reflection would panic.
func TestNotHonoured(t *testing.T) {
	check(t, refused(&tls.Config{}))
}
