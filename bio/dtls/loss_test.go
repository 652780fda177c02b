package dtls

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// TestBadNetwork shakes hands and talks over networks that lose, repeat and reorder up to half of all datagrams.
func TestBadNetwork(t *testing.T) {
	for _, rate := range []float64{0, 0.1, 0.3, 0.5} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprintf("%v/%d", rate, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := certSetup(t, ecKey)
					if seed%4 == 3 {
						s = pskSetup()
					}
					s.both(func(o *Options) {
						o.HandshakeTimeout = time.Hour
						o.CIDLen = int(seed%2) * 8
						o.MTU = []int{256, 600, 1500}[seed%3]
					})
					n := &network{loss: rate, dup: rate, reorder: rate, rng: rand.New(rand.NewPCG(seed, 0))}
					l := s.dial(t, n)
					l.handshake(t)
					for i := range 50 {
						l.talk(t, noise(100 + i)[i:])
					}
					l.once(t)
					l.uniqueNonces(t)
				})
			})
		}
	}
}

// once checks that no message was delivered more often than it was sealed.
func (l *link) once(t *testing.T) {
	t.Helper()
	for _, e := range l.ends() {
		e.mu.Lock()
		got := uint64(len(e.got))
		e.mu.Unlock()
		if sealed := e.peer.Stats().Sealed; got > sealed {
			t.Errorf("the %s got %d messages of %d", e.name, got, sealed)
		}
		if s := e.Stats(); s.Malformed+s.Forged+s.WrongEpoch > 0 {
			t.Errorf("the %s counts what nobody has sent: %+v", e.name, s)
		}
	}
}

// TestMTU checks that no datagram of a handshake is longer than was asked for, with certificates that are.
func TestMTU(t *testing.T) {
	for _, mtu := range []int{256, 257, 400, 576, 1200, 1280, 1500} {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := certSetup(t, rsKey), newAuthority(t)
				s.server.TLS.Certificates[0].Certificate = append(s.server.TLS.Certificates[0].Certificate,
					a.issue(t, ecKey, "padding.example").Certificate[0])
				s.server.TLS.ClientAuth, s.server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, a.pool
				s.client.TLS.Certificates = []tls.Certificate{a.issue(t, rsKey, "client.example")}
				s.both(func(o *Options) { o.MTU = mtu })
				l := s.dial(t, &network{})
				l.handshake(t)
				for _, e := range l.ends() {
					longest := len(slices.MaxFunc(e.sent, func(a, b []byte) int { return len(a) - len(b) }))
					if longest > mtu {
						t.Errorf("the %s sent a datagram of %d bytes", e.name, longest)
					}
				}
				l.talk(t, noise(100))
			})
		})
	}
}

// TestLostDatagrams loses, in a handshake that would otherwise go through, each datagram of each end, and each pair of
// neighbours; full and resumed, with and without connection IDs. Whatever is lost, the handshake must come to its end
// although both record layers have changed hands by then, data must flow, and no nonce be used twice.
func TestLostDatagrams(t *testing.T) {
	const most = 7 // datagrams of an end
	for _, resumed := range []bool{false, true} {
		for _, cid := range []int{0, 4} {
			repeated := uint64(0)
			for _, from := range []frame.Role{frame.Client, frame.Server} {
				for lost := range most {
					for run := 1; run <= 3; run++ {
						name := fmt.Sprintf("resumed=%v/cid=%d/%v/%d+%d", resumed, cid, from, lost, run)
						t.Run(name, func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) {
								repeated += loseSome(t, resumed, cid, from, lost, run)
							})
						})
					}
				}
			}
			if repeated == 0 {
				t.Errorf("resumed=%v/cid=%d: no last flight was repeated: this test sees nothing", resumed, cid)
			}
		}
	}
}

// loseSome returns how often the last flight was repeated.
func loseSome(t *testing.T, resumed bool, cid int, from frame.Role, lost, run int) uint64 {
	s := certSetup(t, ecKey)
	s.client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	s.serverOpts.Sessions = NewSessionStore(2, time.Hour)
	s.both(func(o *Options) { o.CIDLen, o.HandshakeTimeout = cid, time.Hour })
	if resumed {
		s.run(t, func(*link) {})
	}
	n := &network{fate: func(role frame.Role, nth int) bool {
		return role != from || nth < lost || nth >= lost+run
	}}
	l := s.dial(t, n)
	l.handshake(t)
	if got := l.client.State().TLS.DidResume; got != resumed {
		t.Fatalf("DidResume is %v", got)
	}
	l.talk(t, noise(200))
	time.Sleep(5 * time.Minute) // for what pion might still want to say
	l.talk(t, noise(300))
	l.uniqueNonces(t)
	return l.client.Stats().Repeated + l.server.Stats().Repeated
}

