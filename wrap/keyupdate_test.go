package wrap_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap"
)

// A forger is a client of TLS 1.3 that can ask for new keys, which crypto/tls cannot be made to do. It reads with
// crypto/tls and writes with its own hands.
type forger struct {
	*tls.Conn
	wire   net.Conn
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// newForger shakes hands with s.
func newForger(t *testing.T, wire net.Conn, cfg *tls.Config, s *wrap.Conn) *forger {
	t.Helper()
	var log bytes.Buffer
	cfg.KeyLogWriter = &log
	f := &forger{Conn: tls.Client(wire, cfg), wire: wire}
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := f.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if f.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("this machine prefers %s", tls.CipherSuiteName(f.ConnectionState().CipherSuite))
	}
	for line := range strings.Lines(log.String()) {
		if fields := strings.Fields(line); fields[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(fields[2])
			if err != nil {
				t.Fatal(err)
			}
			f.use(secret)
		}
	}
	return f
}

// use derives the keys of a secret.
// https://www.rfc-editor.org/rfc/rfc8446#section-7.3
func (f *forger) use(secret []byte) {
	block, err := aes.NewCipher(expandLabel(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	if f.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	f.secret, f.iv, f.seq = secret, expandLabel(secret, "iv", 12), 0
}

// expandLabel is HKDF-Expand-Label with an empty context.
// https://www.rfc-editor.org/rfc/rfc8446#section-7.1
func expandLabel(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append(binary.BigEndian.AppendUint16(nil, uint16(n)), byte(len(label)))
	out, err := hkdf.Expand(sha256.New, secret, string(info)+label+"\x00", n)
	if err != nil {
		panic(err)
	}
	return out
}

// record returns one protected record.
// https://www.rfc-editor.org/rfc/rfc8446#section-5.2
func (f *forger) record(typ byte, content []byte) []byte {
	inner := append(bytes.Clone(content), typ)
	header := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+f.aead.Overhead()))
	nonce := bytes.Clone(f.iv)
	low := nonce[len(nonce)-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^f.seq)
	f.seq++
	return f.aead.Seal(header, nonce, inner, header)
}

// update returns a KeyUpdate that asks for one in return, and data under the new keys.
// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.3
func (f *forger) update(data string) []byte {
	const handshake, applicationData = 22, 23
	out := f.record(handshake, []byte{24, 0, 0, 1, 1})
	f.use(expandLabel(f.secret, "traffic upd", sha256.Size))
	return append(out, f.record(applicationData, []byte(data))...)
}

// TestKeyUpdateBesideWriter asks for new keys while a Write is blocked and its queue is small: the Read that must
// answer does not wait, and what the writer has sealed before and after the answer can be read.
func TestKeyUpdateBesideWriter(t *testing.T) {
	client, server := wrapConfigs(t, "")
	server.WriteBuffer = 4 << 10
	a, b := bio.Pair(1000)
	s := wrap.Server(wrap.Stream(b), server)
	defer s.Close()
	f := newForger(t, a, client.TLS, s)
	want := noise(300<<10, 9)
	wrote := make(chan error, 1)
	go func() {
		_, err := s.Write(want)
		wrote <- err
	}()
	for range 10 {
		if _, err := f.wire.Write(f.update("and now?")); err != nil {
			t.Fatal(err)
		}
		expect(t, s, "and now?")
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the peer reads: %v", err)
	}
	if err := <-wrote; err != nil {
		t.Errorf("Write: %v", err)
	}
	send(t, s, f, "in the end")
}

// TestKeyUpdateStorm asks again and again and does not read: that is the peer's fault, and costs a bounded queue.
func TestKeyUpdateStorm(t *testing.T) {
	client, server := wrapConfigs(t, "")
	a, b := bio.Pair(1000)
	s := wrap.Server(wrap.Stream(b), server)
	f := newForger(t, a, client.TLS, s)
	go func() {
		for {
			if _, err := f.wire.Write(f.update("x")); err != nil {
				return
			}
		}
	}()
	wantErr(t, "Read", readErr(t, s), bio.ErrTooMuch)
	if n := s.Stats().FramesOut; n > 1000 {
		t.Errorf("%d answers were queued", n)
	}
	s.Close()
}

// TestManyKeyUpdates asks as often and reads: that is allowed.
func TestManyKeyUpdates(t *testing.T) {
	client, server := wrapConfigs(t, "")
	a, b := bio.Pair(1000)
	s := wrap.Server(wrap.Stream(b), server)
	defer s.Close()
	f := newForger(t, a, client.TLS, s)
	for range 2000 {
		if _, err := f.wire.Write(f.update("x")); err != nil {
			t.Fatal(err)
		}
		expect(t, s, "x")
		send(t, s, f, "y") // crypto/tls takes no more than 16 KeyUpdates without data between them
	}
}
