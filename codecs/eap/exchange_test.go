package eap_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// lossyConn is a socket that loses, repeats and delays what is written to it.
type lossyConn struct {
	net.PacketConn
	mu      sync.Mutex
	rnd     *rand.Rand
	percent int    // of datagrams to which something happens
	held    []byte // one that is overtaken by the next
	to      net.Addr
}

func (c *lossyConn) WriteTo(p []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const success = 3 // EAP repeats neither it nor 4, failure
	if p[0] < success && c.rnd.IntN(100) < c.percent {
		switch c.rnd.IntN(3) {
		case 0:
			return len(p), nil
		case 1:
			c.PacketConn.WriteTo(p, to)
		case 2:
			if c.held == nil {
				c.held = append([]byte(nil), p...)
				return len(p), nil
			}
		}
	}
	n, err := c.PacketConn.WriteTo(p, to)
	if c.held != nil {
		c.PacketConn.WriteTo(c.held, to)
		c.held = nil
	}
	return n, err
}

// link returns two sockets that are each other's peer.
func link(t *testing.T, percent int) (conns [2]wrap.Carrier) {
	t.Helper()
	var sockets [2]net.PacketConn
	for i := range sockets {
		var err error
		if sockets[i], err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range sockets {
		pc := &lossyConn{PacketConn: s, percent: percent, rnd: rand.New(rand.NewPCG(uint64(i), uint64(percent)))}
		conns[i] = wrap.Datagram(pc, sockets[1-i].LocalAddr(), 4096)
	}
	return conns
}

// An authority of the tests, and one that nobody trusts.
var authorities = sync.OnceValues(func() (list [2]*ephemeral.Authority, err error) {
	for i := range list {
		if list[i], err = ephemeral.New("test CA"); err != nil {
			return list, err
		}
	}
	return list, nil
})

// tlsConfig returns a configuration of either end, whose certificate is of the trusted authority or of the other.
func tlsConfig(t *testing.T, version uint16, trusted bool) *tls.Config {
	t.Helper()
	list, err := authorities()
	if err != nil {
		t.Fatal(err)
	}
	issuer := list[0]
	if !trusted {
		issuer = list[1]
	}
	cert, err := issuer.Issue("example.org")
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: list[0].Pool(), ClientCAs: list[0].Pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "example.org", MinVersion: version, MaxVersion: version}
}

// An end is one of an exchange.
type end struct {
	options eap.Options
	tls     *tls.Config
	run     func(conn *wrap.Conn) error // nil: Exchange.Run

	result *eap.Result
	err    error
}

// exchange runs both ends.
func exchange(t *testing.T, percent int, ends [2]*end) {
	t.Helper()
	carriers := link(t, percent)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var both sync.WaitGroup
	for i, e := range ends {
		x := eap.NewExchange()
		if e.run == nil {
			e.options.Exchange = x
		}
		codec, err := eap.New(e.options)
		if err != nil {
			t.Fatal(err)
		}
		conn := [...]func(wrap.Carrier, *wrap.Config) *wrap.Conn{wrap.Client, wrap.Server}[i](carriers[i],
			&wrap.Config{TLS: e.tls, Codec: codec, Linger: 20 * time.Second})
		both.Go(func() {
			defer conn.Close()
			if e.run != nil {
				e.err = e.run(conn)
				return
			}
			e.result, e.err = x.Run(ctx, conn)
		})
	}
	both.Wait()
}

func wantSame(t *testing.T, version uint16, ends [2]*end) {
	t.Helper()
	for i, e := range ends {
		if e.err != nil {
			t.Fatalf("%v: %v", frame.Role(i), e.err)
		}
		if e.result.TLS.Version != version || e.result.Identity != "user@example.org" {
			t.Errorf("%v: %s, %q", frame.Role(i), tls.VersionName(e.result.TLS.Version), e.result.Identity)
		}
	}
	peer, server := ends[0].result, ends[1].result
	if peer.MSK != server.MSK || peer.EMSK != server.EMSK || peer.MSK == (eap.Key{}) || peer.MSK == peer.EMSK {
		t.Error("the keys are not the same")
	}
	if string(peer.SessionID) != string(server.SessionID) || len(peer.SessionID) != 65 || peer.SessionID[0] != 13 {
		t.Errorf("the session ids are %x and %x", peer.SessionID, server.SessionID)
	}
}

var versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

func TestExchange(t *testing.T) {
	for _, version := range versions {
		for _, mtu := range []int{0, 100} {
			for _, percent := range []int{0, 25} {
				t.Run(fmt.Sprintf("%s, mtu %d, %d%% lossy", tls.VersionName(version), mtu, percent), func(t *testing.T) {
					t.Parallel()
					o := eap.Options{Identity: "user@example.org", MTU: mtu, Repeat: 30 * time.Millisecond}
					ends := [2]*end{{options: o, tls: tlsConfig(t, version, true)}, {options: o, tls: tlsConfig(t, version, true)}}
					exchange(t, percent, ends)
					wantSame(t, version, ends)
				})
			}
		}
	}
}

// A session that is resumed has keys of its own.
func TestResumption(t *testing.T) {
	for _, version := range versions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Parallel()
			o := eap.Options{Identity: "user@example.org"}
			client, server := tlsConfig(t, version, true), tlsConfig(t, version, true)
			client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			server.SetSessionTicketKeys([][32]byte{{1}})
			var keys []eap.Key
			for _, resumed := range []bool{false, true} {
				ends := [2]*end{{options: o, tls: client}, {options: o, tls: server}}
				exchange(t, 0, ends)
				wantSame(t, version, ends)
				if got := ends[0].result.TLS.DidResume; got != resumed {
					t.Errorf("resumed: %t, want %t", got, resumed)
				}
				keys = append(keys, ends[0].result.MSK)
			}
			if keys[0] == keys[1] {
				t.Error("both have one key")
			}
		})
	}
}

// A peer whose certificate is right may still have no access.
func TestNotAuthorized(t *testing.T) {
	errNobody := errors.New("test: nobody may")
	for _, version := range versions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Parallel()
			var asked string
			o := eap.Options{Authorize: func(identity string, state *tls.ConnectionState) error {
				asked = identity + " " + state.PeerCertificates[0].Subject.CommonName
				return errNobody
			}}
			ends := [2]*end{{tls: tlsConfig(t, version, true)}, {options: o, tls: tlsConfig(t, version, true)}}
			exchange(t, 0, ends)
			if !errors.Is(ends[0].err, eap.ErrFailure) || !errors.Is(ends[1].err, errNobody) {
				t.Errorf("the peer says %v, the server %v", ends[0].err, ends[1].err)
			}
			if asked != "anonymous example.org" {
				t.Errorf("asked about %q", asked)
			}
		})
	}
}

// With TLS 1.3 success alone is not enough: without the byte 0 inside TLS, the peer has no keys.
func TestUnconfirmed(t *testing.T) {
	say := func(p ...byte) func(*wrap.Conn) error {
		return func(conn *wrap.Conn) error {
			if _, err := conn.Write(p); err != nil {
				return err
			}
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			conn.Read(make([]byte, 1))
			return nil
		}
	}
	closes := func(conn *wrap.Conn) error {
		if err := conn.Handshake(); err != nil {
			return err
		}
		conn.CloseWrite()
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		conn.Read(make([]byte, 1))
		return nil
	}
	for _, c := range []struct {
		name string
		run  func(*wrap.Conn) error
		want error
	}{
		{"0", say(0), nil},
		{"1", say(1), frame.ErrMalformed},
		{"0 1", say(0, 1), frame.ErrMalformed},
		{"close_notify", closes, eap.ErrUnconfirmed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ends := [2]*end{{tls: tlsConfig(t, tls.VersionTLS13, true)},
				{tls: tlsConfig(t, tls.VersionTLS13, true), run: c.run}}
			exchange(t, 0, ends)
			if !errors.Is(ends[0].err, c.want) || c.want != nil && ends[0].result != nil {
				t.Errorf("the peer says %v, want %v", ends[0].err, c.want)
			}
			if ends[1].err != nil {
				t.Error(ends[1].err)
			}
		})
	}
}

