package dtls

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// bareHandshake shakes hands without engines, so that what they inherit can be looked at: pion is complete, and mute.
func (s *setup) bareHandshake(t *testing.T) (ends [2]*handshake, sent [2]trace) {
	t.Helper()
	var queues [2]queue
	wake := make(chan struct{}, 1)
	for role, cfg := range map[frame.Role]*bio.Config{frame.Client: &s.client, frame.Server: &s.server} {
		settled, err := settle(cfg, map[frame.Role]Options{frame.Client: s.clientOpts, frame.Server: s.serverOpts}[role])
		check(t, err)
		mem := newMemConn(fmt.Sprint("bare ", role), &queues[role], func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		ends[role], err = newHandshake(settled, role, mem, func() {})
		check(t, err)
	}
	done := make(chan error, 2)
	for _, h := range ends {
		go func() { done <- h.conn.HandshakeContext(t.Context()) }()
	}
	for open := 0; open < 2; {
		select {
		case err := <-done:
			check(t, err)
			open++
		case <-wake:
			for role := range ends {
				for d, _ := queues[role].pop(nil); len(d) > 0; d, _ = queues[role].pop(nil) {
					ends[1-role].mem.deliver(bytes.Clone(d))
				}
			}
		}
	}
	for role, h := range ends {
		sent[role] = h.mem.mute()
		t.Cleanup(func() { h.conn.Close() })
	}
	return ends, sent
}

// TestOverheard: what is put together of a connection's state is the state that pion exports.
func TestOverheard(t *testing.T) {
	kinds := map[string]func(t *testing.T) *setup{
		"certificate": func(t *testing.T) *setup {
			s := certSetup(t, ecKey)
			s.client.TLS.NextProtos, s.server.TLS.NextProtos = []string{"a"}, []string{"a"}
			s.client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			s.serverOpts.Sessions = NewSessionStore(2, time.Hour)
			return s
		},
		"psk":  func(*testing.T) *setup { return pskSetup().suite(TLS_PSK_WITH_AES_128_CCM_8) },
		"ccha": func(t *testing.T) *setup { return certSetup(t, ecKey).suite(suites[2].id) },
		"mtu":  func(t *testing.T) *setup { return certSetup(t, rsKey).both(func(o *Options) { o.MTU = minMTU }) },
	}
	for name, make := range kinds {
		for _, lens := range [][2]int{{0, 0}, {8, 8}, {0, 8}, {255, 0}, {1, 100}} {
			t.Run(fmt.Sprintf("%s/cid=%d,%d", name, lens[0], lens[1]), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := make(t).both(func(o *Options) { o.SendCID = true })
					s.clientOpts.CIDLen, s.serverOpts.CIDLen = lens[0], lens[1]
					s.overheard(t, false)
					if s.client.TLS != nil && s.client.TLS.ClientSessionCache != nil {
						s.overheard(t, true)
					}
				})
			})
		}
	}
}

func (s *setup) overheard(t *testing.T, resumed bool) {
	t.Helper()
	ends, sent := s.bareHandshake(t)
	for role, h := range ends {
		role := frame.Role(role)
		state, _ := h.conn.ConnectionState()
		want, err := encoded(&state)
		check(t, err)
		got, err := h.overheard(&state, parseServerHello(sent[role].heard.certain()), &sent[role])
		if sent[role].full == resumed {
			t.Fatalf("the %v resumes: %v", role, !sent[role].full)
		}
		if resumed && role == frame.Server { // what pion logs then is not enough
			if !errors.Is(err, ErrHandOver) {
				t.Errorf("the %v has heard %+v, %v", role, got, err)
			}
		} else {
			check(t, err)
			compareStates(t, role, got, want, resumed)
		}
		if _, err := h.export(&sent[role]); err != nil {
			t.Errorf("the %v: %v", role, err)
		}
	}
}

func compareStates(t *testing.T, role frame.Role, got, want *exported, resumed bool) {
	t.Helper()
	for _, x := range []*exported{got, want} {
		for _, p := range []*[]byte{&x.LocalConnectionID, &x.RemoteConnectionID, &x.IdentityHint} {
			if len(*p) == 0 || resumed && p != &x.IdentityHint {
				*p = nil
			}
		}
		if len(x.PeerCertificates) == 0 {
			x.PeerCertificates = nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the %v has heard\n%+v, pion exports\n%+v", role, got, want)
	}
}

// TestHeardWrong: what is put together from a ServerHello that somebody else has sent, or from less than all, is not
// believed, and pion asked.
func TestHeardWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, change := range map[string]func(h *handshake, sent *trace){
			"another hello": func(_ *handshake, sent *trace) { sent.heard.hello[5] ^= 1 },
			"no hello":      func(_ *handshake, sent *trace) { sent.heard.hello = nil },
			"two hellos": func(_ *handshake, sent *trace) {
				sent.heard.listen(plain(typeHandshake, 0, 9, message(msgServerHello, 1, 38, 0, noise(38))...))
			},
			"a part of one": func(_ *handshake, sent *trace) {
				sent.heard.listen(plain(typeHandshake, 0, 9, message(msgServerHello, 1, 99, 0, noise(38))...))
			},
			"half a hello":   func(_ *handshake, sent *trace) { sent.heard.hello = sent.heard.hello[:60] },
			"no secret":      func(h *handshake, _ *trace) { h.secret.known = false },
			"another secret": func(h *handshake, _ *trace) { h.secret.master[0] ^= 1 },
		} {
			ends, sent := certSetup(t, ecKey).both(func(o *Options) { o.CIDLen = 8 }).bareHandshake(t)
			var ests [2]*estate
			for role, h := range ends {
				sent[role].heard.hello = bytes.Clone(sent[role].heard.hello)
				change(h, &sent[role])
				state, _ := h.conn.ConnectionState()
				if x, err := h.overheard(&state, parseServerHello(sent[role].heard.certain()), &sent[role]); err == nil {
					if _, err = h.inherit(x, &sent[role]); !errors.Is(err, ErrHandOver) {
						t.Errorf("%s: the %v believes it: %v", name, frame.Role(role), err)
					}
				}
				var err error
				if ests[role], err = h.export(&sent[role]); err != nil {
					t.Fatalf("%s: the %v: %v", name, frame.Role(role), err)
				}
			}
			for role, est := range ests {
				peer := ests[1-role]
				r, _, ok := cut(est.tx.seal(nil, typeData, []byte(name)), len(peer.rx.cid))
				if got, _, v := peer.rx.open(nil, &r); !ok || v != authentic || string(got) != name {
					t.Errorf("%s: the %v opens %q, %v", name, frame.Role(1-role), got, v)
				}
			}
		}
	})
}