// uniqueNonces checks all that each end has sent: the protected records that have a number are all the same record, and
// the nonce in the record is its number.
func (l *link) uniqueNonces(t *testing.T) {
	t.Helper()
	for _, e := range l.ends() {
		e.mu.Lock()
		sent := slices.Clone(e.sent)
		e.mu.Unlock()
		byNumber, protected := map[uint64][]byte{}, 0
		for _, d := range sent {
			for len(d) > 0 {
				r, rest, ok := cut(d, len(e.peer.LocalCID()))
				if !ok {
					t.Fatalf("the %s sent what is no record: %x", e.name, d)
				}
				if d = rest; r.epoch == 0 {
					continue
				}
				protected++
				number := binary.BigEndian.Uint64(r.raw[3:])
				if before, used := byNumber[number]; used && !bytes.Equal(before, r.raw) {
					t.Errorf("the %s used the number %#x for two records", e.name, number)
				}
				byNumber[number] = r.raw
				explicit := suiteByID(e.State().TLS.CipherSuite).cipher.numLen > 0
				if nonce := binary.BigEndian.Uint64(r.body); explicit && nonce != number {
					t.Fatalf("the %s used the nonce %#x in record %#x", e.name, nonce, number)
				}
			}
		}
		if protected < 3 {
			t.Errorf("the %s sent %d protected records: this test sees nothing", e.name, protected)
		}
	}
}

// TestEarlyData sends data right behind the last flight, which is lost: what was sent before the handshake of the
// peer was done is delivered when it is.
func TestEarlyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		n.fate = func(from frame.Role, nth int) bool { return from == frame.Client || nth != 2 }
		l := certSetup(t, ecKey).dial(t, n)
		l.server.until(t, "the handshake", func() bool { return l.server.State().Phase == bio.PhaseOpen })
		if p := l.client.State().Phase; p != bio.PhaseHandshake {
			t.Fatalf("the client is in phase %v, though the last flight was lost", p)
		}
		for i := range maxEarly {
			l.server.say(t, noise(100+i))
		}
		l.server.say(t, []byte("one too many"))
		l.handshake(t)
		l.client.until(t, "early data", func() bool { return len(l.client.got) == maxEarly })
		synctest.Wait()
		s := l.client.Stats()
		if s.Early != maxEarly+1 || s.EarlyLost != 1 || l.server.Stats().Repeated != 1 {
			t.Errorf("client %+v, server %+v", s, l.server.Stats())
		}
	})
}

// TestEarlyClose sends data and close_notify right behind the last flight. pion must not see them: it would end the
// connection while that is being taken over.
func TestEarlyClose(t *testing.T) {
	for _, cid := range []int{0, 4} {
		s := certSetup(t, ecKey).both(func(o *Options) { o.CIDLen = cid })
		for range 50 {
			l := s.dial(t, &network{})
			l.server.until(t, "the handshake", func() bool { return l.server.State().Phase == bio.PhaseOpen })
			l.server.say(t, []byte("all there is to say"))
			check(t, l.server.CloseWrite())
			l.server.notify()
			l.client.until(t, "close_notify", func() bool { return l.client.events[bio.EventPeerClosed] > 0 })
			if got := l.client.got; len(got) != 1 || string(got[0]) != "all there is to say" {
				t.Fatalf("the client got %q", got)
			}
			l.close()
		}
	}
}

// TestNobodyThere ends the handshake of a client that nobody answers, after a time that was asked for.
func TestNobodyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := certSetup(t, ecKey)
		s.clientOpts.HandshakeTimeout = 20 * time.Second
		l := s.dial(t, &network{fate: func(frame.Role, int) bool { return false }})
		err := l.client.fails(t)
		if took := time.Since(start).Round(time.Second); took != 20*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the client says: %v", err)
		}
		// 0, 1, 3, 7 and 15 s
		if n := len(l.client.sent); n != 5 {
			t.Errorf("the client has asked %d times, want 5", n)
		}
	})
}
