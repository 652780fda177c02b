package desc_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/desc"
)

// refusals has a description for each way of being wrong, with semicolons for line ends, and all that Parse says of it.
// Where they ask for any value, V is given as 300, and Vx as no number.
var refusals = []struct {
	rule, text string
	want       []string
}{
	{"too-long", strings.Repeat("#", 1<<16+1),
		[]string{"f: the description has 65537 bytes (allowed: 65536)"}},
	{"too-long", lines(257, "f%d 8 = 1") + "payload",
		[]string{"f:257:1: the description has more than 256 lines besides comments"}},
	{"too-long", "a 8 = 1;payload;" + lines(9, "s%d 8 xor8"),
		[]string{"f:11:6: the description has more than 8 checksums"}},
	{"bad-name", "1a 8 = 1;payload",
		[]string{`f:1:1: bad name "1a" (allowed: a letter, then letters, digits, - and _; at most 32 bytes)`}},
	{"bad-name", "a 8 = 1;payload;" + strings.Repeat("b", 33) + " 8 = 1",
		[]string{`f:3:1: bad name "` + strings.Repeat("b", 33) +
			`" (allowed: a letter, then letters, digits, - and _; at most 32 bytes)`}},
	{"bad-name", "a 8 value 1;payload",
		[]string{`f:1:11: bad name "1" (allowed: a letter, then letters, digits, - and _; at most 32 bytes)`}},
	{"bad-width", "a 0 = 0;b 65 = 0;c 08 = 0;d x = 0;payload", []string{
		`f:1:3: bad width "0" (allowed: 1 to 64 bits)`, `f:2:3: bad width "65" (allowed: 1 to 64 bits)`,
		`f:3:3: bad width "08" (allowed: 1 to 64 bits)`, `f:4:3: bad width "x" (allowed: 1 to 64 bits)`}},
	{"bad-order", "a 8 le = 1;b 12 le = 1; c 4 = 0;payload", []string{
		"f:1:5: 8 bits have no little-endian order (allowed: 16, 24, .. 64 bits)",
		"f:2:6: 12 bits have no little-endian order (allowed: 16, 24, .. 64 bits)"}},
	{"unknown-meaning", "a 8 is 1;payload", []string{
		`f:1:5: unknown meaning "is" (have = N, any N, client = N server = N, value NAME, len payload, len frame, count, ` +
			`random, time unix, time unix-ms, crc16-arc, crc16-ccitt-false, crc16-kermit, crc16-modbus, crc16-x25, ` +
			`crc16-xmodem, crc32, crc32c, sum16, xor8)`}},
	{"bad-number", "a 8 = 0b1;b 8 = 07;c 8 any -1;d 64 = 0x10000000000000000;payload max 0;e 8 count from 1_0", []string{
		`f:1:7: "0b1" is not a number (allowed: decimal, or 0x and hexadecimal digits; up to 64 bits)`,
		`f:2:7: "07" is not a number (allowed: decimal, or 0x and hexadecimal digits; up to 64 bits)`,
		`f:3:9: "-1" is not a number (allowed: decimal, or 0x and hexadecimal digits; up to 64 bits)`,
		`f:4:8: "0x10000000000000000" is not a number (allowed: decimal, or 0x and hexadecimal digits; up to 64 bits)`,
		`f:5:13: 0 is out of range (allowed: 1 to 2147483647)`,
		`f:6:16: "1_0" is not a number (allowed: decimal, or 0x and hexadecimal digits; up to 64 bits)`}},
	{"bad-number", "a 16 len payload +65536;payload;b 8 = 0",
		[]string{`f:1:18: bad number "+65536" (allowed: +N or -N with N up to 65535)`}},
	{"missing-word", "a;b 8;c 8 =;d 8 len;e 8 client = 1;f 32 crc32 over;payload;pad to", []string{
		"f:1:2: the line ends where the width in bits should follow", "f:2:4: the line ends where the meaning should follow",
		"f:3:6: the line ends where a number should follow", `f:4:8: the line ends where "payload" or "frame" should follow`,
		`f:5:15: the line ends where "server" should follow`,
		"f:6:16: the line ends where the name of the first field should follow",
		"f:8:7: the line ends where a number of bytes should follow"}},
	{"extra-word", "a 8 = 1 or 2;b 8 len payload 4;payload here;c 8 random = 2", []string{
		`f:1:9: unexpected word "or": the line is complete without it`,
		`f:2:17: unexpected word "4" (allowed: +N or -N, in one word)`,
		`f:3:9: unexpected word "here": the line is complete without it`,
		`f:4:12: unexpected word "=": the line is complete without it`}},
	{"too-wide", "a 4 = 16;b 4 = value V;c 8 count from 256;d 8 client = 1 server any 0x100;payload", []string{
		"f:1:7: 16 does not fit 4 bits (allowed: up to 15)",
		"f:2:13: the value 300 of V does not fit 4 bits (allowed: up to 15)",
		"f:3:16: 256 does not fit 8 bits (allowed: up to 255)",
		"f:4:27: 0x100 does not fit 8 bits (allowed: up to 255)"}},
	{"bad-value", "a 16 value session;b 16 any value Vx;payload", []string{
		`f:1:12: the configuration gives no value "session" (it gives: V, Vx)`,
		`f:2:16: the value "Vx" that the configuration gives is "12 apples", not a number (allowed: decimal, or 0x and ` +
			`hexadecimal digits; up to 64 bits)`}},
	{"unused-value", "a 16 value V;payload",
		[]string{`f: the configuration gives a value "Vx", which no field uses`}},
	{"bad-choice", "a 16 len all;b 16 time ntp;c 8 client = 1 peer = 2;d 8 client 1 server 2;payload;pad by 4", []string{
		`f:1:10: "all" has no length here (have "payload", "frame")`, `f:2:11: unknown time "ntp" (have "unix", "unix-ms")`,
		`f:3:16: "peer" instead of "server"`, `f:4:12: "1" instead of "=" or "any"`, `f:6:5: "by" instead of "to"`}},
	{"bad-alignment", "a 16 len payload;pad to 1;payload;pad to 257", []string{
		`f:2:8: bad alignment "1" (allowed: 2 to 256 bytes)`, `f:4:8: bad alignment "257" (allowed: 2 to 256 bytes)`}},
	{"duplicate-name", "a 8 = 1;a 8 = 2;payload;a 8 = 3", []string{
		`f:2:1: the name "a" is taken by line 1`, `f:4:1: the name "a" is taken by line 1`}},
	{"no-payload", "a 8 = 1", []string{`f:2:1: there is no line "payload"`}},
	{"no-payload", "", []string{`f:1:1: there is no line "payload"`}},
	{"second-payload", "a 8 = 1;payload;payload;b 8 = 1", []string{"f:3:1: the payload is in line 2 already"}},
	{"bad-max", "a 8 len frame;payload max 255",
		[]string{"f:2:13: a payload of 255 bytes is too long for the frame (allowed: 1 to 254)"}},
	{"bad-max", "a 8 = 1;payload max 65535",
		[]string{"f:2:13: a payload of 65535 bytes is too long for the frame (allowed: 1 to 65534)"}},
	{"nothing-else", "payload", []string{"f:1:1: nothing but the payload: use the codec raw"}},
	{"second-len", "a 8 len payload;b 8 len frame;payload", []string{"f:2:5: the length is in line 1 already"}},
	{"len-behind-payload", "a 8 = 1;payload;b 8 len payload",
		[]string{"f:3:5: the length stands behind the payload: a reader needs it in front"}},
	{"len-room", "a 8 len payload -1;payload", []string{"f:1:5: the length of an empty payload would be -1"}},
	{"len-room", "a 8 len payload +255;payload", []string{
		"f:1:5: 8 bits leave no room for a payload: an empty one counts 255 already (allowed: less than 255)"}},
	{"count-without-len", "a 8 count checked;payload", []string{
		"f:1:5: a count can be checked only in a stream, where no frame is lost, and frames in a stream need a field that " +
			"means len"}},
	{"partial-byte", "a 8 len payload;b 12 = 0;payload;c 5 = 0;pad to 4;d 1 = 0", []string{
		"f:2:1: the header ends here with 20 bits, which are not whole bytes: 4 are missing",
		"f:5:1: padding begins at a whole byte: this begins 5 bits behind one",
		"f:6:1: the trailer ends here with 6 bits, which are not whole bytes: 2 are missing"}},
	{"crooked-le", "a 4 = 0;b 16 le = 0;c 4 = 0;payload",
		[]string{"f:2:6: a little-endian field begins at a whole byte: b begins 4 bits behind one"}},
	{"crooked-pad", "a 4 = 0;pad to 4;b 4 = 0;payload",
		[]string{"f:2:1: padding begins at a whole byte: this begins 4 bits behind one"}},
	{"second-pad", "a 16 len payload;payload;pad to 2;b 8 = 0;pad to 4",
		[]string{"f:5:1: the padding behind the payload is in line 3 already"}},
	{"pad-without-len", "a 8 = 0;payload;pad to 4",
		[]string{"f:3:1: without a field that means len payload, padding cannot be told from the payload"}},
	{"pad-with-len-frame", "a 8 len frame;payload;pad to 4", []string{
		"f:3:1: len frame counts padding as well, which cannot be told from the payload then: use len payload, perhaps " +
			"with +N"}},
	{"checksum-width", "a 8 = 0;payload;b 16 crc32", []string{"f:3:3: crc32 has 32 bits, not 16"}},
	{"crooked-checksum", "a 4 = 0;b 8 xor8 over payload;c 4 = 0;payload",
		[]string{"f:2:5: a checksum begins at a whole byte: b begins 4 bits behind one"}},
	{"checksum-unknown-field", "a 8 = 0;payload;b 8 xor8 over start to a;c 8 xor8 over a to end", []string{
		`f:3:15: there is no field "start" (have a, payload, b, c)`,
		`f:4:20: there is no field "end" (have a, payload, b, c)`}},
	{"checksum-unknown-field", "a 8 len payload;pad to 4;payload;pad to 4;b 8 xor8 over pad",
		[]string{`f:5:15: there are 2 lines "pad": which of them is not said`}},
	{"checksum-range", "a 4 = 0;b 4 = 0;payload;c 8 xor8 over b;d 8 xor8 over payload to a;e 8 xor8 over a", []string{
		"f:4:15: a checksum covers whole bytes: b begins 4 bits behind one", "f:5:26: a stands in front of payload",
		"f:6:15: a checksum covers whole bytes: a ends 4 bits behind one"}},
	{"checksum-of-nothing", "a 8 xor8;payload",
		[]string{"f:1:5: nothing stands in front of a that it could cover: use over"}},
	{"checksum-circle", "a 8 xor8 over c;b 8 xor8 over a to b;c 8 xor8 over c to d;payload;d 8 xor8 over a", []string{
		"f:1:5: these checksums cover each other in a circle: a, c, d"}},
	{"part-too-long", lines(129, "f%d 64 any 0") + "payload;" + lines(100, "g%d 64 any 0"),
		[]string{"f:129:1: the header is longer than 1024 bytes"}},
}

