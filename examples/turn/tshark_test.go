package main

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

// sent is what an end has sent, message by message.
type sent struct {
	mu       sync.Mutex
	messages [][]byte
}

func (s *sent) add(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, slices.Clone(p))
}

// tapped is a connection over TCP, whose Writes are seen: each is one message.
type tapped struct {
	net.Conn
	sent *sent
}

func (c tapped) Write(p []byte) (int, error) {
	c.sent.add(p)
	return c.Conn.Write(p)
}

// tap connects to a server, and has s see what is sent.
func (s *sent) tap(t *testing.T, proto, server string) net.Conn {
	t.Helper()
	if proto == "udp" {
		network, err := lossy.New(netip.MustParseAddrPort(server), lossy.Conditions{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { network.Close() })
		network.Tap(func(toServer bool, p []byte) {
			if toServer {
				s.add(p)
			}
		})
		server = network.Addr().String()
	}
	conn, err := net.Dial(proto, server)
	if err != nil {
		t.Fatal(err)
	}
	if proto == "tcp" {
		conn = tapped{conn, s}
	}
	return conn
}

// waitFor waits until a message of a STUN method has been sent.
func (s *sent) waitFor(t *testing.T, wanted uint16) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		found := slices.ContainsFunc(s.messages, func(m []byte) bool { return method(m) == wanted })
		s.mu.Unlock()
		if found {
			return
		}
	}
	t.Fatalf("%04x is not sent", wanted)
}

// TestTshark has another implementation take apart what this end sends to coturn: the requests of pion/turn, nothing
// else of its, and on a channel the handshake of DTLS.
func TestTshark(t *testing.T) {
	c := newCertificates(t)
	alice := Credentials{"alice", "secret"}
	coturn := startCoturn(t, alice)
	for proto, capture := range map[string]func(uint16, ...[]byte) tsharktest.Capture{
		"udp": tsharktest.UDP, "tcp": tsharktest.TCP,
	} {
		var s sent
		relay, err := New(t.Context(), s.tap(t, proto, coturn), alice)
		if err != nil {
			t.Fatal(err)
		}
		c.client(t, relay, c.listener(t)).Close()
		relay.Close()
		s.waitFor(t, refresh)
		requests, data := split(t, capture(stunPort, s.messages...))
		// Allocate, CreatePermission, ChannelBind, Refresh; over UDP some may be repeated.
		if got := fmt.Sprint(slices.Compact(requests)); got != "[0x0003 0x0008 0x0009 0x0004]" {
			t.Errorf("%s: the STUN messages are %v", proto, got)
		}
		// ClientHello twice, for the cookie; Certificate, ClientKeyExchange, CertificateVerify; then it is encrypted.
		if got := handshake(t, data); got != "1 1 11 16 15" {
			t.Errorf("%s: the handshake is %s", proto, got)
		}
	}
}

const (
	stunPort = 3478   // where tshark expects STUN
	refresh  = 0x0004 // https://www.rfc-editor.org/rfc/rfc8656.html#section-17
)

// split returns the types of the STUN messages and the data on the channel, as tshark finds them.
func split(t *testing.T, c tsharktest.Capture) (requests []string, data [][]byte) {
	t.Helper()
	for _, row := range c.Fields(t, "stun.type", "stun.channel", "data.data", "_ws.malformed") {
		p, err := hex.DecodeString(row[2])
		switch {
		case err != nil || row[3] != "":
			t.Errorf("%q: %v", row, err)
		case row[0] != "":
			requests = append(requests, row[0])
		case row[1] == "0x4000":
			data = append(data, p)
		default:
			t.Errorf("neither STUN nor on the channel: %q", row)
		}
	}
	return requests, data
}

// handshake returns the types of the handshake messages in datagrams, as tshark finds them when they are in UDP: in
// ChannelData it does not look for DTLS.
func handshake(t *testing.T, datagrams [][]byte) string {
	t.Helper()
	c := tsharktest.UDP(4433, datagrams...)
	c.Options = []string{"-d", "udp.port==4433,dtls"}
	var types []string
	for _, row := range c.Fields(t, "dtls.handshake.type") {
		if row[0] != "" {
			types = append(types, strings.Split(row[0], ",")...)
		}
	}
	return strings.Join(types, " ")
}
