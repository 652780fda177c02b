package openvpn_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/openvpn"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

// credentials returns what a client and a server need to know each other.
func credentials(t *testing.T) (client, server *tls.Config) {
	t.Helper()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("vpn.example")
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: ca.Pool(), ServerName: "vpn.example"}, &tls.Config{Certificates: []tls.Certificate{cert}}
}

// TLS over UDP, through a relay that loses up to three datagrams of ten, repeats and reorders them.
func TestTLSOverBadUDP(t *testing.T) {
	for _, arg := range []string{"udp", "udp,tls-auth=KEY", "udp,tls-crypt=KEY"} {
		for _, loss := range []float64{0.1, 0.3} {
			conditions := lossy.Conditions{Loss: loss, Duplicate: 0.1, Reorder: 0.2}
			t.Run(arg, func(t *testing.T) {
				t.Parallel()
				overUDP(t, arg+",retry=20ms", conditions)
			})
		}
	}
}

func overUDP(t *testing.T, arg string, conditions lossy.Conditions) {
	t.Helper()
	codec := parse(t, arg)
	clientTLS, serverTLS := credentials(t)
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	relay, err := lossy.New(pc.LocalAddr().(*net.UDPAddr).AddrPort(), conditions, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	served := make(chan error, 1)
	go func() { served <- echoOne(pc, &wrap.Config{TLS: serverTLS, Codec: codec, Linger: time.Second}) }()
	conn, err := net.Dial("udp", relay.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := wrap.Client(wrap.Datagram(conn.(net.PacketConn), nil, 0), &wrap.Config{TLS: clientTLS, Codec: codec})
	exchange(t, c, 100<<10)
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("the server: %v", err)
	}
	if stats := relay.Stats(); stats.Lost == 0 || stats.Duplicated == 0 || stats.Reordered == 0 {
		t.Errorf("the network was good: %+v", stats)
	}
}

// echoOne serves the sender of the first datagram, which is lost.
func echoOne(pc *net.UDPConn, cfg *wrap.Config) error {
	_, peer, err := pc.ReadFrom(make([]byte, 2048))
	if err != nil {
		return err
	}
	s := wrap.Server(wrap.Datagram(pc, peer, 0), cfg)
	defer s.Close()
	_, err = io.Copy(s, s)
	return err
}

// exchange sends size bytes through an echo.
func exchange(t *testing.T, c *wrap.Conn, size int) {
	t.Helper()
	c.SetDeadline(time.Now().Add(50 * time.Second))
	want := bytes.Repeat([]byte("control channel "), size/16)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		wrote <- err
	}()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil || !bytes.Equal(got, want) {
		t.Errorf("what comes back is not what was sent (%v)", err)
	}
}

// A megabyte over TCP, as any net.Conn.
func TestTLSOverTCP(t *testing.T) {
	codec := parse(t, "tcp,tls-crypt=KEY")
	clientTLS, serverTLS := credentials(t)
	listener, err := wrap.Listen("tcp", "127.0.0.1:0", &wrap.Config{TLS: serverTLS, Codec: codec})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() {
		s, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(s, s)
			s.Close()
		}
		served <- err
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := wrap.Client(wrap.Stream(raw), &wrap.Config{TLS: clientTLS, Codec: codec})
	exchange(t, c, 1<<20)
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("the server: %v", err)
	}
}

// With another key, and with a peer that is not there, the connection ends with an error that says so.
func TestSilentPeer(t *testing.T) {
	clientTLS, _ := credentials(t)
	silent, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn, err := net.Dial("udp", silent.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := wrap.Client(wrap.Datagram(conn.(net.PacketConn), nil, 0),
		&wrap.Config{TLS: clientTLS, Codec: parse(t, "timeout=1s,retry=100ms")})
	defer c.Close()
	if err := c.Handshake(); !errors.Is(err, openvpn.ErrTimeout) {
		t.Errorf("Handshake: %v", err)
	}
}
