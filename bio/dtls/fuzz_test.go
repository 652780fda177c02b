package dtls

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"slices"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// FuzzCut cuts arbitrary datagrams into records: they must lie one behind the other in it.
func FuzzCut(f *testing.F) {
	f.Add(plain(typeData, 1, 5, noise(30)...), 0)
	f.Add(append(plain(typeCCS, 0, 5, 1), plain(typeCID, 1, 0, noise(40)...)...), 8)
	f.Fuzz(func(t *testing.T, p []byte, cidLen int) {
		cidLen = int(uint8(cidLen))
		for rest := p; ; {
			r, next, ok := cut(rest, cidLen)
			if !ok {
				return
			}
			whole := append(bytes.Clone(r.raw), next...)
			if !bytes.Equal(whole, rest) || r.seq > maxSeq || !bytes.HasSuffix(r.raw, r.body) {
				t.Fatalf("%+v of %x", r, rest)
			}
			if (r.typ == typeCID) != (len(r.raw)-len(r.body) == headerLen+cidLen) && cidLen > 0 {
				t.Fatalf("%+v of %x", r, rest)
			}
			rest = next
		}
	})
}

// FuzzFragment cuts arbitrary bytes into parts of handshake messages.
func FuzzFragment(f *testing.F) {
	f.Add(message(msgFinished, 3, 12, 0, noise(12)))
	f.Fuzz(func(t *testing.T, p []byte) {
		for rest := p; len(rest) > 0; {
			m, next, ok := cutFragment(rest)
			if !ok {
				return
			}
			if m.len+msgHeaderLen+len(next) != len(rest) || m.offset+m.len > m.length {
				t.Fatalf("%+v of %x", m, rest)
			}
			rest = next
		}
	})
}

// FuzzPeekCID looks for connection IDs in arbitrary datagrams, and must find the one that is there.
func FuzzPeekCID(f *testing.F) {
	f.Add([]byte{}, []byte("12345678"))
	f.Add(plain(typeCCS, 0, 5, 1), []byte("1"))
	f.Fuzz(func(t *testing.T, p, cid []byte) {
		if got, ok := bio.PeekCID(p, len(cid)); ok && (len(got) != len(cid) || len(cid) == 0) {
			t.Fatalf("a connection ID of %d bytes, asked for one of %d", len(got), len(cid))
		}
		if len(cid) == 0 || len(cid) > maxCIDLen {
			return
		}
		header := plain(typeCID, 1, 7)
		d := append(append(bytes.Clone(header[:cidOffset]), cid...), 0, 0)
		if got, ok := bio.PeekCID(append(d, p...), len(cid)); !ok || !bytes.Equal(got, cid) {
			t.Fatalf("found %x, %v, want %x", got, ok, cid)
		}
	})
}

