package dtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/encase-tls/encase/frame"
	"github.com/pion/dtls/v3/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/pion/dtls/v3/pkg/protocol/recordlayer"
)

// pionCipher is the record protection of pion: a second implementation of the same RFCs.
type pionCipher interface {
	Encrypt(*recordlayer.RecordLayer, []byte) ([]byte, error)
	Decrypt(recordlayer.Header, []byte) ([]byte, error)
}

// testSecrets returns secrets with which nothing is symmetric.
func testSecrets(c *suite) *secrets {
	s := &secrets{suite: c}
	copy(s.master[:], noise(48))
	copy(s.client[:], noise(100)[50:])
	copy(s.server[:], noise(200)[100:])
	return s
}

// pionServer returns pion's cipher for the server's end, with keys from pion's own derivation.
func pionServer(t *testing.T, s *secrets) pionCipher {
	t.Helper()
	c := s.suite.cipher
	k, err := prf.GenerateEncryptionKeys(s.master[:], s.client[:], s.server[:], 0, c.keyLen, c.ivLen, s.suite.hash)
	check(t, err)
	var p pionCipher
	switch c {
	case chacha:
		p, err = ciphersuite.NewChaCha20Poly1305(k.ServerWriteKey, k.ServerWriteIV, k.ClientWriteKey, k.ClientWriteIV)
	case aes128GCM, aes256GCM:
		p, err = ciphersuite.NewGCM(k.ServerWriteKey, k.ServerWriteIV, k.ClientWriteKey, k.ClientWriteIV)
	default:
		p, err = ciphersuite.NewCCM(ciphersuite.CCMTagLen(c.tagLen), k.ServerWriteKey, k.ServerWriteIV,
			k.ClientWriteKey, k.ClientWriteIV)
	}
	check(t, err)
	return p
}

// halves returns both directions of the client's end.
func halves(t testing.TB, s *secrets, cid []byte) (*sender, *receiver) {
	t.Helper()
	write, read, err := s.protections(frame.Client)
	check(t, err)
	write.identify(cid)
	read.identify(cid)
	return &sender{protection: write, number: 1 << 48, blocks: write.maxBlocks},
		&receiver{protection: read, seen: newWindow(64)}
}

// TestAgainstPion lets pion seal what we open and open what we seal, with every cipher, hash and kind of header.
func TestAgainstPion(t *testing.T) {
	for _, c := range suites {
		for _, cid := range [][]byte{nil, []byte("c"), noise(maxCIDLen)} {
			t.Run(fmt.Sprintf("%#04x/cid=%d", c.id, len(cid)), func(t *testing.T) {
				s := testSecrets(c)
				theirs := pionServer(t, s)
				tx, rx := halves(t, s, cid)
				for i, size := range []int{0, 1, 15, 16, 17, 1350, MaxMessage} {
					seq := uint64(i) << 40 // all six bytes are used
					tx.number = 1<<48 | seq
					weSeal(t, tx, theirs, noise(size))
					theySeal(t, rx, theirs, seq, noise(size))
				}
			})
		}
	}
}

func weSeal(t *testing.T, tx *sender, theirs pionCipher, p []byte) {
	t.Helper()
	sealed := tx.seal(nil, typeData, p)
	if got := len(sealed) - len(p); got != tx.overhead() {
		t.Errorf("%d bytes: overhead %d, want %d", len(p), got, tx.overhead())
	}
	header := recordlayer.Header{ConnectionID: make([]byte, len(tx.cid))}
	opened, err := theirs.Decrypt(header, sealed)
	if err != nil {
		t.Fatalf("pion cannot open a record with %d bytes: %v", len(p), err)
	}
	content := opened[headerLen+len(tx.cid):]
	if len(tx.cid) > 0 {
		inner := &recordlayer.InnerPlaintext{}
		check(t, inner.Unmarshal(content))
		if inner.RealType != protocol.ContentTypeApplicationData {
			t.Errorf("pion sees the inner type %v", inner.RealType)
		}
		content = inner.Content
	}
	if !bytes.Equal(content, p) {
		t.Errorf("pion opens %d bytes to something else", len(p))
	}
}

func theySeal(t *testing.T, rx *receiver, theirs pionCipher, seq uint64, p []byte) {
	t.Helper()
	header := recordlayer.Header{ContentType: protocol.ContentTypeApplicationData, Version: protocol.Version1_2,
		Epoch: 1, SequenceNumber: seq, ContentLen: uint16(len(p))}
	content := p
	if len(rx.cid) > 0 {
		inner, err := (&recordlayer.InnerPlaintext{Content: p, RealType: header.ContentType, Zeros: 7}).Marshal()
		check(t, err)
		content, header.ContentType, header.ConnectionID = inner, protocol.ContentTypeConnectionID, rx.cid
		header.ContentLen = uint16(len(inner))
	}
	raw, err := header.Marshal()
	check(t, err)
	sealed, err := theirs.Encrypt(&recordlayer.RecordLayer{Header: header}, append(raw, content...))
	check(t, err)
	r, rest, ok := cut(sealed, len(rx.cid))
	if !ok || len(rest) > 0 {
		t.Fatalf("pion's record is none: %x", sealed[:headerLen])
	}
	out, typ, v := rx.open([]byte("dst"), &r)
	if v != authentic || typ != typeData || !bytes.Equal(out, append([]byte("dst"), p...)) {
		t.Errorf("a record of pion's with %d bytes: verdict %d, type %d", len(p), v, typ)
	}
	if _, _, v := rx.open(nil, &r); v != replayed {
		t.Errorf("the same record again: verdict %d", v)
	}
}

