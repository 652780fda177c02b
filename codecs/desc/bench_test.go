package desc_test

import (
	"os"
	"testing"

	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/frame"
)

// A header of 16 bytes without a checksum is to cost at most 60 ns, there and back, and no allocation.
func BenchmarkEncodeDecode(b *testing.B) {
	header := "magic 16 = 0xd71e\nversion 4 = 1\nflags 4 any 0\ntype 8 client = 1 server = 2\n" +
		"length 32 len payload\nsession 32 = 0xcafef00d\nseq 32 count\npayload\n"
	for _, c := range []struct{ name, text string }{
		{"16 bytes", header},
		{"16 bytes, 1350 B crc32c", header + "check 32 crc32c"},
		{"16 bytes, 1350 B crc16-x25", header + "check 16 crc16-x25"},
		{"16 bytes, 1350 B sum16", header + "check 16 sum16"},
		{"16 bytes, random", header + "nonce 32 random"},
		{"16 bytes, time", header + "at 32 time unix"},
		{"tpkt", "version 8 = 3\nreserved 8 any 0\nlength 16 len frame\npayload"},
		{"bits", "a 5 = 1\nlength 22 len payload\nb 37 count\npayload\npad to 4"},
	} {
		b.Run(c.name, func(b *testing.B) {
			d, err := desc.Compile(c.name, []byte(c.text), nil)
			if err != nil {
				b.Fatal(err)
			}
			send, recv := codecOf(b, d, frame.Client), codecOf(b, d, frame.Client)
			l := send.Limits()
			buf := frame.NewBuf(l.Head, make([]byte, 1350), l.Tail)
			b.SetBytes(1350)
			b.ReportAllocs()
			for b.Loop() {
				if err := send.Encode(buf); err != nil {
					b.Fatal(err)
				}
				if err := recv.Decode(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Parse includes the rules of the contract; a daemon pays for it once.
func BenchmarkParse(b *testing.B) {
	text, err := os.ReadFile("testdata/vendor.frame")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := desc.Parse("vendor.frame", text, values["vendor"]); err != nil {
			b.Fatal(err)
		}
	}
}
