package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v4"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// TestDemo runs all of it in this program, with pion's TURN server, and nothing of it stays.
func TestDemo(t *testing.T) {
	before := runtime.NumGoroutine()
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`answers "hello by udp\n"`, `answers "hello by tcp\n"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not printed:\n%s", want, &out)
		}
	}
	for range 500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("goroutines stay:\n%s", stacks[:runtime.Stack(stacks, true)])
}

// certificates are files for both ends.
type certificates struct {
	dir string
	ca  *ephemeral.Authority
	end tls.Certificate
}

func newCertificates(t *testing.T) *certificates {
	t.Helper()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	c := &certificates{dir: t.TempDir(), ca: ca}
	if c.end, err = ca.Issue("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if err := ca.WriteFiles(c.dir, map[string]tls.Certificate{"end": c.end}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *certificates) file(name string) string { return filepath.Join(c.dir, name) }

// args returns the arguments of an end that reaches peers by way of coturn.
func (c *certificates) args(t *testing.T, role, proto, coturn, peers string, user Credentials) []string {
	args := []string{role, "-proto", proto, "-turn", coturn, "-peer", peers, "-ca", c.file("ca.crt"),
		"-cert", c.file("end.crt"), "-key", c.file("end.key")}
	if user.Username != "" {
		args = append(args, "-user", user.Username, "-password-file", passwordFile(t, user.Password))
	}
	return args
}

// config is that of an end in this program. Both show certificates.
func (c *certificates) config() *datagram.Config {
	return &datagram.Config{TLS: &tls.Config{Certificates: []tls.Certificate{c.end}, ServerName: "127.0.0.1",
		RootCAs: c.ca.Pool(), ClientCAs: c.ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}}
}

// listener starts a DTLS server of our own, which knows nothing of TURN, and returns its address.
func (c *certificates) listener(t *testing.T) string {
	t.Helper()
	cfg := c.config()
	cfg.Handler = func(c *datagram.Conn, message []byte) { c.Write(message) }
	l, err := datagram.Listen("udp", "127.0.0.1:0", cfg, datagram.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// A farEnd starts a DTLS server behind the relay, and returns its address and, if it tells, what it hears.
type farEnd func(t *testing.T, c *certificates) (address string, hears *output)

var farEnds = map[string]farEnd{
	"ours": func(t *testing.T, c *certificates) (string, *output) { return c.listener(t), nil },
	"openssl": func(t *testing.T, c *certificates) (string, *output) {
		address := freePort(t).String()
		p := start(t, "openssl", "s_server", "-dtls1_2", "-accept", address, "-cert", c.file("end.crt"), "-key",
			c.file("end.key"), "-CAfile", c.file("ca.crt"), "-Verify", "2", "-verify_return_error", "-mtu", "1200")
		p.await(t, "ACCEPT")
		p.repeat(t, "hello") // it has no echo over DTLS
		return address, &p.output
	},
	"gnutls": func(t *testing.T, c *certificates) (string, *output) {
		address := freePort(t)
		p := start(t, "gnutls-serv", "--udp", "--echo", "-p", strconv.Itoa(address.Port), "--x509certfile",
			c.file("end.crt"), "--x509keyfile", c.file("end.key"), "--x509cafile", c.file("ca.crt"),
			"--require-client-cert", "--mtu", "1200")
		p.await(t, "UDP Echo Server listening")
		return address.String(), nil
	},
}

// TestClientThroughCoturn reaches servers that know nothing of TURN. Once a server lets in everybody.
func TestClientThroughCoturn(t *testing.T) {
	c := newCertificates(t)
	alice := Credentials{"alice", "secret"}
	coturn := map[Credentials]string{{}: startCoturn(t, Credentials{}), alice: startCoturn(t, alice)}
	for _, proto := range []string{"udp", "tcp"} {
		for name, far := range farEnds {
			user := alice
			if name == "openssl" {
				user = Credentials{}
			}
			t.Run(proto+" "+name, func(t *testing.T) {
				t.Parallel()
				address, hears := far(t, c)
				var out bytes.Buffer
				err := run(t.Context(), c.args(t, "client", proto, coturn[user], address, user), &out)
				if want := address + ` answers "hello\n"` + "\n"; err != nil || out.String() != want {
					t.Errorf("%v; it prints %q, want %q", err, &out, want)
				}
				if hears != nil {
					hears.await(t, "hello")
				}
			})
		}
	}
}

// TestServerBehindCoturn is reached by two clients that know nothing of TURN, each on a channel of its own, and by each
// of them twice.
func TestServerBehindCoturn(t *testing.T) {
	for _, proto := range []string{"udp", "tcp"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			c := newCertificates(t)
			alice := Credentials{"alice", "secret"}
			ours, openssl := freePort(t), freePort(t)
			var out output
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			args := c.args(t, "server", proto, startCoturn(t, alice), ours.String()+","+openssl.String(), alice)
			go func() { done <- run(ctx, args, &out) }()
			relayed := out.await(t, "reached at ")
			var clients sync.WaitGroup
			for range 2 {
				clients.Go(func() { c.askDirectly(t, ours, relayed) })
				c.askWithOpenSSL(t, openssl, relayed)
				clients.Wait()
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if rest := strings.TrimSpace(out.String()); rest != "reached at "+relayed {
				t.Errorf("it prints %q", rest)
			}
		})
	}
}

// TestListenerBehindCoturn has clients come from ports that nobody knew before. That takes no Channel: the relayed
// address is a net.PacketConn of pion/turn, which has channels of its own, and a Listener listens on any.
func TestListenerBehindCoturn(t *testing.T) {
	t.Parallel()
	c := newCertificates(t)
	coturn := startCoturn(t, Credentials{"alice", "secret"})
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	client, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: coturn, Username: "alice", Password: "secret",
		Conn: pc})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relayed, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CreatePermission(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	cfg := c.config()
	cfg.Handler = func(c *datagram.Conn, message []byte) { c.Write(message) }
	l, err := datagram.NewListener(relayed, cfg, datagram.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var clients sync.WaitGroup
	for range 5 {
		clients.Go(func() { c.askDirectly(t, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, l.Addr().String()) })
	}
	clients.Wait()
	if n := l.Stats().Opened; n != 5 {
		t.Errorf("%d handshakes are done", n)
	}
}

// askDirectly connects from a port.
func (c *certificates) askDirectly(t *testing.T, from *net.UDPAddr, to string) {
	pc, err := net.ListenUDP("udp4", from)
	if err != nil {
		t.Error(err)
		return
	}
	conn, err := datagram.Client(wrap.Datagram(pc, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)), 0), c.config())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if answer, err := exchange(ctx, conn, "hello from here"); err != nil || answer != "hello from here" {
		t.Errorf("%q, %v", answer, err)
	}
}

// askWithOpenSSL connects from a port, too.
func (c *certificates) askWithOpenSSL(t *testing.T, from *net.UDPAddr, to string) {
	p := start(t, "openssl", "s_client", "-dtls1_2", "-bind", from.String(), "-connect", to, "-cert", c.file("end.crt"),
		"-key", c.file("end.key"), "-CAfile", c.file("ca.crt"), "-verify_return_error", "-mtu", "1200", "-quiet",
		"-no_ign_eof")
	p.stdin.Write([]byte("hello from openssl\n"))
	p.await(t, "hello from openssl")
	p.stdin.Write([]byte("Q\n")) // it says goodbye
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Errorf("openssl does not end:\n%s", p)
	}
}

// TestBadNetwork has datagrams on the way to coturn lost, repeated and reordered: those of the control, which pion/turn
// repeats, those of the handshake, and messages, which may not arrive, but not twice nor wrong.
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	c := newCertificates(t)
	alice := Credentials{"alice", "secret"}
	network, err := lossy.New(netip.MustParseAddrPort(startCoturn(t, alice)),
		lossy.Conditions{Loss: 0.1, Duplicate: 0.1, Reorder: 0.2}, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	relay, conn := c.connect(t, network.Addr().String(), alice)
	defer relay.Close()
	defer conn.Close()
	const messages = 200
	got := make(map[string]int)
	before := network.Stats().Lost
	go func() {
		for i := range messages {
			conn.Write([]byte("message " + strconv.Itoa(i)))
			time.Sleep(2 * time.Millisecond) // so that nothing is lost but by the network
		}
	}()
	p := make([]byte, 100)
	for {
		conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := conn.Read(p)
		if err != nil {
			break
		}
		got[string(p[:n])]++
	}
	for m, times := range got {
		if i, err := strconv.Atoi(strings.TrimPrefix(m, "message ")); times != 1 || err != nil || i >= messages {
			t.Errorf("%q comes %d times", m, times)
		}
	}
	lost := int(network.Stats().Lost - before) // control messages may be among them
	if len(got)+lost < messages || len(got) == messages {
		t.Errorf("%d of %d messages come back, and %d datagrams were lost; %+v", len(got), messages, lost, conn.Stats())
	}
}

// connect has a client reach a server of our own by way of a TURN server, over UDP.
func (c *certificates) connect(t *testing.T, server string, user Credentials) (*Relay, *datagram.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	relay, err := Dial(ctx, "udp", server, user)
	if err != nil {
		t.Fatal(err)
	}
	return relay, c.client(t, relay, c.listener(t))
}

func (c *certificates) client(t *testing.T, relay *Relay, peer string) *datagram.Conn {
	t.Helper()
	channel, err := relay.Bind(t.Context(), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(peer)))
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.config()
	cfg.Codec = channel.Codec()
	conn, err := datagram.Client(channel, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}
