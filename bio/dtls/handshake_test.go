package dtls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
)

// TestSuites shakes hands and talks with every suite and every kind of credential that goes with it.
func TestSuites(t *testing.T) {
	for _, c := range suites {
		kinds := []kind{"psk"}
		switch name := pion.CipherSuiteName(pion.CipherSuiteID(c.id)); {
		case strings.Contains(name, "ECDSA"):
			kinds = []kind{ecKey, edKey}
		case strings.Contains(name, "RSA"):
			kinds = []kind{rsKey}
		}
		for _, k := range kinds {
			name := fmt.Sprintf("%v/%v", pion.CipherSuiteName(pion.CipherSuiteID(c.id)), k)
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := pskSetup()
					if !c.psk {
						s = certSetup(t, k)
					}
					l := s.suite(c.id).dial(t, &network{})
					l.handshake(t)
					for _, n := range []int{1, 16, 1350, MaxMessage} {
						l.talk(t, noise(n))
					}
					for _, e := range l.ends() {
						if cs := e.State().TLS; cs.CipherSuite != c.id || cs.Version != VersionDTLS12 {
							t.Errorf("State of the %s: suite %#04x, version %#04x", e.name, cs.CipherSuite, cs.Version)
						}
					}
				})
			})
		}
	}
}

// run runs a test in fake time, with an established connection.
func (s *setup) run(t *testing.T, test func(l *link)) {
	t.Helper()
	l := s.dial(t, &network{})
	l.handshake(t)
	l.talk(t, noise(100))
	test(l)
}

func TestClientCertificate(t *testing.T) {
	for _, k := range []kind{ecKey, rsKey, edKey} {
		t.Run(string(k), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := certSetup(t, ecKey), newAuthority(t)
				s.client.TLS.Certificates = []tls.Certificate{a.issue(t, k, "client.example")}
				s.server.TLS.ClientAuth, s.server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, a.pool
				var raw int
				s.server.TLS.VerifyPeerCertificate = func(certs [][]byte, chains [][]*x509.Certificate) error {
					raw = len(certs)
					return nil
				}
				var seen string
				s.server.TLS.VerifyConnection = func(cs tls.ConnectionState) error {
					seen = cs.PeerCertificates[0].Subject.CommonName
					return nil
				}
				s.run(t, func(l *link) {
					got := l.server.State().TLS
					if c := got.PeerCertificates; len(c) != 1 || c[0].Subject.CommonName != "client.example" {
						t.Errorf("the server sees the certificates %v", c)
					}
					if len(got.VerifiedChains) != 1 || len(got.VerifiedChains[0]) != 2 {
						t.Errorf("the server has verified the chains %v", got.VerifiedChains)
					}
					if raw != 1 || seen != "client.example" {
						t.Errorf("the callbacks saw %d certificates and %q", raw, seen)
					}
					if name := got.ServerName; name != serverName {
						t.Errorf("the client asked for %q", name)
					}
				})
			})
		})
	}
}

// TestKeyOrCertificate has a server that takes a key, a certificate that it verifies, or neither, as each client likes.
func TestKeyOrCertificate(t *testing.T) {
	for _, test := range []struct {
		name   string
		client func(s *setup, a *authority)
		key    bool
		certs  int
	}{
		{"key", func(s *setup, _ *authority) {
			s.client, s.clientOpts = pskSetup().client, pskSetup().clientOpts
		}, true, 0},
		{"certificate", func(s *setup, a *authority) {
			s.client.TLS.Certificates = []tls.Certificate{a.issue(t, ecKey, "client.example")}
		}, false, 1},
		{"neither", func(*setup, *authority) {}, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := certSetup(t, ecKey), newAuthority(t)
				s.server.TLS.ClientAuth, s.server.TLS.ClientCAs = tls.VerifyClientCertIfGiven, a.pool
				s.serverOpts = pskSetup().serverOpts
				test.client(s, a)
				s.run(t, func(l *link) {
					if got := l.server.PSKIdentity() != nil; got != test.key {
						t.Errorf("the client has authenticated with a key: %v", got)
					}
					cs := l.server.State().TLS
					if len(cs.PeerCertificates) != test.certs || len(cs.VerifiedChains) != test.certs {
						t.Errorf("%d certificates in %d chains", len(cs.PeerCertificates), len(cs.VerifiedChains))
					}
				})
			})
		})
	}
}