func lines(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+";", i)
	}
	return b.String()
}

func TestRefusals(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range refusals {
		tested[c.rule] = true
		given := map[string]string{}
		if strings.Contains(c.text, "value ") {
			given = map[string]string{"V": "300", "Vx": "12 apples"}
		}
		_, err := desc.Compile("f", []byte(strings.ReplaceAll(c.text, ";", "\n")), given)
		var m desc.Mistakes
		if !errors.As(err, &m) {
			t.Errorf("%s: %.80q: %v", c.rule, c.text, err)
			continue
		}
		var got []string
		for _, one := range m {
			if one.Rule != c.rule && !(c.rule == "partial-byte" && one.Rule == "crooked-pad") {
				t.Errorf("%s: %.80q: broken is %s: %v", c.rule, c.text, one.Rule, one)
			}
			got = append(got, one.Error())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %.80q:\n%s\nwant\n%s", c.rule, c.text, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	for _, rule := range desc.RuleNames() {
		if !tested[rule] {
			t.Errorf("no description breaks the rule %s", rule)
		}
	}
}

// All mistakes are reported at once, in the order of the text, each in a line that editors understand.
func TestAllMistakes(t *testing.T) {
	text := "magic 16 = 0x1d71e\nflags 8 some 0\nmagic 8 = 1\nlength 16 len payload\ncheck 16 crc32\n\n# no payload\n"
	_, err := desc.Parse("demo.frame", []byte(text), map[string]string{"session": "1"})
	want := `desc: 5 mistakes
	demo.frame:1:12: 0x1d71e does not fit 16 bits (allowed: up to 65535)
	demo.frame:2:9: unknown meaning "some" (have `
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("got %v\nwant %s..", err, want)
	}
	for _, s := range []string{":3:1: the name", ":5:7: crc32 has", ":8:1: there is no line"} {
		if !strings.Contains(err.Error(), "\n\tdemo.frame"+s) {
			t.Errorf("%q is not in %v", s, err)
		}
	}
	var one *desc.Mistake
	if !errors.As(err, &one) || one.Line != 1 || one.Rule != "too-wide" {
		t.Errorf("the first mistake is %+v", one)
	}
}