// FuzzState decodes arbitrary bytes as what pion exports: what is accepted must be fit to be continued.
func FuzzState(f *testing.F) {
	good := exported{HandshakeComplete: true, LocalEpoch: 1, RemoteEpoch: 1, CipherSuiteID: suites[0].id,
		MasterSecret: noise(48), SequenceNumber: 1, IsClient: true, LocalConnectionID: noise(8),
		LocalRandom: [32]byte(noise(32)), RemoteRandom: [32]byte(noise(64)[32:])}
	var b bytes.Buffer
	check(f, gob.NewEncoder(&b).Encode(good))
	f.Add(b.Bytes())
	if x, err := decodeState(b.Bytes()); err != nil || !reflect.DeepEqual(*x, good) {
		f.Fatalf("%+v, %v", x, err)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var fresh exported
		d, freshErr := new(stateDecoder), gob.NewDecoder(bytes.NewReader(p)).Decode(&fresh)
		for range 3 { // whoever has decoded before decodes alike
			var again exported
			if err := d.decode(p, &again); (err == nil) != (freshErr == nil) || !reflect.DeepEqual(again, fresh) {
				t.Fatalf("%+v, %v, want %+v, %v", again, err, fresh, freshErr)
			}
			if freshErr != nil {
				break
			}
		}
		x, err := decodeState(p)
		if (x == nil) == (err == nil) {
			t.Fatalf("%+v, %v", x, err)
		}
		if err != nil || x.flaw() != "" {
			return
		}
		if _, _, err := x.secrets().protections(frame.Client); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzServerHello looks for a ServerHello in arbitrary datagrams, and in what might be the body of one.
func FuzzServerHello(f *testing.F) {
	hello := slices.Concat([]byte{0xfe, 0xfd}, noise(32), []byte{2, 7, 8, 0xc0, 0x2b, 0, 0, 11},
		[]byte{0, 23, 0, 0, 0, extConnectionID, 0, 3, 2, 5, 6})
	good := parseServerHello(hello)
	if good == nil || !good.hasCID || !bytes.Equal(good.cid, []byte{5, 6}) || good.random != [32]byte(noise(32)) {
		f.Fatalf("%+v", good)
	}
	d := plain(typeHandshake, 0, 1, message(msgServerHello, 1, len(hello), 0, hello)...)
	var seed hearing
	seed.listen(append(plain(typeHandshake, 0, 0, message(msgClientHello, 0, 0, 0, nil)...), d...))
	if got := seed.certain(); !bytes.Equal(got, hello) {
		f.Fatalf("heard %x", got)
	}
	f.Add(hello)
	f.Add(hello[:len(hello)-1])
	f.Add(d)
	f.Fuzz(func(t *testing.T, p []byte) {
		var heard hearing
		heard.listen(p)
		for _, body := range [][]byte{p, heard.certain()} {
			h := parseServerHello(body)
			if h != nil && (!bytes.Equal(body[2:34], h.random[:]) || !bytes.Contains(body, h.cid)) {
				t.Fatalf("%+v of %x", h, body)
			}
		}
	})
}

// FuzzScreen sorts arbitrary datagrams during a handshake. What pion gets to see must be records that it can read,
// and what is kept must be bounded.
func FuzzScreen(f *testing.F) {
	f.Add(plain(typeHandshake, 0, 1, message(msgClientHello, 0, 40, 0, noise(40))...), 0, true)
	f.Add(append(plain(typeCCS, 0, 5, 1), plain(typeHandshake, 1, 0, noise(48)...)...), 8, true)
	f.Add(plain(typeData, 1, 3, noise(100)...), 8, true)
	f.Fuzz(func(t *testing.T, p []byte, cidLen int, keep bool) {
		var stats Stats
		s := screen{cidLen: int(uint8(cidLen)), budget: handshakeBudget, stats: &stats}
		for range 50 {
			for _, d := range s.sort(bytes.Clone(p), keep) {
				if len(d) == 0 || len(d) > maxRead {
					t.Fatalf("a datagram of %d bytes", len(d))
				}
				for len(d) > 0 {
					r, rest, ok := cut(d, s.cidLen)
					if !ok || r.epoch > 1 || r.typ == typeData || r.epoch == 1 && r.typ == typeAlert {
						t.Fatalf("pion would see %+v", r)
					}
					d = rest
				}
			}
		}
		if len(s.early) > maxEarly+spareEarly || s.earlyBytes > maxEarlyBytes+spareEarly*maxFinished || s.budget < 0 {
			t.Fatalf("%d records with %d bytes, budget %d", len(s.early), s.earlyBytes, s.budget)
		}
	})
}

// FuzzOpen gives arbitrary datagrams to established engines, with and without connection IDs. Without the keys,
// nobody can have anything delivered, answered or ended, and the next good record is still taken.
func FuzzOpen(f *testing.F) {
	type ends struct{ client, server *Engine }
	var pairs []ends
	for _, cid := range []int{0, 8} {
		client, server := benchPair(f, certSetup(f, ecKey).both(func(o *Options) { o.CIDLen = cid }))
		pairs = append(pairs, ends{client, server})
		d, _, err := client.Seal(nil, noise(100))
		check(f, err)
		d[len(d)-1] ^= 1
		f.Add(d, 0)
		f.Add(append(plain(typeAlert, 0, 1, alertFatal, 40), d...), 20)
	}
	f.Fuzz(func(t *testing.T, p []byte, segment int) {
		for _, pair := range pairs {
			if got, st, err := pair.server.Open(nil, bytes.Clone(p)); len(got) > 0 || st.Out > 0 || err != nil {
				t.Fatalf("Open returns %q, %+v, %v", got, st, err)
			}
			list, st, err := pair.server.OpenBatch(nil, bytes.Clone(p), segment)
			if len(list) > 0 || st.Out > 0 || err != nil {
				t.Fatalf("OpenBatch returns %q, %+v, %v", list, st, err)
			}
			d, _, err := pair.client.Seal(nil, p[:min(len(p), MaxMessage)])
			check(t, err)
			if got, _, err := pair.server.Open(nil, d); err != nil || !bytes.Equal(got, p[:min(len(p), MaxMessage)]) {
				t.Fatalf("a good record: %q, %v", got, err)
			}
		}
	})
}
