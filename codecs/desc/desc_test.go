package desc_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

// values are what the descriptions in testdata ask for.
var values = map[string]map[string]string{
	"vxlan":       {"vni": "0x123456"},
	"channeldata": {"channel": "0x4001"},
	"vendor":      {"session": "0xcafef00d"},
}

// protocol returns the description testdata/NAME.frame, and its text.
func protocol(tb testing.TB, name string) (*desc.Description, string) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".frame"))
	if err != nil {
		tb.Fatal(err)
	}
	d, err := desc.Compile(name+".frame", text, values[name])
	if err != nil {
		tb.Fatal(err)
	}
	return d, string(text)
}

func protocols(tb testing.TB) (list []string) {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.frame")
	if err != nil || len(files) == 0 {
		tb.Fatal("no descriptions: ", err)
	}
	for _, f := range files {
		list = append(list, strings.TrimSuffix(filepath.Base(f), ".frame"))
	}
	return list
}

func TestRules(t *testing.T) {
	for _, name := range protocols(t) {
		t.Run(name, func(t *testing.T) {
			d, _ := protocol(t, name)
			codectest.Run(t, d.Maker())
		})
	}
}

// codecsOf returns the codecs of both directions of a connection: what the client sends, and what the server sends.
func codecsOf(tb testing.TB, d *desc.Description) (client, server frame.Codec) {
	tb.Helper()
	m, err := d.Maker()(frame.Client)
	if err != nil {
		tb.Fatal(err)
	}
	return m.(interface {
		Codecs() (send, recv frame.Codec)
	}).Codecs()
}

func codecOf(tb testing.TB, d *desc.Description, sender frame.Role) frame.Codec {
	tb.Helper()
	client, server := codecsOf(tb, d)
	if sender == frame.Server {
		return server
	}
	return client
}

// encode returns the frame of payload, made in a buffer that has been used before.
func encode(tb testing.TB, c frame.Codec, payload []byte) []byte {
	tb.Helper()
	l := c.Limits()
	full := bytes.Repeat([]byte{0xa5}, l.Head+len(payload)+l.Tail)
	copy(full[l.Head:], payload)
	var b frame.Buf
	b.Borrow(full, l.Head, l.Head+len(payload))
	if err := c.Encode(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// The frames of "hello" as the documents of the protocols have them.
func TestFrames(t *testing.T) {
	hello := []byte("hello")
	for _, c := range []struct {
		protocol string
		sender   frame.Role
		want     []string // one frame after the other
	}{
		{"vxlan", frame.Client, []string{"0800000012345600" + "68656c6c6f"}},
		{"gue", frame.Client, []string{"003b0000" + "68656c6c6f"}},
		{"cotp", frame.Client, []string{"0300000c" + "02f080" + "68656c6c6f"}},
		{"channeldata", frame.Client, []string{"40010005" + "68656c6c6f" + "000000"}},
		{"capwap", frame.Client, []string{"01000000" + "68656c6c6f"}},
		{"l2cap", frame.Client, []string{"05004000" + "68656c6c6f"}},
		{"vendor", frame.Client, []string{
			"d71e1001" + "00000019" + "cafef00d" + "00000001" + "68656c6c6f" + "3b79425d",
			"d71e1001" + "00000019" + "cafef00d" + "00000002" + "68656c6c6f" + "0fc58987"}},
		{"vendor", frame.Server, []string{
			"d71e1002" + "00000019" + "cafef00d" + "00000001" + "68656c6c6f" + "2ac24420"}},
		{"serial", frame.Client, []string{"55aa" + "0103" + "0050" + "ad" + "68656c6c6f" + "40a5" + "7e"}},
		{"segment", frame.Client, []string{"000d" + "9a7f" + "65a0bc00" + "68656c6c6f" + "000000"}},
	} {
		d, _ := protocol(t, c.protocol)
		d.SetTime(time.Unix(0x65a0bc00, 0))
		codec := codecOf(t, d, c.sender)
		for i, want := range c.want {
			if got := hex.EncodeToString(encode(t, codec, hello)); got != want {
				t.Errorf("%s, frame %d of the %v: %s, want %s", c.protocol, i, c.sender, got, want)
			}
		}
	}
}

// What is read is what was written, in both directions, and a checked count knows its place.
func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		protocol, frame, why string
	}{
		{"vxlan", "08000000123456", "shorter than its header"},
		{"vxlan", "0000000012345600", "vni-valid is not 0x1"},
		{"vxlan", "0800000012345700", "vni is not 0x123456"},
		{"gue", "013b0000", "hlen is not 0x0"},
		{"cotp", "0300000702f080" + "68", "not as long as its length field says"},
		{"cotp", "0300000602f080", "less than an empty payload"},
		{"cotp", "0300ffff02f080", "longer than is allowed"},
		{"cotp", "0300000702f000", "eot is not 0x1"},
		{"channeldata", "4001000568656c6c6f", "not as long"},
		{"channeldata", "4001000568656c6c6f" + "00000000", "not as long"},
		{"vendor", "d71e100200000019cafef00d0000000168656c6c6f2ac24421", "type is not 0x1"},
		{"vendor", "d71e100100000019cafef00d0000000168656c6c6f3b79425e", "check is not the checksum"},
		{"vendor", "d71e100100000019cafef00d0000000268656c6c6f0fc58987", "seq is not the next number"},
		{"segment", "000d9a7e65a0bc0068656c6c6f000001", "padding is not zero"},
		{"serial", "55aa01030050ac68656c6c6f40a57e", "lrc is not the checksum"},
		{"serial", "55aa01030050ad68656c6c6f40a57f", "end is not 0x7e"},
	} {
		d, _ := protocol(t, c.protocol)
		raw, err := hex.DecodeString(c.frame)
		if err != nil {
			t.Fatal(err)
		}
		err = codecOf(t, d, frame.Client).Decode(frame.NewBuf(0, raw, 0))
		if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %s: %v, want an error with %q", c.protocol, c.frame, err, c.why)
		}
	}
}

