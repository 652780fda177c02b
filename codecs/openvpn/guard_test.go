package openvpn

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math"
	"os"
	"testing"

	"github.com/encase-tls/encase/frame"
)

// The counter mode is that of the standard library, also where the counter overflows.
func TestCounterMode(t *testing.T) {
	var key half
	c := newCryptor(&key)
	block, err := aes.NewCipher(key.cipher[:aes256Len])
	if err != nil {
		t.Fatal(err)
	}
	for _, iv := range []string{"0123456789abcdef", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
		"0123\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		for _, n := range []int{0, 1, 15, 16, 17, 100} {
			got, want := make([]byte, n), make([]byte, n)
			c.xor(got, []byte(iv))
			cipher.NewCTR(block, []byte(iv)).XORKeyStream(want, want)
			if !bytes.Equal(got, want) {
				t.Errorf("iv %x, %d bytes: %x, want %x", iv, n, got, want)
			}
		}
	}
}

func TestReplayWindow(t *testing.T) {
	type packet struct {
		id, time uint32
		new      bool
	}
	for name, packets := range map[string][]packet{
		"in order":      {{1, 9, true}, {2, 9, true}, {2, 9, false}, {1, 9, false}, {3, 9, true}},
		"out of order":  {{3, 9, true}, {1, 9, true}, {2, 9, true}, {1, 9, false}, {3, 9, false}, {2, 9, false}},
		"begins late":   {{0x0f000001, 9, true}, {0x0f000000, 9, true}, {1, 9, false}},
		"edge":          {{100, 9, true}, {37, 9, true}, {36, 9, false}, {37, 9, false}},
		"edge moves":    {{100, 9, true}, {101, 9, true}, {38, 9, true}, {37, 9, false}},
		"far ahead":     {{1, 9, true}, {65, 9, true}, {1, 9, false}, {2, 9, true}, {1 << 31, 9, true}, {65, 9, false}},
		"later time":    {{7, 9, true}, {7, 10, true}, {7, 10, false}, {8, 9, false}, {1, 11, true}},
		"earlier time":  {{7, 9, true}, {8, 8, false}, {8, 9, true}},
		"without times": {{1, 0, true}, {1, 0, false}, {2, 0, true}},
	} {
		var w replayWindow
		for i, p := range packets {
			if got := w.accept(stamp{p.id, p.time}); got != p.new {
				t.Errorf("%s: packet %d is new: %t", name, i, got)
			}
		}
	}
}