// TestPRF checks the pseudorandom function with the vectors that its authors have published.
// https://mailarchive.ietf.org/arch/msg/tls/fzVCzk-z3FShgGJ6DOXqM1ydxms
func TestPRF(t *testing.T) {
	unhex := func(s string) []byte {
		p, err := hex.DecodeString(s)
		check(t, err)
		return p
	}
	for _, test := range []struct {
		name         string
		hash         *suite
		secret, seed string
		want         string
	}{
		{"SHA-256", &suite{hash: sha256.New}, "9bbe436ba940f017b17652849a71db35", "a0ba9f936cda311827a6f796ffd5198c",
			"e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f" +
				"7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66"},
		{"SHA-384", &suite{hash: sha512.New384}, "b80b733d6ceefcdc71566ea48e5567df", "cd665cf6a8447dd6ff8b27555edb7465",
			"7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb4" +
				"00fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d9" +
				"0fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &secrets{suite: test.hash}
			copy(s.master[:], unhex(test.secret)) // HMAC pads a short key with the zeros that follow
			if got := s.prf(len(test.want)/2, "test label", unhex(test.seed)); hex.EncodeToString(got) != test.want {
				t.Errorf("got %x", got)
			}
		})
	}
}

// TestInPlace seals messages that lie where their ciphertext will, and opens records where they lie.
func TestInPlace(t *testing.T) {
	for _, cid := range [][]byte{nil, []byte("cid")} {
		for _, c := range suites {
			tx, _ := halves(t, testSecrets(c), cid)
			p := noise(1000)
			buf := make([]byte, tx.front()+len(p)+64)
			copy(buf[tx.front():], p)
			sealed := tx.seal(buf[:0], typeData, buf[tx.front():][:len(p)])
			if &sealed[0] != &buf[0] {
				t.Errorf("%#04x: the record is elsewhere", c.id)
			}
			rx := &receiver{protection: tx.protection, seen: newWindow(64)}
			r, _, _ := cut(sealed, len(cid))
			out, _, v := rx.open(r.body[rx.numLen:rx.numLen], &r)
			if v != authentic || !bytes.Equal(out, p) {
				t.Errorf("%#04x with a connection ID of %d bytes: verdict %d", c.id, len(cid), v)
			}
		}
	}
}

// TestChangedRecord changes each byte of a record: none must be taken, and none move the replay window.
func TestChangedRecord(t *testing.T) {
	for _, cid := range [][]byte{nil, []byte("cid")} {
		for _, c := range []*suite{suites[0], suiteByID(TLS_PSK_WITH_AES_128_CCM_8), suites[2]} {
			tx, _ := halves(t, testSecrets(c), cid)
			rx := &receiver{protection: tx.protection, seen: newWindow(64)}
			rx.identify(cid)
			sealed := tx.seal(nil, typeData, noise(50))
			for at := range sealed {
				changed := bytes.Clone(sealed)
				changed[at] ^= 1 << (at % 8)
				if r, _, ok := cut(changed, len(cid)); ok {
					if out, _, v := rx.open(nil, &r); v == authentic || len(out) > 0 {
						t.Errorf("%#04x: byte %d of the record changed: taken", c.id, at)
					}
				}
			}
			if r, _, _ := cut(sealed, len(cid)); rx.seen.next != 0 {
				t.Error("a forged record has moved the window")
			} else if _, _, v := rx.open(nil, &r); v != authentic {
				t.Errorf("%#04x: the record as it was: verdict %d", c.id, v)
			}
		}
	}
}

// TestOverlongPlaintext: a record that only the peer can make may still be longer than a record is.
func TestOverlongPlaintext(t *testing.T) {
	for _, cid := range [][]byte{nil, []byte("cid")} {
		tx, _ := halves(t, testSecrets(suites[0]), cid)
		rx := &receiver{protection: tx.protection, seen: newWindow(64)}
		for size, want := range map[int]verdict{MaxMessage: authentic, MaxMessage + 1: malformed, 18_000: malformed} {
			r, _, _ := cut(tx.seal(nil, typeData, noise(size)), len(cid))
			if out, _, v := rx.open(nil, &r); v != want || v != authentic && len(out) > 0 {
				t.Errorf("%d bytes: verdict %d, %d bytes out", size, v, len(out))
			}
		}
	}
}

// TestUnwrap takes padding off.
func TestUnwrap(t *testing.T) {
	for _, test := range []struct {
		in, want string
		typ      contentType
	}{
		{"at\x00\x00", "at", 0},
		{"at", "at", 0},
		{"at\x17", "at", typeData},
		{"at\x17\x00\x00\x00", "at", typeData},
		{"athello\x00\x15\x00", "athello\x00", typeAlert},
	} {
		if got, typ := unwrap([]byte(test.in), 2); string(got) != test.want || typ != test.typ {
			t.Errorf("%q: %q, type %d", test.in, got, typ)
		}
	}
}
