package dtls

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	pionmessages "github.com/pion/dtls/v3/pkg/protocol/handshake"
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

// againstPion shakes hands between an engine of ours and a whole connection of pion's.
func (s *setup) againstPion(t *testing.T, ours frame.Role, options ...pion.Option) (*end, *pion.Conn) {
	t.Helper()
	e, conn := s.meetPion(t, ours, options...)
	check(t, conn.Handshake())
	e.until(t, "the handshake", func() bool { return e.State().Phase == bio.PhaseOpen })
	return e, conn
}

// meetPion connects an engine of ours with a connection of pion's, which has not shaken hands.
func (s *setup) meetPion(t *testing.T, ours frame.Role, options ...pion.Option) (*end, *pion.Conn) {
	t.Helper()
	client, server := s.makePair(t)
	e := newEnd(client)
	if ours == frame.Server {
		e = newEnd(server)
	}
	mem := newMemConn("engine", &queue{mute: true}, func() {})
	e.wire = func(d []byte) { mem.deliver(bytes.Clone(d)) }
	conn := pionConn(t, s, ours.Peer(), enginePipe{mem, e}, options...)
	e.idle.Go(e.run)
	t.Cleanup(func() {
		conn.Close()
		close(e.stop)
		e.idle.Wait()
		e.Abort(nil)
	})
	return e, conn
}

func pionConn(t *testing.T, s *setup, role frame.Role, carrier net.PacketConn, extra ...pion.Option) (conn *pion.Conn) {
	t.Helper()
	ids := []pion.CipherSuiteID{pion.CipherSuiteID(s.serverOpts.CipherSuites[0])}
	options := append(extra, pion.WithCipherSuites(ids...),
		pion.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard}))
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
								var options []pion.Option
								if cid != nil {
									options = append(options, pion.WithConnectionIDGenerator(cid))
								}
								e, conn := s.againstPion(t, ours, options...)
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

// TestNoExtendedMasterSecret refuses a peer that does without. https://www.rfc-editor.org/rfc/rfc7627#section-5.2
func TestNoExtendedMasterSecret(t *testing.T) {
	for _, ours := range []frame.Role{frame.Client, frame.Server} {
		synctest.Test(t, func(t *testing.T) {
			s := certSetup(t, ecKey).suite(suites[0].id)
			e, conn := s.meetPion(t, ours, pion.WithExtendedMasterSecret(pion.DisableExtendedMasterSecret))
			if err := conn.Handshake(); err == nil {
				t.Error("pion shakes hands")
			}
			var alert *bio.AlertError
			if err := e.fails(t); !errors.As(err, &alert) || !alert.Sent {
				t.Errorf("the %v says: %v", ours, err)
			}
		})
	}
}

// TestPionResumesWithoutCIDs: what Options.Sessions says of pion, and what keeps resumed sessions from connection IDs,
// is still so. If this fails, they can have them.
func TestPionResumesWithoutCIDs(t *testing.T) {
	store := serverSessions{NewSessionStore(4, time.Hour)} // of both ends, whose keys differ
	for _, resumed := range []bool{false, true} {
		near, far := newPipe()
		ends := [2]notingPipe{{near}, {far}}
		pionOver(t, ends[0], ends[1], pion.WithConnectionIDGenerator(pion.RandomCIDGenerator(6)),
			pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret), pion.WithInsecureSkipVerify(true),
			pion.WithSessionStore(store))
		for i, end := range ends {
			sent := end.mute()
			if sent.full == resumed {
				t.Fatalf("end %d resumes: %v", i, !sent.full)
			}
			if got := contentType(sent.sealed[0]) == typeCID; got == resumed {
				t.Errorf("resumed=%v: Finished of end %d has a connection ID: %v", resumed, i, got)
			}
			if hello := parseServerHello(sent.heard.certain()); i == 1 && (hello == nil || hello.hasCID == resumed) {
				t.Errorf("resumed=%v: ServerHello %+v", resumed, hello)
			}
		}
	}
}

// serverOnly lets an option that only servers have pass for one of both.
type serverOnly struct {
	pion.ServerOption
	pion.ClientOption
}

// TestResumedByServerWithCIDs: a server that does put connection IDs into a resumed session, as RFC 9146 has it, waits
// for what pion does not send. The connection is not mistaken for one that works, and the next resumes nothing.
func TestResumedByServerWithCIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := certSetup(t, ecKey).suite(suites[0].id)
		s.client.TLS.ClientSessionCache, s.clientOpts.SendCID = tls.NewLRUClientSessionCache(1), true
		resumes := false
		options := []pion.Option{
			pion.WithSessionStore(serverSessions{NewSessionStore(4, time.Hour)}),
			serverOnly{ServerOption: pion.WithServerHelloMessageHook(
				func(m pionmessages.MessageServerHello) pionmessages.Message {
					if resumes {
						m.Extensions = append(m.Extensions, &extension.ConnectionID{CID: []byte("123456")})
					}
					return &m
				})},
		}
		s.againstPion(t, frame.Client, options...)
		resumes = true
		e, conn := s.meetPion(t, frame.Client, options...)
		go conn.Handshake()
		if err := e.fails(t); !errors.Is(err, errResumedCID) {
			t.Errorf("the client says: %v", err)
		}
		resumes = false
		e, _ = s.againstPion(t, frame.Client, options...)
		if e.State().TLS.DidResume {
			t.Error("resumed")
		}
	})
}

