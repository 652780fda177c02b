package bio_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/enginetest"
	"github.com/encase-tls/encase/frame"
)

func TestEngine(t *testing.T) {
	stack, err := bio.Lookup("tls")
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Run(t, stack)
}

func TestRefusedConfigs(t *testing.T) {
	choose := func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	tests := []struct {
		name string
		cfg  *bio.Config
		role frame.Role
	}{
		{"no configuration", nil, frame.Server},
		{"no TLS configuration", &bio.Config{}, frame.Server},
		{"a client without a name to expect", &bio.Config{TLS: &tls.Config{}}, frame.Client},
		{"TLS 1.1 at most", &bio.Config{TLS: &tls.Config{MaxVersion: tls.VersionTLS11}}, frame.Server},
		{"renegotiation", &bio.Config{TLS: &tls.Config{Renegotiation: tls.RenegotiateOnceAsClient}}, frame.Server},
		{"two who choose", &bio.Config{TLS: &tls.Config{GetConfigForClient: choose}, ChooseLate: true}, frame.Server},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mk, err := bio.TLS(tt.cfg)
			if err == nil {
				_, err = mk(tt.role)
			}
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestStacks(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Register takes a name twice")
		}
	}()
	if _, err := bio.Lookup("none"); err == nil || !strings.Contains(err.Error(), "tls") {
		t.Errorf("Lookup of an unknown stack: %v, want an error that lists tls", err)
	}
	bio.Register(bio.Stacks()[0])
}

func TestALPN(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		client, server := clientConfig(version), serverConfig(version)
		client.NextProtos, server.NextProtos = []string{"one", "two"}, []string{"two", "three"}
		c, s := newPair(t, client, server)
		shake(t, c, s)
		if a, b := c.State().TLS.NegotiatedProtocol, s.State().TLS.NegotiatedProtocol; a != "two" || b != "two" {
			t.Errorf("the client has %q, the server %q, want two", a, b)
		}
		client.NextProtos = []string{"four"}
		c, s = newPair(t, client, server)
		pump(c, s)
		wantAlert(t, "client", c.err, false, 120)
		wantAlert(t, "server", s.err, true, 120)
	})
}

// wantAlert checks who is at fault. An alert of code 0 is one that the stack does not tell.
func wantAlert(t *testing.T, who string, err error, sent bool, code tls.AlertError) {
	t.Helper()
	var alert *bio.AlertError
	if !errors.As(err, &alert) {
		t.Errorf("the %s's error is %v, want an AlertError", who, err)
		return
	}
	if alert.Sent != sent || alert.Alert != code && !(sent && alert.Alert == 0) {
		t.Errorf("the %s's error says sent %v, alert %d, want %v, %d: %v",
			who, alert.Sent, alert.Alert, sent, code, err)
	}
}

func TestExporter(t *testing.T) {
	c, s := newPair(t, clientConfig(tls.VersionTLS13), serverConfig(tls.VersionTLS13))
	shake(t, c, s)
	export := func(p *peer, label string) []byte {
		cs := p.State().TLS
		key, err := cs.ExportKeyingMaterial(label, nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	a, b := export(c, "EXPORTER-Channel-Binding"), export(s, "EXPORTER-Channel-Binding")
	if !bytes.Equal(a, b) || bytes.Equal(a, export(s, "EXPORTER-other")) {
		t.Errorf("the client exports %x, the server %x", a, b)
	}
}

func TestKeyLog(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		var logs [2]bytes.Buffer
		client, server := clientConfig(version), serverConfig(version)
		client.KeyLogWriter, server.KeyLogWriter = &logs[0], &logs[1]
		c, s := newPair(t, client, server)
		shake(t, c, s)
		lines := strings.Split(strings.TrimSpace(logs[0].String()), "\n")
		for _, line := range lines {
			if len(strings.Fields(line)) != 3 || !strings.Contains(logs[1].String(), line) {
				t.Errorf("the client logs %q, the server\n%s", line, &logs[1])
			}
		}
	})
}