// TestKeptCertificates: what a connection keeps of its peer's certificates says the same whenever it is asked for.
func TestKeptCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := certSetup(t, ecKey), newAuthority(t)
		below := a.subordinate(t)
		cert := below.issue(t, ecKey, "client.example")
		cert.Certificate = append(cert.Certificate, below.cert.Raw)
		s.client.TLS.Certificates = []tls.Certificate{cert}
		s.server.TLS.ClientAuth, s.server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, a.pool
		var shown tls.ConnectionState
		s.server.TLS.VerifyConnection = func(cs tls.ConnectionState) error {
			shown = cs
			return nil
		}
		s.run(t, func(l *link) {
			for range 3 {
				runtime.GC() // it may forget what it has parsed, and nothing else
				got := l.server.State().TLS
				if !slices.EqualFunc(got.PeerCertificates, shown.PeerCertificates, (*x509.Certificate).Equal) {
					t.Errorf("the certificates are %v", got.PeerCertificates)
				}
				if len(got.VerifiedChains) != 1 || len(got.VerifiedChains[0]) != 3 ||
					!slices.EqualFunc(got.VerifiedChains[0], shown.VerifiedChains[0], (*x509.Certificate).Equal) {
					t.Errorf("the verified chains are %v", got.VerifiedChains)
				}
				if got.VerifiedChains[0][0] != got.PeerCertificates[0] || got.VerifiedChains[0][2] != a.cert {
					t.Error("a certificate is there twice")
				}
			}
		})
	})
}

// TestRefusals has one end refuse the other during the handshake: both must learn why.
func TestRefusals(t *testing.T) {
	errNo := errors.New("not this one")
	tests := []struct {
		name    string
		change  func(t *testing.T, s *setup)
		refuser func(l *link) *end
		is      func(error) bool
	}{
		{"foreign authority", func(t *testing.T, s *setup) { s.client.TLS.RootCAs = newAuthority(t).pool },
			func(l *link) *end { return l.client }, isA[x509.UnknownAuthorityError]},
		{"another name", func(t *testing.T, s *setup) { s.client.TLS.ServerName = "other.example" },
			func(l *link) *end { return l.client }, isA[x509.HostnameError]},
		{"VerifyPeerCertificate", func(t *testing.T, s *setup) {
			s.client.TLS.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errNo }
		}, func(l *link) *end { return l.client }, func(err error) bool { return errors.Is(err, errNo) }},
		{"VerifyConnection", func(t *testing.T, s *setup) {
			s.server.TLS.VerifyConnection = func(tls.ConnectionState) error { return errNo }
		}, func(l *link) *end { return l.server }, func(err error) bool { return errors.Is(err, errNo) }},
		{"no client certificate", func(t *testing.T, s *setup) {
			s.server.TLS.ClientAuth = tls.RequireAnyClientCert
		}, func(l *link) *end { return l.server }, nil},
		{"no common protocol", func(t *testing.T, s *setup) {
			s.client.TLS.NextProtos, s.server.TLS.NextProtos = []string{"a"}, []string{"b"}
		}, func(l *link) *end { return l.server }, nil},
		{"no common suite", func(t *testing.T, s *setup) {
			s.clientOpts.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
			s.serverOpts.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		}, func(l *link) *end { return l.server }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := certSetup(t, ecKey)
				test.change(t, s)
				l := s.dial(t, &network{})
				refuser := test.refuser(l)
				var own, other *bio.AlertError
				if err := refuser.fails(t); !errors.As(err, &own) || !own.Sent || own.Alert == 0 {
					t.Errorf("the %s that refuses says: %v", refuser.name, err)
				} else if test.is != nil && !test.is(err) {
					t.Errorf("the %s that refuses does not say why: %v", refuser.name, err)
				}
				if err := refuser.peer.fails(t); !errors.As(err, &other) || other.Sent || other.Alert != own.Alert {
					t.Errorf("the %s that is refused says: %v", refuser.peer.name, err)
				}
			})
		})
	}
}