// notingPipe is a pipe that knows what was sent, as a memConn does.
type notingPipe struct{ *pipe }

// WriteTo implements net.PacketConn.
func (p notingPipe) WriteTo(d []byte, to net.Addr) (int, error) {
	p.memConn.WriteTo(d, to)
	return p.pipe.WriteTo(d, to)
}

// takeFrom makes the estate of a connection from what it exports and has sent.
func (x *exported) takeFrom(role frame.Role, sent *trace) (*estate, error) {
	est := &estate{secrets: x.secrets()}
	h := &handshake{settings: &settings{Options: Options{ReplayWindow: minWindow}}, role: role}
	if err := est.protect(x, h, sent); err != nil {
		return nil, err
	}
	return est, est.agree(sent.sealed)
}

// TestHandOverChecks: a state that is not what we believe it to be is not continued.
func TestHandOverChecks(t *testing.T) {
	near, far := newPipe()
	client, _ := pionOver(t, notingPipe{near}, far, pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret),
		pion.WithConnectionIDGenerator(pion.RandomCIDGenerator(6)))
	sent := near.mute()
	state, ok := client.ConnectionState()
	data, err := state.MarshalBinary()
	if !ok || err != nil {
		t.Fatal(err)
	}
	good, err := decodeState(data)
	check(t, err)
	est, err := good.takeFrom(frame.Client, &sent)
	check(t, err)
	if want := uint64(1<<48 | 1); est.tx.number != want {
		t.Errorf("the next record is %#x, want %#x", est.tx.number, want)
	}
	for name, change := range map[string]func(x *exported, sent *trace){
		"another master secret":   func(x *exported, _ *trace) { x.MasterSecret[47] ^= 1 },
		"our random":              func(x *exported, _ *trace) { x.LocalRandom[0] ^= 1 },
		"the peer's random":       func(x *exported, _ *trace) { x.RemoteRandom[31] ^= 1 },
		"the other role":          func(x *exported, _ *trace) { x.IsClient = !x.IsClient },
		"another hash":            func(x *exported, _ *trace) { x.CipherSuiteID = suites[4].id },
		"another cipher":          func(x *exported, _ *trace) { x.CipherSuiteID = TLS_ECDHE_ECDSA_WITH_AES_128_CCM },
		"another connection ID":   func(x *exported, _ *trace) { x.RemoteConnectionID[5] ^= 1 },
		"no connection ID":        func(x *exported, _ *trace) { x.RemoteConnectionID = nil },
		"another record":          func(_ *exported, sent *trace) { sent.sealed[len(sent.sealed)-1] ^= 1 },
		"another nonce in it":     func(_ *exported, sent *trace) { sent.sealed[headerLen+6] ^= 1 },
		"another number on it":    func(_ *exported, sent *trace) { sent.sealed[10] ^= 1 },
		"a record without an end": func(_ *exported, sent *trace) { sent.sealed = sent.sealed[:40] },
		"nothing was sealed":      func(_ *exported, sent *trace) { sent.sealed = nil },
	} {
		x, err := decodeState(data)
		check(t, err)
		fake := trace{sealed: bytes.Clone(sent.sealed)}
		change(x, &fake)
		if _, err := x.takeFrom(frame.Client, &fake); !errors.Is(err, ErrHandOver) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(x *exported){
		"not complete":         func(x *exported) { x.HandshakeComplete = false },
		"another epoch":        func(x *exported) { x.LocalEpoch = 2 },
		"the peer's epoch":     func(x *exported) { x.RemoteEpoch = 0 },
		"no secret":            func(x *exported) { x.MasterSecret = nil },
		"a secret of zeros":    func(x *exported) { x.MasterSecret = make([]byte, 48) },
		"no random":            func(x *exported) { x.LocalRandom = [32]byte{} },
		"an unknown suite":     func(x *exported) { x.CipherSuiteID = tls.TLS_AES_128_GCM_SHA256 },
		"no number":            func(x *exported) { x.SequenceNumber = 0 },
		"a number of 49 bits":  func(x *exported) { x.SequenceNumber = maxSeq + 1 },
		"a long connection ID": func(x *exported) { x.LocalConnectionID = make([]byte, 256) },
	} {
		x := *good
		change(&x)
		if x.flaw() == "" {
			t.Errorf("%s is no flaw", name)
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
