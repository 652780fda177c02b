package tds_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A tape keeps what both ends write, in order.
type tape struct {
	mu       sync.Mutex
	messages []tsharktest.Message
}

// from returns what one end has written.
func (t *tape) from(role frame.Role) (all []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.messages {
		if m.From == role {
			all = append(all, m.Data...)
		}
	}
	return all
}

// first returns the first n messages.
func (t *tape) first(n int) []tsharktest.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.messages[:n]
}

// recorded is a connection that is written by the end with a role.
type recorded struct {
	net.Conn
	role frame.Role
	tape *tape
}

func (r *recorded) Write(p []byte) (int, error) {
	r.tape.mu.Lock()
	r.tape.messages = append(r.tape.messages, tsharktest.Message{From: r.role, Data: bytes.Clone(p)})
	r.tape.mu.Unlock()
	return r.Conn.Write(p)
}

// ends are a client and a server of wrap over TCP, and what they write.
type ends struct {
	client, server *wrap.Conn
	tape           tape
}

// An edit changes the configurations of both ends. cert is that of the server.
type edit func(client, server *wrap.Config, cert tls.Certificate)

// join makes two ends with codecs of these arguments. chain is how many certificates the server sends.
func join(t *testing.T, clientArg, serverArg string, version uint16, chain int, edits ...edit) *ends {
	t.Helper()
	ca, err := ephemeral.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("db.example")
	if err != nil {
		t.Fatal(err)
	}
	for range chain - 1 { // more of the same: nobody minds, and it gets long
		cert.Certificate = append(cert.Certificate, cert.Certificate[0])
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	e := new(ends)
	client := &wrap.Config{
		TLS:   &tls.Config{RootCAs: ca.Pool(), ServerName: "db.example", MaxVersion: version},
		Codec: parse(t, clientArg),
	}
	server := &wrap.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Codec: parse(t, serverArg)}
	for _, change := range edits {
		change(client, server, cert)
	}
	e.client = wrap.Client(wrap.Stream(&recorded{near, frame.Client, &e.tape}), client)
	e.server = wrap.Server(wrap.Stream(&recorded{far, frame.Server, &e.tape}), server)
	t.Cleanup(func() {
		go e.client.Close()
		e.server.Close()
	})
	return e
}

// shake has both ends shake hands and returns what comes of it.
func (e *ends) shake() (client, server error) {
	done := make(chan error, 1)
	go func() {
		err := e.server.Handshake()
		if err != nil {
			e.server.Close()
		}
		done <- err
	}()
	if client = e.client.Handshake(); client != nil {
		e.client.Close()
	}
	return client, <-done
}

// Both ends agree, shake hands in packets, of which a long chain of certificates needs several, and move data without.
func TestConnections(t *testing.T) {
	for _, c := range []struct {
		name, client, server string
		version, want        uint16
		chain                int
	}{
		{"TLS 1.3", "", "", 0, tls.VersionTLS13, 1},
		{"TLS 1.2", "", "", tls.VersionTLS12, tls.VersionTLS12, 1},
		{"for FreeTDS", "", "freetds", 0, tls.VersionTLS12, 1},
		{"of FreeTDS", "freetds", "", 0, tls.VersionTLS12, 1},
		{"certificates of 40 kB", "size=512", "size=512", 0, tls.VersionTLS13, 100},
		{"the same with TLS 1.2", "", "", tls.VersionTLS12, tls.VersionTLS12, 100},
		{"the server insists", "login-only", "", 0, tls.VersionTLS13, 1},
		{"the client insists", "", "login-only", 0, tls.VersionTLS13, 1},
		{"nobody takes the stream back", "login-only", "login-only", 0, tls.VersionTLS13, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := join(t, c.client, c.server, c.version, c.chain)
			if client, server := e.shake(); client != nil || server != nil {
				t.Fatal(client, server)
			}
			if v := e.client.ConnectionState().Version; v != c.want {
				t.Errorf("%s, want %s", tls.VersionName(v), tls.VersionName(c.want))
			}
			transfer(t, e.client, e.server)
			transfer(t, e.server, e.client)
			size := 4096
			if c.server == "size=512" {
				size = 512
			}
			wantPhases(t, e.tape.from(frame.Client), 0x12, size)
			wantPhases(t, e.tape.from(frame.Server), 0x04, size)
		})
	}
}

// TestTickets has ends that want session tickets, of which a server that has asked for a certificate sends those of TLS
// 1.3 behind the client's last flight: none may come, for they would be in a packet where the client expects none. Each
// end sees to that, whatever the other does.
func TestTickets(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, careless := range []frame.Role{frame.Client, frame.Server} {
			cache := tls.NewLRUClientSessionCache(4)
			for range 2 { // the second would resume
				e := join(t, "", "", version, 1, func(client, server *wrap.Config, cert tls.Certificate) {
					client.TLS.ClientSessionCache = cache
					client.TLS.Certificates = []tls.Certificate{cert}
					server.TLS.ClientAuth = tls.RequireAnyClientCert
					cfg := []*wrap.Config{client, server}[careless]
					cfg.Codec = unlimited(cfg.Codec)
				})
				if client, server := e.shake(); client != nil || server != nil {
					t.Fatal(client, server)
				}
				transfer(t, e.client, e.server)
				transfer(t, e.server, e.client)
				if e.client.ConnectionState().DidResume {
					t.Errorf("%s: a session is resumed", tls.VersionName(version))
				}
			}
		}
	}
}

