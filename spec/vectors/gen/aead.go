package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/big"
	"math/bits"
	"slices"
)

// The ciphers of the records of DTLS, written out except for AES-GCM. They need not be fast.

// sealGCM is AES-GCM.
func sealGCM(key, nonce, plaintext, additional []byte) []byte {
	gcm, err := cipher.NewGCM(aesBlock(key))
	if err != nil {
		panic(err) // a mistake in this program
	}
	return gcm.Seal(nil, nonce, plaintext, additional)
}

func aesBlock(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // a mistake in this program
	}
	return block
}

// sealCCM returns AES-CCM with a tag of tagLen bytes, for nonces of 12 bytes.
// https://www.rfc-editor.org/rfc/rfc3610#section-2
func sealCCM(tagLen int) func(key, nonce, plaintext, additional []byte) []byte {
	return func(key, nonce, plaintext, additional []byte) []byte {
		block := aesBlock(key)
		mac := cbcMAC(block, tagLen, nonce, plaintext, additional)
		counter := slices.Concat([]byte{ccmLengthLen - 1}, nonce, make([]byte, ccmLengthLen))
		stream := cipher.NewCTR(block, counter)
		tag := make([]byte, aes.BlockSize)
		stream.XORKeyStream(tag, mac)
		sealed := make([]byte, len(plaintext))
		stream.XORKeyStream(sealed, plaintext)
		return append(sealed, tag[:tagLen]...)
	}
}

// ccmLengthLen is L of RFC 3610: what a nonce of 12 bytes leaves for the length of the plaintext.
const ccmLengthLen = 3

func cbcMAC(block cipher.Block, tagLen int, nonce, plaintext, additional []byte) []byte {
	const hasAdditional = 0x40
	flags := hasAdditional | byte(tagLen-2)/2<<3 | ccmLengthLen - 1
	length := binary.BigEndian.AppendUint32(nil, uint32(len(plaintext)))
	input := slices.Concat([]byte{flags}, nonce, length[1:])
	input = binary.BigEndian.AppendUint16(input, uint16(len(additional)))
	input = padded(append(input, additional...))
	input = padded(append(input, plaintext...))
	mac := make([]byte, aes.BlockSize)
	for part := range slices.Chunk(input, aes.BlockSize) {
		for i, b := range part {
			mac[i] ^= b
		}
		block.Encrypt(mac, mac)
	}
	return mac
}

// padded returns p with zeros up to a multiple of 16.
func padded(p []byte) []byte { return append(p, make([]byte, -len(p)&15)...) }

// sealChaCha is ChaCha20-Poly1305. https://www.rfc-editor.org/rfc/rfc8439#section-2.8
func sealChaCha(key, nonce, plaintext, additional []byte) []byte {
	sealed := slices.Clone(plaintext)
	for i := range sealed {
		if i%64 == 0 {
			stream := chachaBlock(key, nonce, uint32(1+i/64))
			for k := i; k < min(i+64, len(sealed)); k++ {
				sealed[k] ^= stream[k-i]
			}
		}
	}
	message := slices.Concat(padded(slices.Clone(additional)), padded(slices.Clone(sealed)))
	message = binary.LittleEndian.AppendUint64(message, uint64(len(additional)))
	message = binary.LittleEndian.AppendUint64(message, uint64(len(sealed)))
	once := chachaBlock(key, nonce, 0)
	return append(sealed, poly1305(once[:32], message)...)
}

// chachaBlock returns 64 bytes of key stream. https://www.rfc-editor.org/rfc/rfc8439#section-2.3
func chachaBlock(key, nonce []byte, counter uint32) []byte {
	var start [16]uint32
	for i, p := 0, slices.Concat([]byte("expand 32-byte k"), key, make([]byte, 4), nonce); i < 16; i++ {
		start[i] = binary.LittleEndian.Uint32(p[4*i:])
	}
	start[12] = counter
	s := start
	quarter := func(a, b, c, d int) {
		s[a] += s[b]
		s[d] = bits.RotateLeft32(s[d]^s[a], 16)
		s[c] += s[d]
		s[b] = bits.RotateLeft32(s[b]^s[c], 12)
		s[a] += s[b]
		s[d] = bits.RotateLeft32(s[d]^s[a], 8)
		s[c] += s[d]
		s[b] = bits.RotateLeft32(s[b]^s[c], 7)
	}
	for range 10 {
		for i := range 4 {
			quarter(i, i+4, i+8, i+12)
		}
		for i := range 4 {
			quarter(i, (i+1)%4+4, (i+2)%4+8, (i+3)%4+12)
		}
	}
	var out []byte
	for i := range s {
		out = binary.LittleEndian.AppendUint32(out, s[i]+start[i])
	}
	return out
}

// poly1305 returns the tag of a message. https://www.rfc-editor.org/rfc/rfc8439#section-2.5
func poly1305(key, message []byte) []byte {
	number := func(littleEndian []byte) *big.Int {
		p := slices.Clone(littleEndian)
		slices.Reverse(p)
		return new(big.Int).SetBytes(p)
	}
	clamp := slices.Clone(key[:16])
	for i := range clamp {
		switch {
		case i%4 == 3:
			clamp[i] &= 15
		case i%4 == 0 && i > 0:
			clamp[i] &= 252
		}
	}
	r, sum := number(clamp), new(big.Int)
	prime := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 130), big.NewInt(5))
	for part := range slices.Chunk(message, 16) {
		sum.Add(sum, number(append(slices.Clone(part), 1)))
		sum.Mod(sum.Mul(sum, r), prime)
	}
	sum.Add(sum, number(key[16:]))
	tag := make([]byte, 32)
	sum.And(sum, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))).FillBytes(tag)
	slices.Reverse(tag)
	return tag[:16]
}
