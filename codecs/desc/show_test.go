package desc_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/desc"
)

func TestDiagram(t *testing.T) {
	for name, want := range map[string]string{
		"cotp": `
 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|    version    |   reserved    |            length             |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|      li       |     code      |a|   number    |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                                                               |
~                            payload                            ~
|                                                               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

a  eot
`,
		"odd": `
 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|  a  |                                                         |
+-+-+-+                                                         +
|                             long                              |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|    b    |                                                     |
+-+-+-+-+-+                                                     +
|                             wide                              |
+         +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|         |          c          |               n               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|       | rest  |                      ms                       |
+-+-+-+-+-+-+-+-+                               +-+-+-+-+-+-+-+-+
|                                               |               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|             tiny              |              pad              |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|             inner             |     long2     |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                                                               |
~                            payload                            ~
|                                                               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                             outer                             |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                                                               |
~                           pad to 5                            ~
|                                                               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|     last      |
+-+-+-+-+-+-+-+-+
`,
		"channeldata": `
 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|            channel            |            length             |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                                                               |
~                            payload                            ~
|                                                               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                                                               |
~                           pad to 4                            ~
|                                                               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
`,
	} {
		d, _ := protocol(t, name)
		if got := "\n" + d.Diagram(); got != want {
			t.Errorf("%s:%s\nwant%s", name, got, want)
		}
	}
}

// Every field is in the picture, by its name or a letter that is explained.
func TestDiagramShowsAll(t *testing.T) {
	var text strings.Builder
	for i := range 80 {
		fmt.Fprintf(&text, "flag%d 1 = 1\n", i)
	}
	text.WriteString("a 8 = 1\npayload\n")
	d, err := desc.Compile("flags", []byte(text.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, legend, _ := strings.Cut(d.Diagram(), "\n\n")
	n := strings.Count(legend, "\n")
	if n != 80 || strings.Contains(legend, "a  flag") || !strings.Contains(legend, "*  flag79\n") {
		t.Errorf("%d lines:\n%s", n, legend)
	}
}

func TestExplain(t *testing.T) {
	d, _ := protocol(t, "vendor")
	for _, c := range []struct{ frame, want string }{
		{"d71e100200000019cafef00d0000000168656c6c6f2ac24420", // from the server
			"magic@0=0xd71e version@16=0x1 flags@20=0x0 type@24=0x2 length@32=0x19 session@64=0xcafef00d seq@96=0x1 " +
				"payload@128=0x5 check@168=0x2ac24420"},
		{"d71e100100000019cafef00e0000000168656c6c6f3b79425d",
			"magic@0=0xd71e version@16=0x1 flags@20=0x0 type@24=0x1 length@32=0x19 session@64=0xcafef00e(must be 0xcafef00d) " +
				"seq@96=0x1 payload@128=0x5 check@168=0x3b79425d(must be 0x636fb843)"},
		{"d71e10010000001acafef00d0000000168656c6c6f3b79425d",
			"magic@0=0xd71e version@16=0x1 flags@20=0x0 type@24=0x1 " +
				"length@32=0x1a(says that the frame has 26 bytes, it has 25) session@64=0xcafef00d seq@96=0x1 " +
				"payload@128=0x9 check(missing)"},
		{"d71e10010000001300000000000000ff",
			"magic@0=0xd71e version@16=0x1 flags@20=0x0 type@24=0x1 " +
				"length@32=0x13(out of range: 20 to 2147483391 are possible) " +
				"session@64=0x0(must be 0xcafef00d) seq@96=0xff payload@128=0x0 check(missing)"},
		{"d71e20", "magic@0=0xd71e version@16=0x2(must be 0x1) flags@20=0x0 type(missing) length(missing) session(missing) " +
			"seq(missing) payload(missing) check(missing)"},
	} {
		raw, err := hex.DecodeString(c.frame)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range d.Explain(raw) {
			s := v.Name
			if v.At >= 0 {
				s += fmt.Sprintf("@%d=%#x", v.At, v.Value)
			}
			if v.Wrong != "" {
				s += "(" + v.Wrong + ")"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.frame, s, c.want)
		}
	}
}

// The check values of the catalogue that the package names, of the digits 1 to 9, and of RFC 1071 section 3; and every
// length, for the algorithms take several bytes at a step.
func TestChecksums(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"crc16-arc", "313233343536373839", "bb3d"},
		{"crc16-ccitt-false", "313233343536373839", "29b1"},
		{"crc16-kermit", "313233343536373839", "2189"},
		{"crc16-modbus", "313233343536373839", "4b37"},
		{"crc16-x25", "313233343536373839", "906e"},
		{"crc16-xmodem", "313233343536373839", "31c3"},
		{"crc32", "313233343536373839", "cbf43926"},
		{"crc32c", "313233343536373839", "e3069283"},
		{"sum16", "0001f203f4f5f6f7", "220d"}, // the complement of ddf2
		{"xor8", "313233343536373839", "31"},
	} {
		text := fmt.Sprintf("payload\ncheck %d %s\n", len(c.want)*4, c.name)
		d, err := desc.Compile("sum", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		codec := codecOf(t, d, 0)
		sum := func(p []byte) string { return hex.EncodeToString(encode(t, codec, p)[len(p):]) }
		data, _ := hex.DecodeString(c.data)
		if got := sum(data); got != c.want {
			t.Errorf("%s is %s, want %s", c.name, got, c.want)
		}
		rng := rand.New(rand.NewPCG(5, 6))
		for n := range 70 {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(rng.Uint32() | 0xf0)
			}
			if got, want := sum(p), fmt.Sprintf("%0*x", len(c.want), refSums[c.name](refBits(p))); got != want {
				t.Errorf("%s of %x is %s, the reference says %s", c.name, p, got, want)
			}
		}
	}
}
