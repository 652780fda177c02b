package wrap_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
	badnet "github.com/encase-tls/encase/wrap/datagram/lossy" // here lossy is a carrier
)

// udpSockets returns two sockets on loopback.
func udpSockets(t *testing.T) (a, b *net.UDPConn) {
	t.Helper()
	for _, c := range []**net.UDPConn{&a, &b} {
		var err error
		if *c, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*c).Close() })
	}
	return a, b
}

// disguised hides what kind of net.PacketConn it is.
type disguised struct{ net.PacketConn }

// quickArq is an arq for a network on which nothing takes long but a repetition.
func quickArq(frame.Role) (frame.Machine, error) {
	return &arq{lockstep: lockstep{mtu: 400, expected: 1, lossy: true}, timeout: 20 * time.Millisecond, tries: 12}, nil
}

// TestDatagram carries TLS over UDP that loses, repeats and reorders a tenth of all datagrams each, with the three kinds
// of sockets.
func TestDatagram(t *testing.T) {
	for _, kind := range []string{"connected", "not connected", "any net.PacketConn"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			client, server := over(t, quickArq)
			a, b := udpSockets(t)
			relay, err := badnet.New(b.LocalAddr().(*net.UDPAddr).AddrPort(),
				badnet.Conditions{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1}, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer relay.Close()
			ca, cb := throughRelay(t, relay, kind, a, b)
			client.Linger = time.Minute
			client.HandshakeTimeout, server.HandshakeTimeout = time.Minute, time.Minute
			c, s := wrap.Client(ca, client), wrap.Server(cb, server)
			shake(t, c, s)
			transferBoth(t, c, s, 5<<10)
			relay.SetConditions(badnet.Conditions{}) // or the last acknowledgement may be lost, and after it nobody listens
			want := noise(5000, 1)
			closed := make(chan error, 1)
			go func() {
				_, err := c.Write(want)
				closed <- errors.Join(err, c.Close())
			}()
			got, err := io.ReadAll(s)
			if !bytes.Equal(got, want) || err != nil {
				t.Errorf("%d of %d bytes arrive, %v", len(got), len(want), err)
			}
			if err := <-closed; err != nil {
				t.Errorf("Write and Close: %v", err)
			}
			s.Close()
		})
	}
}

// throughRelay returns the carriers of client and server, whose peers are both the relay.
func throughRelay(t *testing.T, relay *badnet.Relay, kind string, a, b *net.UDPConn) (client, server wrap.Carrier) {
	t.Helper()
	to := net.UDPAddrFromAddrPort(relay.Addr())
	switch kind {
	case "connected":
		conn, err := net.DialUDP("udp", nil, to)
		if err != nil {
			t.Fatal(err)
		}
		client = wrap.Datagram(conn, nil, 0)
	case "not connected":
		client = wrap.Datagram(a, to, 0)
	default:
		client = wrap.Datagram(disguised{a}, to, 0)
	}
	hello := frame.NewBuf(0, nil, 0) // makes the relay's address known, and is no frame
	if _, err := client.Send([]*frame.Buf{hello}); err != nil {
		t.Fatal(err)
	}
	_, from, err := b.ReadFromUDP(make([]byte, 1))
	for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); {
		_, from, err = b.ReadFromUDP(make([]byte, 1))
	}
	if err != nil {
		t.Fatal(err)
	}
	if kind == "any net.PacketConn" {
		return client, wrap.Datagram(disguised{b}, from, 0)
	}
	return client, wrap.Datagram(b, from, 0)
}

// TestDatagramStrangers drops what others send, and what ICMP says.
func TestDatagramStrangers(t *testing.T) {
	client, server := over(t, arqMaker(400))
	a, b := udpSockets(t)
	stranger, gone := udpSockets(t)
	ca, cb := wrap.Datagram(a, b.LocalAddr(), 0), wrap.Datagram(b, a.LocalAddr(), 0)
	c, s := wrap.Client(ca, client), wrap.Server(cb, server)
	shake(t, c, s)
	for range 3 {
		if _, err := stranger.WriteTo([]byte{lockstepEnd, 0, 0, 0, 0}, a.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	exchange(t, c, s)
	if n := c.Stats().Strangers; n != 3 {
		t.Errorf("%d datagrams of strangers, want 3", n)
	}
	closeBoth(c, s)

	nobody := gone.LocalAddr().(*net.UDPAddr)
	gone.Close()
	conn, err := net.DialUDP("udp", nil, nobody)
	if err != nil {
		t.Fatal(err)
	}
	carrier := wrap.Datagram(conn, nil, 0)
	defer carrier.Close()
	for range 3 { // "connection refused" comes with the second, and with Recv
		if n, err := carrier.Send([]*frame.Buf{frame.NewBuf(0, []byte("x"), 0)}); n != 1 || err != nil {
			t.Errorf("Send to nobody: %d, %v", n, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	carrier.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := carrier.Recv(); !isTimeout(err) {
		t.Errorf("Recv from nobody: %v", err)
	}
	_, err = carrier.Send([]*frame.Buf{frame.NewBuf(0, make([]byte, wrap.DefaultMTU+1), 0)})
	wantErr(t, "Send of too much", err, frame.ErrTooLarge)
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