// Fields that are written and ignored may hold anything.
func TestDecodeIgnores(t *testing.T) {
	for name, raw := range map[string]string{
		"vxlan":       "ffffffff123456ff",
		"cotp":        "03ff000702f0ff",
		"channeldata": "4001000568656c6c6fffffff",
		"capwap":      "01ffffff",
	} {
		d, _ := protocol(t, name)
		raw, _ := hex.DecodeString(raw)
		if name == "vxlan" {
			raw[0] = 0xff // reserved bits around the flag
		}
		if err := codecOf(t, d, frame.Client).Decode(frame.NewBuf(0, raw, 0)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A frame in which a count is wrong does not disturb the count, nor does a payload that is refused.
func TestCountKeepsItsPlace(t *testing.T) {
	d, _ := protocol(t, "vendor")
	send, recv := codecOf(t, d, frame.Client), codecOf(t, d, frame.Client)
	first, second := encode(t, send, []byte("a")), encode(t, send, []byte("b"))
	if err := recv.Decode(frame.NewBuf(0, second, 0)); !errors.Is(err, frame.ErrMalformed) {
		t.Fatalf("the second frame first: %v", err)
	}
	for _, f := range [][]byte{first, second} {
		if err := recv.Decode(frame.NewBuf(0, f, 0)); err != nil {
			t.Fatal(err)
		}
	}
	d, _ = protocol(t, "cotp")
	err := codecOf(t, d, frame.Client).Encode(frame.NewBuf(16, make([]byte, 1025), 0))
	if !errors.Is(err, frame.ErrTooLarge) {
		t.Fatalf("1025 bytes with a max of 1024: %v", err)
	}
}

// Counts wrap at their width, and times keep their low bits.
func TestNarrowFields(t *testing.T) {
	d, err := desc.Compile("narrow", []byte("n 4 count from 14\nt 4 time unix\nms 8 time unix-ms\npayload\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	d.SetTime(time.UnixMilli(0x1fffe7))
	c := codecOf(t, d, frame.Client)
	for i, want := range []string{"e1e7", "f1e7", "01e7", "11e7"} { // 0x1fffe7 / 1000 = 0x831
		if got := hex.EncodeToString(encode(t, c, nil)); got != want {
			t.Errorf("frame %d: %s, want %s", i, got, want)
		}
	}
}

// A constant that begins in the last byte of the length is looked at as far as it is there.
func TestFrameLenOfHalfAConstant(t *testing.T) {
	d, err := desc.Compile("half", []byte("n 4 len payload\nend 12 = 0x801\npayload\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := codecOf(t, d, frame.Client).(frame.StreamCodec)
	if n, err := c.FrameLen([]byte{0x38}); n != 5 || err != nil {
		t.Errorf("the first byte of a frame of 5: %d, %v", n, err)
	}
	if _, err := c.FrameLen([]byte{0x39}); !errors.Is(err, frame.ErrMalformed) {
		t.Errorf("a byte with a wrong bit: %v", err)
	}
}

func TestCarriers(t *testing.T) {
	for name, want := range map[string]codecs.Carriers{
		"vxlan": codecs.Datagram, "cotp": codecs.Stream | codecs.Datagram, "vendor": codecs.Stream,
	} {
		if d, _ := protocol(t, name); d.Carriers() != want {
			t.Errorf("%s travels over %v, want %v", name, d.Carriers(), want)
		}
	}
}

// Two frames and two connections do not have the same random bits.
func TestRandom(t *testing.T) {
	d, err := desc.Compile("random", []byte("nonce 64 random\npayload\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 4 {
		c := codecOf(t, d, frame.Client)
		for range 4 {
			seen[string(encode(t, c, nil))] = true
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d different nonces of 16", len(seen))
	}
}

// A spec of the registry names a file and values, or is a description itself.
func TestSpec(t *testing.T) {
	for _, spec := range []string{
		"desc:testdata/vendor.frame,session=0xcafef00d",
		"desc:testdata/cotp.frame",
		"desc:magic 16 = 0xd71e; length 16 len payload; payload",
		"desc:length 8 len payload\npayload",
	} {
		mk, err := codecs.Parse(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		m, err := mk(frame.Client)
		if _, ok := m.(frame.Delimiter); err != nil || !ok {
			t.Errorf("%s: %T is no Delimiter: %v", spec, m, err)
		}
	}
	for _, info := range codecs.List() {
		if _, err := codecs.Parse(info.Example); info.Name == "desc" && err != nil {
			t.Errorf("the example of the registry: %v", err)
		}
	}
}

func TestSpecRefused(t *testing.T) {
	long := filepath.Join(t.TempDir(), "long.frame")
	if err := os.WriteFile(long, bytes.Repeat([]byte("#"), 1<<17), 0o600); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		"desc:":                                 "no description is named",
		"desc":                                  "no description is named",
		"desc:testdata/none":                    "cannot read the description: open testdata/none: no such file",
		"desc:testdata":                         "cannot read the description",
		"desc:testdata/vxlan.frame":             `vxlan.frame:6:21: the configuration gives no value "vni" (it gives: none)`,
		"desc:testdata/vxlan.frame,vni":         `bad value "vni"`,
		"desc:testdata/vxlan.frame,vni=1,vni=2": `bad value "vni=2"`,
		"desc:testdata/vxlan.frame,=1":          `bad value "=1"`,
		"desc:testdata/vxlan.frame,vni=1,vin=2": `vxlan.frame: the configuration gives a value "vin", which no field uses`,
		"desc:a 8 = 1;b 0 = 1;payload":          `desc: inline:2:3: bad width "0" (allowed: 1 to 64 bits)`,
		"desc:" + long:                          "the description has 65537 bytes (allowed: 65536)",
	} {
		_, err := codecs.Parse(spec)
		if err == nil || !strings.HasPrefix(err.Error(), "desc: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.60q): %v, want an error with %q", spec, err, want)
		}
	}
}

// What is exported of a description is what tools print it from.
func TestFields(t *testing.T) {
	d, _ := protocol(t, "serial")
	fields := d.Fields()
	var got []string
	for _, f := range fields {
		got = append(got, f.Part.String()+" "+f.Name+" "+f.Meaning.Kind.String())
	}
	want := "header sync constant, header address constant, header control constant, header length length, " +
		"header spare constant, header lrc checksum, payload payload data, trailer fcs checksum, trailer end constant"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
	fcs := fields[7]
	if m := fcs.Meaning; m.First != 1 || m.Last != 6 || m.Algorithm != "crc16-x25" ||
		m.Text != "crc16-x25 over address to payload" ||
		fcs.Offset != 0 || fcs.Bits != 16 || !fcs.LittleEndian || fcs.Line != 9 {
		t.Errorf("fcs is %+v", fcs)
	}
	if m := fields[1].Meaning; m.Consts != [2]desc.Const{{Value: 1, Required: true}, {Value: 0xff, Required: true}} {
		t.Errorf("address is %+v", m)
	}
	fields[0].Name = "changed"
	if d.Fields()[0].Name != "sync" {
		t.Error("the fields of a description can be changed from outside")
	}
}
