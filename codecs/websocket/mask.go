package websocket

import (
	"crypto/rand"
	"encoding/binary"
)

// mask combines p with the key, which begins at p[0], and a second time undoes it. Eight bytes at a time, four times
// in a row, it runs at the speed of memory; crypto/subtle.XORBytes would first need the key repeated, and is slower
// for it.
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-5.3
func mask(p []byte, key [keyLen]byte) {
	k := uint64(binary.LittleEndian.Uint32(key[:]))
	k |= k << 32
	for len(p) >= 32 {
		q := p[:32:32]
		binary.LittleEndian.PutUint64(q, binary.LittleEndian.Uint64(q)^k)
		binary.LittleEndian.PutUint64(q[8:], binary.LittleEndian.Uint64(q[8:])^k)
		binary.LittleEndian.PutUint64(q[16:], binary.LittleEndian.Uint64(q[16:])^k)
		binary.LittleEndian.PutUint64(q[24:], binary.LittleEndian.Uint64(q[24:])^k)
		p = p[32:]
	}
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^k)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(k >> (8 * i))
	}
}

// A keySource hands out masking keys that cannot be predicted, each once. It asks the system for 64 at a time.
type keySource struct {
	random [64 * keyLen]byte
	left   int // bytes at the end of random not yet handed out
}

func (s *keySource) next() (key [keyLen]byte) {
	if s.left == 0 {
		rand.Read(s.random[:]) // never fails
		s.left = len(s.random)
	}
	at := s.random[len(s.random)-s.left:]
	copy(key[:], at)
	clear(at[:keyLen])
	s.left -= keyLen
	return key
}
