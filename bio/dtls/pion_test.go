package dtls

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"
)

// enginePipe is the network of a pion connection whose peer is an engine with a goroutine of the test's.
type enginePipe struct {
	*memConn
	to *end
}

// WriteTo implements net.PacketConn.
func (p enginePipe) WriteTo(d []byte, _ net.Addr) (int, error) {
	p.to.in <- append([]byte(nil), d...)
	return len(d), nil
}

// againstPion connects an engine of ours with a whole connection of pion's.
func (s *setup) againstPion(t *testing.T, ours frame.Role, cid func() []byte) (*end, *pion.Conn) {
	t.Helper()
	client, server := s.makePair(t)
	e := newEnd(client)
	if ours == frame.Server {
		e = newEnd(server)
	}
	mem := newMemConn("engine", &queue{mute: true}, func() {})
	e.wire = func(d []byte) { mem.deliver(bytes.Clone(d)) }
	conn := pionConn(t, s, ours.Peer(), enginePipe{mem, e}, cid)
	e.idle.Go(e.run)
	t.Cleanup(func() {
		conn.Close()
		close(e.stop)
		e.idle.Wait()
		e.Abort(nil)
	})
	check(t, conn.Handshake())
	e.until(t, "the handshake", func() bool { return e.State().Phase == bio.PhaseOpen })
	return e, conn
}

func pionConn(t *testing.T, s *setup, role frame.Role, carrier net.PacketConn, cid func() []byte) (conn *pion.Conn) {
	t.Helper()
	ids := []pion.CipherSuiteID{pion.CipherSuiteID(s.serverOpts.CipherSuites[0])}
	options := []pion.Option{pion.WithCipherSuites(ids...),
		pion.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard})}
	if cid != nil {
		options = append(options, pion.WithConnectionIDGenerator(cid))
	}
	if s.serverOpts.PSK != nil {
		options = append(options, pion.WithPSK(s.serverOpts.PSK), pion.WithPSKIdentityHint([]byte("pion")))
	}
	var err error
	if role == frame.Client {
		all := []pion.ClientOption{pion.WithServerName(serverName)}
		if s.client.TLS != nil {
			all = append(all, pion.WithRootCAs(s.client.TLS.RootCAs))
		}
		for _, o := range options {
			all = append(all, o)
		}
		conn, err = pion.ClientWithOptions(carrier, memAddr("engine"), all...)
	} else {
		var all []pion.ServerOption
		if s.server.TLS != nil {
			all = append(all, pion.WithCertificates(s.server.TLS.Certificates...))
		}
		for _, o := range options {
			all = append(all, o)
		}
		conn, err = pion.ServerWithOptions(carrier, memAddr("engine"), all...)
	}
	check(t, err)
	return conn
}

// TestAgainstPionConn talks with connections that pion drives from end to end, with all combinations of connection IDs.
func TestAgainstPionConn(t *testing.T) {
	pionCIDs := map[string]func() []byte{
		"none": nil, "sends": pion.OnlySendCIDGenerator(), "asks": pion.RandomCIDGenerator(6),
	}
	for _, ours := range []frame.Role{frame.Client, frame.Server} {
		for name, cid := range pionCIDs {
			for _, our := range []Options{{}, {SendCID: true}, {CIDLen: 9}} {
				for _, psk := range []bool{false, true} {
					t.Run(fmt.Sprintf("%v/pion=%s/send=%v,len=%d/psk=%v", ours, name, our.SendCID, our.CIDLen, psk),
						func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) {
								s := certSetup(t, ecKey).suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
								if psk {
									s = pskSetup().suite(TLS_PSK_WITH_AES_128_CCM_8)
								}
								s.both(func(o *Options) { o.CIDLen, o.SendCID = our.CIDLen, our.SendCID })
								e, conn := s.againstPion(t, ours, cid)
								wantOwn, wantPeers := 0, 0
								if cid != nil {
									wantOwn = our.CIDLen
								}
								if our.CIDLen > 0 || our.SendCID {
									wantPeers = map[string]int{"asks": 6}[name]
								}
								if got := len(e.LocalCID()); got != wantOwn {
									t.Errorf("our connection ID has %d bytes, want %d", got, wantOwn)
								}
								if got := len(e.tx.cid); got != wantPeers {
									t.Errorf("the connection ID of pion has %d bytes, want %d", got, wantPeers)
								}
								talkWithPion(t, e, conn)
							})
						})
				}
			}
		}
	}
}

func talkWithPion(t *testing.T, e *end, conn *pion.Conn) {
	t.Helper()
	buf := make([]byte, 8192)
	for _, size := range []int{1, 100, 1350, 8000} {
		e.say(t, noise(size))
		if n, err := conn.Read(buf); err != nil || !bytes.Equal(buf[:n], noise(size)) {
			t.Fatalf("pion reads %d bytes of %d: %v", n, size, err)
		}
		if _, err := conn.Write(noise(size)); err != nil {
			t.Fatal(err)
		}
		e.until(t, "a message", func() bool { return len(e.got) > 0 && bytes.Equal(e.got[len(e.got)-1], noise(size)) })
	}
	check(t, e.CloseWrite())
	e.flush()
	if _, err := conn.Read(buf); err != io.EOF {
		t.Errorf("pion reads after our close_notify: %v", err)
	}
	e.until(t, "close_notify", func() bool { return e.events[bio.EventPeerClosed] > 0 })
	time.Sleep(time.Minute)
}