// Replay ids that are used up begin anew with a later time, whatever the clock says.
func TestStampsBeginAnew(t *testing.T) {
	s := stamp{math.MaxUint32 - 1, 9}
	var w replayWindow
	for _, want := range []stamp{{math.MaxUint32, 9}, {1, 10}, {2, 10}} {
		if got := s.next(8); got != want || !w.accept(got) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// guards returns pairs of guards: what the first seals, the second opens.
func guards(tb testing.TB) map[string][2]guard {
	tb.Helper()
	var raw [staticLen]byte
	for i := range raw {
		raw[i] = byte(i)
	}
	key := staticKey(&raw)
	all := map[string][2]guard{}
	for name, o := range map[string]Options{"auth": {Auth: key, Digest: SHA384}, "crypt": {Crypt: key}} {
		var pair [2]guard
		for role := range pair {
			g, err := o.guard(frame.Role(role))
			if err != nil {
				tb.Fatal(err)
			}
			pair[role] = g
		}
		all[name] = pair
	}
	return all
}

// What was sealed opens, and nothing that was changed in any bit.
func TestGuards(t *testing.T) {
	for name, pair := range guards(t) {
		sealed := make([]byte, headerLen+pair[0].overhead(), 200)
		sealed = append(sealed, "some control packet"...)
		pair[0].seal(sealed, stamp{5, 6})
		body, s, err := pair[1].open(bytes.Clone(sealed), true)
		if err != nil || string(body) != "some control packet" || s != (stamp{5, 6}) {
			t.Errorf("%s: %q, %v, %v", name, body, s, err)
		}
		if _, _, err := pair[0].open(bytes.Clone(sealed), true); err != errMAC {
			t.Errorf("%s: its own packet, sent back: %v", name, err)
		}
		for bit := range 8 * len(sealed) {
			p := bytes.Clone(sealed)
			p[bit/8] ^= 1 << (bit % 8)
			if _, _, err := pair[1].open(p, true); err != errMAC {
				t.Errorf("%s: bit %d is changed: %v", name, bit, err)
			}
		}
	}
}

// v2Guards returns the guards of both ends with keys that OpenVPN has made, and the key as the client shows it.
func v2Guards(tb testing.TB) (client, server guard, wrapped []byte) {
	tb.Helper()
	var o [2]Options
	for i, name := range []string{"client", "server"} {
		text, err := os.ReadFile("testdata/tls-crypt-v2-" + name + ".key")
		if err != nil {
			tb.Fatal(err)
		}
		if i == 0 {
			o[i].ClientKey, err = ParseClientKey(text)
		} else {
			o[i].ServerKey, err = ParseServerKey(text)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	client, err := o[0].guard(frame.Client)
	if err != nil {
		tb.Fatal(err)
	}
	if server, err = o[1].guard(frame.Server); err != nil {
		tb.Fatal(err)
	}
	return client, server, o[0].ClientKey.wrapped
}

// A server of tls-crypt-v2 takes the key that the client shows, and no other, and a packet without a key not before a
// session has begun with one.
func TestKeyedGuard(t *testing.T) {
	client, server, wrapped := v2Guards(t)
	packet := func(op opcode) []byte {
		p := make([]byte, headerLen+client.overhead(), 200)
		p[0] = byte(op) << opcodeShift
		p = append(p, "body"...)
		client.seal(p, stamp{1, 1})
		return p
	}
	if _, _, err := server.open(packet(control), false); err != errNoWKC {
		t.Errorf("a packet without a key: %v", err)
	}
	for i := range wrapped {
		w := bytes.Clone(wrapped)
		w[i] ^= 1
		if _, _, err := server.open(append(packet(resetClientV3), w...), true); err != errWKC {
			t.Errorf("byte %d of the wrapped key is changed: %v", i, err)
		}
	}
	for _, n := range []int{0, 1, 2, 33, 34, 35, minWrapped - 1, len(wrapped) + 100, math.MaxUint16} {
		p := append(packet(resetClientV3), wrapped...)
		binary.BigEndian.PutUint16(p[len(p)-2:], uint16(n))
		if _, _, err := server.open(p, true); err != errWKC {
			t.Errorf("the wrapped key says that it has %d bytes: %v", n, err)
		}
	}
	keyed := server.(*keyedGuard)
	for range 2 {
		before := keyed.offered.crypt
		body, _, err := server.open(append(packet(resetClientV3), wrapped...), true)
		if before != nil && keyed.offered.crypt != before {
			t.Error("a key that is shown again is made ready for use again")
		}
		if keyed.scratch != ([maxWrapped]byte{}) {
			t.Error("the key of a client stays where it was unwrapped")
		}
		if err != nil || string(body) != "body" {
			t.Errorf("%q, %v", body, err)
		}
		if _, _, err := server.open(packet(control), false); err != errNoWKC {
			t.Errorf("before the session has begun: %v", err)
		}
	}
	bent := bytes.Clone(wrapped)
	bent[tagLen] ^= 1
	if _, _, err := server.open(append(packet(resetClientV3), bent...), true); err != errWKC {
		t.Errorf("a key that is known, but for one bit: %v", err)
	}
	other, otherWrapped := wrapKey(keyed.key, "another client")
	p := make([]byte, headerLen+other.overhead(), 1000)
	p[0] = byte(resetClientV3) << opcodeShift
	other.seal(p, stamp{1, 1})
	if _, _, err := server.open(append(p, otherWrapped...), true); err != nil {
		t.Errorf("another client: %v", err)
	}
	if _, _, err := server.open(append(packet(resetClientV3), wrapped...), true); err != nil {
		t.Errorf("the first again: %v", err)
	}
	server.begin()
	for _, p := range [][]byte{packet(control), append(packet(controlWKC), wrapped...)} {
		if body, _, err := server.open(p, false); err != nil || string(body) != "body" {
			t.Errorf("%q, %v", body, err)
		}
	}
	for _, op := range []opcode{controlWKC, resetClientV3} {
		p := make([]byte, headerLen+other.overhead(), 1000)
		p[0] = byte(op) << opcodeShift
		other.seal(p, stamp{1, 1})
		if _, _, err := server.open(append(p, otherWrapped...), false); err != errNewWKC {
			t.Errorf("another client's packet of kind %d in this session: %v", op, err)
		}
	}
}

// wrapKey returns a client's guard with a key of its own, and that key, wrapped with the server's.
func wrapKey(server *cryptor, key string) (guard, []byte) {
	var raw [staticLen]byte
	copy(raw[:], key)
	p := make([]byte, tagLen+staticLen+2)
	text, length := p[tagLen:tagLen+staticLen], p[tagLen+staticLen:]
	copy(text, raw[:])
	binary.BigEndian.PutUint16(length, uint16(len(p)))
	server.seal(p[:tagLen], length, text)
	return newCryptGuard(staticKey(&raw), frame.Client), p
}

// A packet may have payload and wrapped key: only the payload is TLS.
func TestPayloadBeforeKey(t *testing.T) {
	client, _, wrapped := v2Guards(t)
	text, err := os.ReadFile("testdata/tls-crypt-v2-server.key")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseServerKey(text)
	if err != nil {
		t.Fatal(err)
	}
	mk, err := New(Options{ServerKey: key, SessionID: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := mk(frame.Server)
	if err != nil {
		t.Fatal(err)
	}
	recv := func(op opcode, id uint32, body string) []frame.Event {
		p := append([]byte{byte(op) << opcodeShift}, "client's"...)
		p = append(append(p, make([]byte, client.overhead())...), body...)
		client.seal(p, stamp{id, 1})
		ev, err := server.Recv(nil, frame.NewBuf(0, append(p, wrapped...), 0))
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	recv(resetClientV3, 1, "\x00\x00\x00\x00\x00")
	ev := recv(controlWKC, 2, "\x01\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x01hello")
	if len(ev) != 2 || ev[0].Kind != frame.In || string(ev[0].Buf.Bytes()) != "hello" {
		t.Errorf("%d events, not TLS and an acknowledgement", len(ev))
	}
}

// No bytes that a stranger makes up are opened, nor do they panic. The seeds are good packets with one bit changed, so
// the fuzzer happens on the good ones as well: those do open.
func FuzzOpen(f *testing.F) {
	all := guards(f)
	client, server, wrapped := v2Guards(f)
	all["v2"] = [2]guard{client, server}
	sealed := map[string][]byte{}
	for name, pair := range all {
		p := make([]byte, headerLen+pair[0].overhead()+20)
		p[0] = byte(resetClientV3) << opcodeShift
		pair[0].seal(p, stamp{1, 1})
		if name == "v2" {
			p = append(p, wrapped...)
		}
		sealed[name] = bytes.Clone(p)
		f.Add(p)
		p[headerLen] ^= 1
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		for name, pair := range all {
			if len(p) < headerLen+pair[1].overhead() {
				continue
			}
			_, _, err := pair[1].open(bytes.Clone(p), true)
			if good := bytes.Equal(p, sealed[name]); good != (err == nil) {
				t.Errorf("%s: a good packet is %t, %v: %x", name, good, err, p)
			}
		}
	})
}

// Whatever is parsed is within the bytes that were given, and says what they say.
func FuzzPacket(f *testing.F) {
	f.Add([]byte{4 << 3, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 1, 22, 3, 3})
	f.Add([]byte{5 << 3, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, p []byte) {
		c, err := parseHeader(p)
		if err != nil {
			return
		}
		if err := c.parseBody(p[headerLen:]); err != nil {
			return
		}
		q := append([]byte{byte(c.op)<<opcodeShift | c.key}, c.session[:]...)
		q = append(append(q, byte(len(c.acks)/idLen)), c.acks...)
		if len(c.acks) > 0 {
			q = append(q, c.peer[:]...)
		}
		if c.op != ack {
			q = append(binary.BigEndian.AppendUint32(q, c.id), c.payload...)
		}
		if !bytes.HasPrefix(p, q) || c.op != ack && len(q) != len(p) {
			t.Errorf("%x is understood as %x", p, q)
		}
	})
}
