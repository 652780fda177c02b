package packet

import (
	"math/rand/v2"
	"testing"
)

// The checksum that Hop leaves is the one of the header that it leaves, for every header.
func TestHop(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		p := make([]byte, 20)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		p[0] = 0x45
		putHeaderChecksum(p)
		ttl := p[8]
		if went := Hop(p); went != (ttl > 1) || went && p[8] != ttl-1 || sum(p, 0) == 0 || fold(sum(p, 0)) != 0xffff {
			t.Fatalf("TTL %d: %v, % x", ttl, went, p)
		}
	}
	six := make([]byte, 40)
	six[0], six[7] = 0x60, 2
	if !Hop(six) || six[7] != 1 || Hop(six) || six[7] != 1 {
		t.Errorf("IPv6: hop limit %d", six[7])
	}
	four := []byte{0x45, 8: 64, 19: 1}
	putHeaderChecksum(four)
	four[10] ^= 1
	if Hop(four); fold(sum(four, 0)) == 0xffff {
		t.Error("a wrong checksum has become right")
	}
}