func isA[T error](err error) bool {
	var want T
	return errors.As(err, &want)
}

// TestWrongPSK has the client use another key, and both ends none, which everybody has.
func TestWrongPSK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, key := range []string{"another key", ""} {
			s := pskSetup()
			s.clientOpts.PSK = func([]byte) ([]byte, error) { return []byte(key), nil }
			if key == "" {
				s.serverOpts.PSK = s.clientOpts.PSK
			}
			s.both(func(o *Options) { o.HandshakeTimeout = 10 * time.Second })
			l := s.dial(t, &network{})
			for _, e := range l.ends() {
				if err := e.fails(t); err == nil || e.State().Phase != bio.PhaseFailed {
					t.Errorf("the %s with key %q: %v", e.name, key, err)
				}
			}
			l.close()
		}
	})
}

func TestPSKIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pskSetup()
		s.serverOpts.PSKIdentity = []byte("hint")
		var asked []string
		for _, o := range []*Options{&s.clientOpts, &s.serverOpts} {
			psk := o.PSK
			o.PSK = func(hint []byte) ([]byte, error) {
				asked = append(asked, string(hint))
				return psk(hint)
			}
		}
		s.run(t, func(l *link) {
			if got := string(l.server.PSKIdentity()); got != "client-7" {
				t.Errorf("the server sees the identity %q", got)
			}
			if got := string(l.client.PSKIdentity()); got != "hint" {
				t.Errorf("the client sees the hint %q", got)
			}
			if !slices.Equal(asked, []string{"hint", "client-7"}) {
				t.Errorf("PSK was called for %q", asked)
			}
		})
	})
}

// TestALPNAndExporter checks what both ends must agree on.
func TestALPNAndExporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := certSetup(t, ecKey)
		s.client.TLS.NextProtos, s.server.TLS.NextProtos = []string{"x", "encase"}, []string{"encase", "y"}
		var log bytes.Buffer
		s.client.TLS.KeyLogWriter, s.server.TLS.KeyLogWriter = &log, &log
		s.run(t, func(l *link) {
			if c, s := l.client.State().TLS, l.server.State().TLS; c.NegotiatedProtocol != "encase" ||
				s.NegotiatedProtocol != "encase" {
				t.Errorf("ALPN: client %q, server %q", c.NegotiatedProtocol, s.NegotiatedProtocol)
			}
			for _, context := range [][]byte{nil, {}, []byte("context")} {
				var material [2][]byte
				for i, e := range l.ends() {
					var err error
					material[i], err = e.ExportKeyingMaterial("EXPORTER-test", context, 40)
					check(t, err)
				}
				if !bytes.Equal(material[0], material[1]) || len(material[0]) != 40 {
					t.Errorf("context %q: the exporters disagree", context)
				}
			}
			if _, err := l.client.ExportKeyingMaterial("key expansion", nil, 40); err == nil {
				t.Error("the exporter gives the record keys away")
			}
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if len(lines) != 2 || lines[0] != lines[1] || !strings.HasPrefix(lines[0], "CLIENT_RANDOM ") {
				t.Errorf("key log: %q", lines)
			}
		})
	})
}

// TestSNI has the server choose its certificate by name, in both ways that there are.
func TestSNI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := certSetup(t, ecKey), newAuthority(t)
		other, third := a.issue(t, ecKey, "other.example"), a.issue(t, ecKey, "third.example")
		s.server.TLS.Certificates = append(s.server.TLS.Certificates, other)
		s.server.TLS.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "third.example" && hello.Conn.RemoteAddr() != nil && len(hello.CipherSuites) > 0 {
				return &third, nil
			}
			return nil, nil
		}
		s.client.TLS.RootCAs = a.pool
		for _, name := range []string{"other.example", "third.example"} {
			s.client.TLS.ServerName = name
			s.run(t, func(l *link) {
				if got := l.client.State().TLS.PeerCertificates[0].Subject.CommonName; got != name {
					t.Errorf("asked for %s, got %s", name, got)
				}
				if got := l.server.State().TLS.ServerName; got != name {
					t.Errorf("the server knows the name %q, want %q", got, name)
				}
			})
		}
	})
}

func TestGetClientCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := certSetup(t, ecKey), newAuthority(t)
		cert := a.issue(t, ecKey, "client.example")
		s.server.TLS.ClientAuth, s.server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, a.pool
		s.client.TLS.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &cert, request.SupportsCertificate(&cert)
		}
		s.run(t, func(l *link) {
			if got := l.server.State().TLS.PeerCertificates; len(got) != 1 {
				t.Errorf("the server sees %d certificates", len(got))
			}
		})
	})
}

// TestResumption resumes sessions, with certificates and PSKs, and with what must prevent it.
func TestResumption(t *testing.T) {
	setups := map[string]func(t *testing.T) *setup{
		"certificate": func(t *testing.T) *setup { return certSetup(t, ecKey) },
		"psk": func(t *testing.T) *setup {
			s := pskSetup()
			s.client.TLS, s.server.TLS = &tls.Config{}, &tls.Config{}
			return s
		},
	}
	for name, make := range setups {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := make(t)
				s.client.TLS.ClientSessionCache, s.client.Peer = tls.NewLRUClientSessionCache(1), "peer"
				store := NewSessionStore(2, time.Hour)
				s.serverOpts.Sessions = store
				s.both(func(o *Options) { o.CIDLen = 5 })
				again := func(want bool) {
					t.Helper()
					s.run(t, func(l *link) {
						for _, e := range l.ends() {
							if got := e.State().TLS.DidResume; got != want {
								t.Errorf("the %s: DidResume is %v, want %v", e.name, got, want)
							}
						}
						if got := l.client.events[bio.EventTicket] > 0; got == want {
							t.Errorf("EventTicket is %v after a handshake that resumed: %v", got, want)
						}
						if got := len(l.client.LocalCID()); got != 5 && !want || got != 0 && want {
							t.Errorf("a connection ID of %d bytes in a handshake that resumed: %v", got, want)
						}
						if id := string(l.server.PSKIdentity()); name == "psk" && id != "client-7" {
							t.Errorf("the server sees the identity %q", id)
						}
					})
				}
				again(false)
				again(true)
				again(true)
				time.Sleep(2 * time.Hour)
				again(false)
				s.client.TLS.SessionTicketsDisabled = true
				s.run(t, func(l *link) {
					if l.client.State().TLS.DidResume {
						t.Error("resumed although that was disabled")
					}
				})
			})
		})
	}
}

// TestFatalAlertForgetsSession: a session that ended so must not be resumed.
// https://www.rfc-editor.org/rfc/rfc5246#section-7.2.2
func TestFatalAlertForgetsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := certSetup(t, ecKey)
		s.client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		s.serverOpts.Sessions = NewSessionStore(2, time.Hour)
		s.run(t, func(l *link) {
			l.server.alertOut(alertFatal, 80)
			l.server.flush()
			var alert *bio.AlertError
			if err := l.client.fails(t); !errors.As(err, &alert) || alert.Sent || alert.Alert != 80 {
				t.Errorf("the client says: %v", err)
			}
		})
		s.run(t, func(l *link) {
			if l.client.State().TLS.DidResume {
				t.Error("resumed")
			}
		})
	})
}

// TestTimeoutForgetsSession: a server that did not answer a client that wanted to resume is asked for a full handshake.
func TestTimeoutForgetsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := certSetup(t, ecKey)
		s.client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		s.serverOpts.Sessions = NewSessionStore(2, time.Hour)
		s.clientOpts.HandshakeTimeout = 20 * time.Second
		s.run(t, func(*link) {})
		deaf := s.dial(t, &network{fate: func(from frame.Role, n int) bool { return from == frame.Client || n == 0 }})
		if err := deaf.client.fails(t); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the client says: %v", err)
		}
		deaf.close()
		s.run(t, func(l *link) {
			if l.client.State().TLS.DidResume {
				t.Error("resumed")
			}
		})
	})
}