// TestResumption makes connections one after another with a shared session cache: in one Maker, and in one Maker each.
func TestResumption(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		client := clientConfig(version)
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		servers := mustMake(t, &bio.Config{TLS: serverConfig(version)})
		clients := mustMake(t, &bio.Config{TLS: client})
		for i := range 4 {
			if i == 3 {
				clients = mustMake(t, &bio.Config{TLS: client})
			}
			c, s := makePeer(t, clients, frame.Client), makePeer(t, servers, frame.Server)
			shake(t, c, s)
			a, b := c.State().TLS.DidResume, s.State().TLS.DidResume
			if want := i > 0; a != want || b != want {
				t.Errorf("connection %d: the client resumed: %v, the server: %v, want %v", i, a, b, want)
			}
			if i == 0 && !c.events.Has(bio.EventTicket) || s.events.Has(bio.EventTicket) {
				t.Errorf("connection %d: events of the client %b, of the server %b", i, c.events, s.events)
			}
			c.send(t, s, "resumed or not")
		}
	})
}

func mustMake(t testing.TB, cfg *bio.Config) bio.Maker {
	t.Helper()
	mk, err := bio.TLS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return mk
}

// TestPeerName: without a server name it is Config.Peer that keeps the sessions of two peers apart.
func TestPeerName(t *testing.T) {
	client := clientConfig(tls.VersionTLS13)
	client.ServerName, client.InsecureSkipVerify = "", true
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	servers := mustMake(t, &bio.Config{TLS: serverConfig(tls.VersionTLS13)})
	for i, tt := range []struct {
		peer   string
		resume bool
	}{{"a", false}, {"b", false}, {"a", true}, {"b", true}} {
		clients := mustMake(t, &bio.Config{TLS: client, Peer: tt.peer})
		c, s := makePeer(t, clients, frame.Client), makePeer(t, servers, frame.Server)
		shake(t, c, s)
		if got := c.State().TLS.DidResume; got != tt.resume {
			t.Errorf("connection %d, to %s: resumed: %v, want %v", i, tt.peer, got, tt.resume)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	id := identities()
	tests := []struct {
		name    string
		certs   []tls.Certificate
		code12  tls.AlertError // what the server says, 0: nothing
		code13  tls.AlertError
		subject string
	}{
		{"good", []tls.Certificate{id.client}, 0, 0, "client.example"},
		{"missing", nil, 40, 116, ""},
		{"of a stranger", []tls.Certificate{id.stranger}, 48, 48, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version uint16) {
				client, server := clientConfig(version), serverConfig(version)
				server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, id.roots.Pool()
				client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if len(tt.certs) == 0 {
						return new(tls.Certificate), nil
					}
					return &tt.certs[0], nil // whatever the server says it accepts
				}
				c, s := newPair(t, client, server)
				pump(c, s)
				code := tt.code12
				if version == tls.VersionTLS13 {
					code = tt.code13
				}
				if code != 0 {
					wantAlert(t, "server", s.err, true, code)
					wantAlert(t, "client", c.err, false, code)
					return
				}
				if c.err != nil || s.err != nil {
					t.Fatalf("client %v, server %v", c.err, s.err)
				}
				if got := s.State().TLS.PeerCertificates[0].Subject.CommonName; got != tt.subject {
					t.Errorf("the server sees %q, want %q", got, tt.subject)
				}
			})
		})
	}
}

func TestServerCertificate(t *testing.T) {
	refused := errors.New("the pin does not match")
	tests := []struct {
		name   string
		change func(client *tls.Config)
		is     func(err error) bool
	}{
		{"unknown authority", func(c *tls.Config) { c.RootCAs = identities().others.Pool() }, isUnverified},
		{"wrong name", func(c *tls.Config) { c.ServerName = "other.example" }, isUnverified},
		{"VerifyConnection", func(c *tls.Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { return refused }
		}, func(err error) bool { return errors.Is(err, refused) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version uint16) {
				client := clientConfig(version)
				tt.change(client)
				c, s := newPair(t, client, serverConfig(version))
				pump(c, s)
				wantAlert(t, "client", c.err, true, 42)
				wantAlert(t, "server", s.err, false, 42)
				if !tt.is(c.err) {
					t.Errorf("the client's error %v does not wrap the reason", c.err)
				}
			})
		})
	}
}

