package pionv2

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/enginetest"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestEngine runs the suite that every engine passes.
func TestEngine(t *testing.T) {
	stack, err := bio.Lookup(Name)
	check(t, err)
	enginetest.Run(t, stack)
}

// configs returns configurations where both ends show a certificate.
func configs(t testing.TB, suite uint16) (client, server *tls.Config) {
	ca, err := ephemeral.New("test CA")
	check(t, err)
	cert, err := ca.Issue("server.example")
	check(t, err)
	mine, err := ca.Issue("client.example")
	check(t, err)
	client = &tls.Config{
		RootCAs: ca.Pool(), ServerName: "server.example", Certificates: []tls.Certificate{mine},
		CipherSuites: []uint16{suite},
	}
	server = &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
		CipherSuites: []uint16{suite},
	}
	return client, server
}

// TestOtherStack connects this stack with that of bio/dtls, in both roles and with both ciphers.
func TestOtherStack(t *testing.T) {
	ours := bio.Stack{New: New}
	theirs := dtls.Stack(dtls.Options{})
	for _, suite := range []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	} {
		for name, stacks := range map[string][2]bio.Stack{"client": {ours, theirs}, "server": {theirs, ours}} {
			t.Run(tls.CipherSuiteName(suite)+"/"+name, func(t *testing.T) {
				client, server := configs(t, suite)
				c, s := engineOf(t, stacks[0], client, frame.Client), engineOf(t, stacks[1], server, frame.Server)
				shake(t, c, s)
				if got := s.State().TLS; got.CipherSuite != suite || len(got.PeerCertificates) != 1 ||
					got.PeerCertificates[0].Subject.CommonName != "client.example" || len(got.VerifiedChains) != 1 {
					t.Errorf("the server's state is %+v", got)
				}
				for i := range 100 {
					transfer(t, c, s, bytes.Repeat([]byte{byte(i)}, 1+37*i))
					transfer(t, s, c, bytes.Repeat([]byte{byte(i)}, 1+41*i))
				}
				check(t, c.CloseWrite())
				if st := move(t, c, s); !st.Events.Has(bio.EventPeerClosed) || s.TransportEOF() != nil {
					t.Errorf("the server does not see close_notify: %+v", st)
				}
			})
		}
	}
}

func engineOf(t *testing.T, stack bio.Stack, cfg *tls.Config, role frame.Role) bio.Engine {
	t.Helper()
	maker, err := stack.New(&bio.Config{TLS: cfg})
	check(t, err)
	e, err := maker(role)
	check(t, err)
	t.Cleanup(func() { e.Abort(nil) })
	return e
}

// shake moves datagrams until both ends are open.
func shake(t *testing.T, c, s bio.Engine) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for c.State().Phase != bio.PhaseOpen || s.State().Phase != bio.PhaseOpen {
		move(t, c, s)
		move(t, s, c)
		select {
		case <-c.(bio.Notifier).Ready():
		case <-s.(bio.Notifier).Ready():
		case <-timeout:
			t.Fatalf("the handshake does not end: %v, %v", c.State().Phase, s.State().Phase)
		}
	}
}

// move takes what one engine has queued to the other.
func move(t *testing.T, from, to bio.Engine) (st bio.Status) {
	t.Helper()
	for more := true; more; {
		var d []byte
		if d, more = from.Flush(nil, 0); len(d) > 0 {
			var err error
			_, st, err = to.Open(nil, d)
			check(t, err)
		}
	}
	return st
}

func transfer(t *testing.T, from, to bio.Engine, p []byte) {
	t.Helper()
	d, n, err := from.Seal(nil, p)
	check(t, err)
	got, _, err := to.Open(nil, d)
	if check(t, err); n != len(p) || !bytes.Equal(got, p) {
		t.Fatalf("of %d bytes %d were taken and %d arrive", len(p), n, len(got))
	}
}

// TestRefusedConfig: what would be ignored is refused.
func TestRefusedConfig(t *testing.T) {
	for name, change := range map[string]func(c *bio.Config){
		"no TLS":           func(c *bio.Config) { c.TLS = nil },
		"ChooseLate":       func(c *bio.Config) { c.ChooseLate = true },
		"a small MTU":      func(c *bio.Config) { c.MTU = 200 },
		"TLS 1.3":          func(c *bio.Config) { c.TLS.MinVersion = tls.VersionTLS13 },
		"TLS 1.1":          func(c *bio.Config) { c.TLS.MaxVersion = tls.VersionTLS11 },
		"VerifyConnection": func(c *bio.Config) { c.TLS.VerifyConnection = func(tls.ConnectionState) error { return nil } },
		"NextProtos":       func(c *bio.Config) { c.TLS.NextProtos = []string{"coap"} },
		"a CBC suite":      func(c *bio.Config) { c.TLS.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA} },
		"P-521 alone":      func(c *bio.Config) { c.TLS.CurvePreferences = []tls.CurveID{tls.CurveP521} },
	} {
		cfg := &bio.Config{TLS: &tls.Config{ServerName: "server.example"}}
		change(cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	maker, err := New(&bio.Config{TLS: &tls.Config{}})
	check(t, err)
	for _, role := range []frame.Role{frame.Client, frame.Server} {
		if _, err := maker(role); err == nil {
			t.Errorf("a %v without a name or a certificate: no error", role)
		}
	}
}

// TestWornOut seals as many records as may be sealed, and no more.
func TestWornOut(t *testing.T) {
	client, server := configs(t, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
	stack := bio.Stack{New: New}
	c, s := engineOf(t, stack, client, frame.Client), engineOf(t, stack, server, frame.Server)
	shake(t, c, s)
	c.Tick(time.Time{})
	tx := c.(*Engine).tx
	tx.number = 1<<48 | maxRecords/8*7
	transfer(t, c, s, []byte("x"))
	if st, err := c.Tick(time.Time{}); err != nil || !st.Events.Has(bio.EventRekey) {
		t.Errorf("near the limit: %+v, %v", st, err)
	}
	tx.number = 1<<48 | maxRecords - 1
	transfer(t, c, s, []byte("x"))
	if out, n, err := c.Seal(nil, []byte("x")); err != ErrWornOut || n != 0 || len(out) != 0 {
		t.Errorf("at the limit: %d, %v", n, err)
	}
	check(t, c.CloseWrite())
	if st := move(t, c, s); !st.Events.Has(bio.EventPeerClosed) {
		t.Error("close_notify does not arrive")
	}
}

// FuzzScreen: whatever comes, pion sees only whole records of bounded length, and what is kept is bounded.
func FuzzScreen(f *testing.F) {
	f.Add([]byte{typeHandshake, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 12, 14, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{typeAlert, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40})
	f.Add([]byte{typeHandshake, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9})
	f.Fuzz(func(t *testing.T, d []byte) {
		var s screen
		for range 3 {
			pass := s.pass(d)
			if len(pass) > maxRead || len(pass) > len(d) {
				t.Fatalf("%d bytes of %d pass", len(pass), len(d))
			}
			for len(pass) > 0 {
				var r record
				if r, pass = cut(pass); r == nil {
					t.Fatal("what passes is no record")
				}
			}
		}
		if len(s.early) > maxEarly || s.earlyBytes > maxEarlyBytes {
			t.Fatalf("%d records of %d bytes are kept", len(s.early), s.earlyBytes)
		}
	})
}
