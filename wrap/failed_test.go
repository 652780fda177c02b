package wrap_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap"
)

// tinyMTU makes a lockstep cut even an alert.
const tinyMTU = lockstepHeader + lockstepTotal + 2

// TestAlertInFragments refuses the server over a Machine that brings the alert a few bytes at a time, each of which the
// server must acknowledge: Close hears that although the handshake has failed, then ends the outer protocol, and waits
// no longer.
func TestAlertInFragments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := over(t, lockstepMaker(tinyMTU))
		client.TLS.RootCAs = x509.NewCertPool()
		client.Linger = time.Minute
		a, b := bio.Pair(0)
		wire := &recorder{Conn: a}
		c, s := connect(t, wire, b, client, server)
		start := time.Now()
		refused := make(chan error, 1)
		go func() { refused <- c.Handshake() }()
		told := s.Handshake()
		wantAlert(t, "the client", <-refused, true)
		wantAlert(t, "the server", told, false)
		if err := c.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
		if sent := wire.bytes(); !bytes.HasSuffix(sent, []byte{lockstepEnd, 0, 0, 0, 0}) {
			t.Errorf("the client's last frame is not the end: % x", sent[len(sent)-10:])
		}
	})
}

// TestFailedIsBounded refuses a server that then hears and says nothing more: Close waits for Linger, and says that
// nothing is lost that anybody wrote. If the carrier ends, which it may have done before, there is nothing to wait for.
func TestFailedIsBounded(t *testing.T) {
	for _, ends := range []time.Duration{-time.Second, 0, time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			client, server := over(t, lockstepMaker(tinyMTU))
			client.Linger = 3 * time.Second
			a, b := bio.Pair(0)
			hole := &blackHole{Conn: a}
			client.TLS.VerifyConnection = func(tls.ConnectionState) error {
				hole.open.Store(true)
				return errEnd
			}
			c, s := connect(t, hole, b, client, server)
			go s.Handshake()
			wantErr(t, "Handshake", c.Handshake(), errEnd)
			time.AfterFunc(max(ends, 0), func() { b.Close() })
			time.Sleep(max(-ends, 0))
			start := time.Now()
			err := c.Close()
			if took, want := time.Since(start), min(max(ends, 0), client.Linger); err != nil || took != want {
				t.Errorf("the carrier ends after %v: Close: %v after %v, want %v", ends, err, took, want)
			}
			b.Close()
		})
	}
}

// TestEndWithoutTurn has a peer whose outer protocol ends, after it has closed TLS or not, while this end waits for its
// turn: it will not come.
func TestEndWithoutTurn(t *testing.T) {
	for _, closed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client, server := over(t, lockstepMaker(200))
			server.Linger = time.Minute
			a, b := bio.Pair(0)
			hole := &blackHole{Conn: b}
			c, s := connect(t, a, hole, client, server)
			shake(t, c, s)
			exchange(t, c, s)
			if closed {
				c.CloseWrite()
				if err := readErr(t, s); err != io.EOF {
					t.Errorf("Read: %v", err)
				}
			}
			hole.open.Store(true) // the client never gets what it should acknowledge
			if _, err := s.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			a.Write([]byte{lockstepEnd, 0, 0, 0, 0})
			start := time.Now()
			err := s.Close()
			if took := time.Since(start); err == nil || took != 0 {
				t.Errorf("Close, which loses data: %v after %v", err, took)
			}
		})
	}
}

// TestPortUnreachable closes when the network says that the peer's port is closed. While nothing but a goodbye is left,
// that ends it; as long as there is data, anybody may have said so, and the peer is given its time.
func TestPortUnreachable(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not every system says so")
	}
	for _, data := range []bool{false, true} {
		client, server := over(t, arqMaker(400))
		client.Linger = patience
		if data {
			client.Linger = 1500 * time.Millisecond
		}
		_, b := udpSockets(t)
		a, err := net.DialUDP("udp", nil, b.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		c := wrap.Client(wrap.Datagram(a, nil, 0), client)
		s := wrap.Server(wrap.Datagram(b, a.LocalAddr(), 0), server)
		shake(t, c, s)
		exchange(t, c, s)
		s.Abort()
		if data {
			c.Write([]byte("lost"))
		}
		start := time.Now()
		err = c.Close()
		took := time.Since(start)
		if data && (err == nil || took < client.Linger) || !data && (err != nil || took > client.Linger/2) {
			t.Errorf("data %v: Close: %v after %v", data, err, took)
		}
	}
}
