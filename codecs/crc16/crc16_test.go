package crc16_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/encase-tls/encase/codecs/crc16"
)

// The checksums of the nine digits are those of https://reveng.sourceforge.io/crc-catalogue/16.htm.
func TestCatalogue(t *testing.T) {
	for _, c := range []struct {
		name  string
		table *crc16.Table
		want  uint16
	}{
		{"ARC", crc16.Reflected(0xa001, 0, 0), 0xbb3d},
		{"IBM-3740", crc16.Straight(0x1021, 0xffff), 0x29b1},
		{"IBM-SDLC", crc16.X25, 0x906e},
		{"KERMIT", crc16.Reflected(0x8408, 0, 0), 0x2189},
		{"MODBUS", crc16.Reflected(0xa001, 0xffff, 0), 0x4b37},
		{"XMODEM", crc16.Straight(0x1021, 0), 0x31c3},
	} {
		if got := c.table.Checksum([]byte("123456789")); got != c.want {
			t.Errorf("%s: %04x, want %04x", c.name, got, c.want)
		}
	}
}

// Eight bytes at a step come to the same as one bit, whatever the length.
func TestAgainstBits(t *testing.T) {
	r := rand.NewChaCha8([32]byte{})
	for n := range 70 {
		p := make([]byte, n)
		r.Read(p)
		reflected, straight := uint16(0xffff), uint16(0xffff)
		for _, c := range p {
			reflected ^= uint16(c)
			straight ^= uint16(c) << 8
			for range 8 {
				reflected = reflected>>1 ^ 0x8408*(reflected&1)
				straight = straight<<1 ^ 0x1021*(straight>>15)
			}
		}
		if got := crc16.X25.Checksum(p); got != ^reflected {
			t.Errorf("X25 of %x: %04x, want %04x", p, got, ^reflected)
		}
		if got := crc16.Straight(0x1021, 0xffff).Checksum(p); got != straight {
			t.Errorf("IBM-3740 of %x: %04x, want %04x", p, got, straight)
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{1350, 16384} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				crc16.X25.Checksum(p)
			}
		})
	}
}