// unlimited returns a Maker of Machines that do not limit TLS.
func unlimited(mk frame.Maker) frame.Maker {
	type all interface {
		frame.Machine
		frame.Delimiter
		frame.Preamble
		wrap.HandshakeObserver
	}
	return func(role frame.Role) (frame.Machine, error) {
		m, err := mk(role)
		return struct{ all }{m.(all)}, err
	}
}

// transfer moves a megabyte.
func transfer(t *testing.T, from, to net.Conn) {
	t.Helper()
	want := bytes.Repeat([]byte("SELECT 1; "), 100_000)
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(want)
		sent <- err
	}()
	got := make([]byte, len(want))
	to.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("something else arrives: %v", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// wantPhases checks that p is PRELOGIN of this type, packets of the handshake, and then records that are as long as
// TLS allows.
func wantPhases(t *testing.T, p []byte, typ byte, size int) {
	t.Helper()
	longest, packets := 0, 0
	for ; len(p) > 8 && (p[0] == typ || p[0] == 0x12); packets++ {
		n := int(p[2])<<8 | int(p[3])
		if n > size || n > len(p) || packets == 0 && p[8] != 0 {
			t.Fatalf("packet %d: %x", packets, p[:16])
		}
		p, typ = p[n:], 0x12
	}
	for len(p) >= 5 {
		n := 5 + int(p[3])<<8 + int(p[4])
		if p[0] != 23 || n > len(p) {
			t.Fatalf("behind the handshake: %x", p[:5])
		}
		p, longest = p[n:], max(longest, n)
	}
	if len(p) != 0 || longest < 16<<10 || packets < 2 {
		t.Errorf("%d packets, records of up to %d bytes, %d bytes behind them", packets, longest, len(p))
	}
}

// The first packet is encrypted, what follows is in clear, and neither end takes one for the other.
func TestLoginOnly(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		e := join(t, "login-only", "login-only", version, 1)
		done := make(chan error, 1)
		go func() { done <- goOnInClear(e.server, "the password", "the rest of the login", "welcome") }()
		if err := e.client.Handshake(); err != nil {
			t.Fatal(err)
		}
		if a, ok := tds.Agreed(e.client.Machine()); !ok || !a.LoginOnly {
			t.Fatalf("agreed on %+v, %t", a, ok)
		}
		io.WriteString(e.client, "the password")
		bare, err := e.client.Detach()
		if err != nil {
			t.Fatal(err)
		}
		defer bare.Close()
		io.WriteString(bare, "the rest of the login")
		bare.SetReadDeadline(time.Now().Add(10 * time.Second))
		if answer, err := io.ReadAll(bare); string(answer) != "welcome" || err != nil {
			t.Errorf("the answer is %q, %v", answer, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		wire := e.tape.from(frame.Client)
		if bytes.Contains(wire, []byte("the password")) || !bytes.HasSuffix(wire, []byte("the rest of the login")) {
			t.Error("the password is on the wire, or what follows is not")
		}
	}
}

// goOnInClear is a server that reads a word under TLS and the next in clear, answers and closes.
func goOnInClear(c *wrap.Conn, secret, open, answer string) error {
	p := make([]byte, len(secret))
	if _, err := io.ReadFull(c, p); err != nil || string(p) != secret {
		return errors.Join(errors.New("under TLS: "+string(p)), err)
	}
	bare, err := c.Detach()
	if err != nil {
		return err
	}
	defer bare.Close()
	p = make([]byte, len(open))
	if _, err := io.ReadFull(bare, p); err != nil || string(p) != open {
		return errors.Join(errors.New("in clear: "+string(p)), err)
	}
	_, err = io.WriteString(bare, answer)
	return err
}

// A client without encryption, in the bytes of one, is refused, and told that the server insists.
func TestWithoutEncryption(t *testing.T) {
	near, far := net.Pipe()
	ca, err := ephemeral.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("db.example")
	if err != nil {
		t.Fatal(err)
	}
	server := wrap.Server(wrap.Stream(far), &wrap.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Codec: parse(t, "login-only"),
	})
	defer server.Close()
	refused := make(chan error, 1)
	go func() {
		refused <- server.Handshake()
		server.Close()
	}()
	near.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := near.Write(says(t, 0x12, tds.Prelogin{Encryption: tds.NotSupported})); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(near)
	if err != nil || encryptionIn(t, answer, 0x04) != tds.Required {
		t.Errorf("the client is told %x, %v", answer, err)
	}
	if err := <-refused; !errors.Is(err, tds.ErrNoEncryption) || !strings.Contains(err.Error(), "must be allowed") {
		t.Error(err)
	}
}