// Each end learns at once, by the alert of TLS, that the other refuses it. Behind the alert comes failure, whatever gets
// lost of what leads to it.
func TestAlerts(t *testing.T) {
	for _, version := range versions {
		for _, c := range []struct {
			name           string
			client, server bool
			wantC, wantS   string
		}{
			{"client", false, true, "the peer refuses this end", "this end refuses the peer"},
			{"server", true, false, "this end refuses the peer", "the peer refuses this end"},
		} {
			for _, percent := range []int{0, 25} {
				t.Run(fmt.Sprintf("%s foreign %s %d%%", tls.VersionName(version), c.name, percent), func(t *testing.T) {
					t.Parallel()
					o := eap.Options{Repeat: 30 * time.Millisecond}
					ends := [2]*end{{options: o, tls: tlsConfig(t, version, c.client)},
						{options: o, tls: tlsConfig(t, version, c.server)}}
					begun := time.Now()
					exchange(t, percent, ends)
					for i, want := range []string{c.wantC, c.wantS} {
						if err := ends[i].err; err == nil || !strings.Contains(err.Error(), want) {
							t.Errorf("%v: %v, want %q", frame.Role(i), err, want)
						}
					}
					wantFailure(t, ends)
					if took := time.Since(begun); took > 20*time.Second {
						t.Errorf("that took %v", took)
					}
				})
			}
		}
	}
}

// wantFailure looks at how the exchange of EAP has ended, at ends that are closed.
func wantFailure(t *testing.T, ends [2]*end) {
	t.Helper()
	if _, err := ends[0].options.Exchange.Outcome(); !errors.Is(err, eap.ErrFailure) {
		t.Errorf("EAP of the peer: %v, want %v", err, eap.ErrFailure)
	}
	if _, err := ends[1].options.Exchange.Outcome(); !errors.Is(err, eap.ErrAlert) {
		t.Errorf("EAP of the server: %v, want %v", err, eap.ErrAlert)
	}
}

// An end that is alone gives up.
func TestSilence(t *testing.T) {
	for i := range 2 {
		ends := [2]*end{{tls: tlsConfig(t, 0, true)}, {tls: tlsConfig(t, 0, true)}}
		alone, other := ends[i], ends[1-i]
		alone.options = eap.Options{Timeout: 100 * time.Millisecond, Repeat: 20 * time.Millisecond}
		other.run = func(*wrap.Conn) error { return nil }
		exchange(t, 0, ends)
		if !errors.Is(alone.err, eap.ErrSilent) {
			t.Errorf("%v: %v, want %v", frame.Role(i), alone.err, eap.ErrSilent)
		}
	}
}

// An Exchange knows of one connection.
func TestExchangeTwice(t *testing.T) {
	codec, err := eap.New(eap.Options{Exchange: eap.NewExchange()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		m, err := codec(frame.Client)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = m.Start(nil); (err != nil) != (i == 1) {
			t.Errorf("start %d: %v", i+1, err)
		}
	}
}

// Run ends with its context.
func TestRunInterrupted(t *testing.T) {
	x := eap.NewExchange()
	codec, err := eap.New(eap.Options{Exchange: x})
	if err != nil {
		t.Fatal(err)
	}
	conn := wrap.Client(link(t, 0)[0], &wrap.Config{TLS: tlsConfig(t, 0, true), Codec: codec})
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := x.Run(ctx, conn); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := x.Outcome(); err == nil || err == io.EOF {
		t.Errorf("the outcome of what has none is %v", err)
	}
}

// A Key does not show itself.
func TestKeyIsSecret(t *testing.T) {
	r := eap.Result{MSK: eap.Key{1, 2, 3}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		s := fmt.Sprintf(verb, r.MSK) + fmt.Sprintf(verb, &r)
		for _, key := range []string{"010203", "1, 2", "1 2 3", "0x1, 0x2"} {
			if strings.Contains(s, key) {
				t.Errorf("%s shows the key: %s", verb, s)
			}
		}
	}
}
