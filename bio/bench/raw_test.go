// Package bench measures what bounds package bio: the bare AEAD under every record, here, and OpenSSL's memory BIOs
// doing the same work, in openssl_membio.c. The figures of the engine for streams are benchmarks of package bio; those
// for datagrams are here, beside pion's.
package bench

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"testing"
)

const (
	recordHeaderLen = 5 // https://www.rfc-editor.org/rfc/rfc8446#section-5.1
	maxPlaintext    = 16384
	gcmNonceLen     = 12
	gcmTagLen       = 16
)

// BenchmarkRecord/aead/SIZE seals and opens SIZE bytes in place with AES-128-GCM, with the additional data and the
// nonce of a TLS 1.3 record and nothing else of one. No engine over crypto/tls can be faster.
func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{1350, 1400, maxPlaintext} {
		b.Run(fmt.Sprintf("aead/%d", size), func(b *testing.B) { benchmarkAEAD(b, size) })
	}
}

func benchmarkAEAD(b *testing.B, size int) {
	aead := newAES128GCM(b)
	header := recordHeader(size + aead.Overhead())
	nonce := make([]byte, gcmNonceLen)
	buf := make([]byte, size, size+aead.Overhead())
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for seq := uint64(0); b.Loop(); seq++ {
		binary.BigEndian.PutUint64(nonce[gcmNonceLen-8:], seq)
		sealed := aead.Seal(buf[:0], nonce, buf, header)
		if _, err := aead.Open(sealed[:0], nonce, sealed, header); err != nil {
			b.Fatal(err)
		}
	}
}

func newAES128GCM(b *testing.B) cipher.AEAD {
	b.Helper()
	block, err := aes.NewCipher([]byte("0123456789abcdef"))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	if aead.NonceSize() != gcmNonceLen || aead.Overhead() != gcmTagLen {
		b.Fatalf("nonce of %d bytes and tag of %d, want those of TLS", aead.NonceSize(), aead.Overhead())
	}
	return aead
}

// recordHeader returns the additional data of a TLS 1.3 record whose ciphertext has n bytes.
func recordHeader(n int) []byte {
	h := make([]byte, recordHeaderLen)
	h[0], h[1], h[2] = 23, 3, 3 // application_data, legacy_record_version
	binary.BigEndian.PutUint16(h[3:], uint16(n))
	return h
}