func isUnverified(err error) bool {
	var e *tls.CertificateVerificationError
	return errors.As(err, &e)
}

func TestNoCommonVersion(t *testing.T) {
	c, s := newPair(t, clientConfig(tls.VersionTLS12), serverConfig(tls.VersionTLS13))
	pump(c, s)
	wantAlert(t, "client", c.err, false, 70)
	wantAlert(t, "server", s.err, true, 70)
}

// TestNotTLS gives both roles what is not TLS.
func TestNotTLS(t *testing.T) {
	sslv2 := append([]byte{0x80, 46, 1, 0, 2, 0, 21, 0, 0, 0, 16}, make([]byte, 37)...)
	tests := []struct {
		name, input string
		alert       tls.AlertError // that the peer gets, 0: none, since it would not understand
	}{
		{"HTTP", "GET / HTTP/1.1\r\nHost: server.example\r\n\r\n", 0},
		{"SSH", "SSH-2.0-OpenSSH_9.9\r\n", 0},
		{"SSLv2", string(sslv2), 70},
		{"noise", "\x9f\x02\xe1\x77\x31\xa8\x0d\x5c\x44\x90\x18\xff", 0},
		{"zeros", string(make([]byte, 64)), 0},
		{"a record too long", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 100), 22},
		{"an empty handshake record", "\x16\x03\x01\x00\x00", 10},
		{"data first", "\x17\x03\x03\x00\x04data", 0},
	}
	for _, tt := range tests {
		for _, role := range []frame.Role{frame.Client, frame.Server} {
			t.Run(tt.name+" to a "+role.String(), func(t *testing.T) {
				cfg := serverConfig(tls.VersionTLS13)
				if role == frame.Client {
					cfg = clientConfig(tls.VersionTLS13)
				}
				p := newPeer(t, role, &bio.Config{TLS: cfg})
				p.Flush(nil, 0)
				p.give([]byte(tt.input))
				out, _ := p.Flush(nil, 0)
				if tt.alert != 0 {
					wantAlert(t, role.String(), p.err, true, tt.alert)
					if len(out) != 7 || out[0] != 21 || out[6] != byte(tt.alert) {
						t.Errorf("it flushes % x, want alert %d", out, tt.alert)
					}
					return
				}
				var header tls.RecordHeaderError
				if !errors.As(p.err, &header) || !strings.Contains(p.err.Error(), "does not speak TLS") {
					t.Errorf("the error is %v, want one that says this is not TLS", p.err)
				}
			})
		}
	}
}

// TestCloseInHandshake: close_notify from a peer that gives up is no end of data.
func TestCloseInHandshake(t *testing.T) {
	s := newPeer(t, frame.Server, &bio.Config{TLS: serverConfig(tls.VersionTLS13)})
	s.give([]byte{21, 3, 1, 0, 2, 1, 0})
	wantAlert(t, "server", s.err, false, 0)
	if errors.Is(s.err, io.EOF) {
		t.Errorf("the error %v looks like an orderly end", s.err)
	}
}

// TestClientCannotStart: the error of a client that does not come as far as its ClientHello is not lost.
func TestClientCannotStart(t *testing.T) {
	client := clientConfig(tls.VersionTLS13)
	client.NextProtos = []string{""}
	c := newPeer(t, frame.Client, &bio.Config{TLS: client})
	if out, more := c.Flush(nil, 0); len(out) > 0 || more || c.State().Phase != bio.PhaseFailed {
		t.Errorf("Flush returned %d bytes, the phase is %v", len(out), c.State().Phase)
	}
	if c.give(nil); c.err == nil {
		t.Error("Open returned no error")
	}
}

// TestGetConfigForClient: what a callback chooses must keep the engine's promises, too.
func TestGetConfigForClient(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		server := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return serverConfig(version), nil
		}}
		c, s := newPair(t, clientConfig(version), server)
		shake(t, c, s)
		out, n, err := s.Seal(nil, make([]byte, bio.MaxPlaintext))
		if err != nil || n != bio.MaxPlaintext || len(out) != n+s.Overhead() {
			t.Errorf("Seal took %d bytes and made %d, want one full record: %v", n, len(out), err)
		}
	})
}
