package desc_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/frame"
)

// The compiled codec and the reference agree about every frame, good or bad, of the protocols in testdata.
func TestReference(t *testing.T) {
	for _, name := range protocols(t) {
		d, text := protocol(t, name)
		rng := rand.New(rand.NewPCG(1, 2))
		compare(t, rng, d, text, values[name], 200)
	}
}

// The same for descriptions that are made up.
func TestReferenceRandom(t *testing.T) {
	const count = 500
	rng := rand.New(rand.NewPCG(3, 4))
	accepted := 0
	why := map[string]int{}
	for range count {
		text := invent(rng)
		given := givenTo(text)
		d, err := desc.Compile("f", []byte(text), given)
		if err != nil {
			for _, one := range err.(desc.Mistakes) {
				why[one.Rule]++
			}
			continue // a range that is none, a length without room
		}
		accepted++
		if compare(t, rng, d, text, given, 6); t.Failed() {
			t.Fatalf("the description is\n%s", text)
		}
	}
	if accepted < count/3 {
		t.Errorf("only %d descriptions of %d are accepted, the others break %v", accepted, count, why)
	}
}

// givenTo returns the values that text asks for.
func givenTo(text string) map[string]string {
	given := map[string]string{}
	for name, v := range map[string]string{"x": "1", "y": "0x2"} {
		if strings.Contains(text, "value "+name) {
			given[name] = v
		}
	}
	return given
}

// compare runs both senders, sends and bends some frames, and compares all that can be seen with the reference.
func compare(t *testing.T, rng *rand.Rand, d *desc.Description, text string, given map[string]string, rounds int) {
	t.Helper()
	ref := newReference(text, given)
	for _, sender := range []frame.Role{frame.Client, frame.Server} {
		send, recv := codecOf(t, d, sender), codecOf(t, d, sender)
		base, most := ref.limits()
		if l := send.Limits(); l.Max != most {
			t.Errorf("Max is %d, the reference says %d (base %d)", l.Max, most, base)
			return
		}
		for k := range rounds {
			payload := make([]byte, min(rng.IntN(40), most))
			for i := range payload {
				payload[i] = byte(rng.Uint32())
			}
			f := encode(t, send, payload)
			want := ref.frame(sender.String(), uint64(k), payload, refBits(f), false)
			if refBits(f) != want {
				t.Errorf("frame %d of the %v is %x, the reference says %x", k, sender, f, refBytes(want))
				return
			}
			for range 4 {
				judge(t, ref, d, sender, uint64(k), bend(rng, f))
			}
			if err := recv.Decode(frame.NewBuf(0, f, 0)); err != nil {
				t.Errorf("frame %d of the %v is refused: %v", k, sender, err)
				return
			}
		}
	}
}

// bend makes another frame of f, or the same.
func bend(rng *rand.Rand, f []byte) []byte {
	f = bytes.Clone(f)
	switch n := len(f); rng.IntN(5) {
	case 0:
		f = f[:rng.IntN(n+1)]
	case 1:
		f = append(f, byte(rng.Uint32()))
	case 2:
		for i := range f {
			f[i] = byte(rng.Uint32())
		}
	default:
		for range rng.IntN(3) {
			if n > 0 {
				f[rng.IntN(n)] ^= 1 << rng.IntN(8)
			}
		}
	}
	return f
}

// judge compares what a reader, the delimiter and Explain make of the bytes p, which may be frame k, with the
// reference.
func judge(t *testing.T, ref *reference, d *desc.Description, sender frame.Role, k uint64, p []byte) {
	t.Helper()
	c := codecAt(t, d, sender, k)
	before := bytes.Clone(p)
	judgeLen(t, ref, c, sender, p)
	explained := judgeExplain(t, d, p)
	if !bytes.Equal(p, before) {
		t.Errorf("FrameLen or Explain changes %x to %x", before, p)
	}
	want, ok := ref.decode(sender.String(), k, p)
	want = bytes.Clone(want)
	b := frame.NewBuf(0, p, 0)
	err := c.Decode(b)
	switch {
	case err != nil && !errors.Is(err, frame.ErrMalformed):
		t.Errorf("Decode of %x: %v does not wrap ErrMalformed", p, err)
	case (err == nil) != ok:
		t.Errorf("Decode of frame %d, %x of the %v: %v; the reference accepts it: %t", k, p, sender, err, ok)
	case ok && !bytes.Equal(b.Bytes(), want):
		t.Errorf("Decode of %x: payload %x, the reference says %x", p, b.Bytes(), want)
	case ok && explained != "":
		t.Errorf("Explain says of %x, which is right: %s", p, explained)
	}
	if !ok && explained == "" && !acceptable(t, d, p) {
		t.Errorf("Explain finds nothing wrong in %x of the %v: %v", p, sender, err)
	}
}

// codecAt returns a codec that has had k frames.
func codecAt(t *testing.T, d *desc.Description, sender frame.Role, k uint64) frame.Codec {
	c := codecOf(t, d, sender)
	for range k {
		encode(t, c, nil) // counts as well
	}
	return c
}

// acceptable reports whether a reader accepts p from one of the senders, as one of the first frames.
func acceptable(t *testing.T, d *desc.Description, p []byte) bool {
	for _, f := range d.Fields() {
		if f.Meaning.Kind == desc.Count && f.Meaning.Checked {
			return true // as some frame, perhaps
		}
	}
	for _, sender := range []frame.Role{frame.Client, frame.Server} {
		if codecOf(t, d, sender).Decode(frame.NewBuf(0, p, 0)) == nil {
			return true
		}
	}
	return false
}

func judgeLen(t *testing.T, ref *reference, c frame.Codec, sender frame.Role, p []byte) {
	t.Helper()
	s, ok := c.(frame.StreamCodec)
	if _, length := ref.sizes(); ok != (length != nil) {
		t.Fatalf("%T is a StreamCodec: %t", c, ok)
	}
	if !ok {
		return
	}
	n, err := s.FrameLen(p)
	want, ok := ref.frameLen(sender.String(), p)
	if (err == nil) != ok || n != want {
		t.Errorf("FrameLen of %x: %d, %v; the reference says %d, possible: %t", p, n, err, want, ok)
	}
}

// judgeExplain checks that the values of Explain are the bits of p, and returns what it says is wrong.
func judgeExplain(t *testing.T, d *desc.Description, p []byte) (wrong string) {
	t.Helper()
	fields := d.Fields()
	values := d.Explain(p)
	if len(values) != len(fields) {
		t.Fatalf("Explain has %d values of %d fields", len(values), len(fields))
	}
	bits, at := refBits(p), 0
	for _, v := range values {
		if v.Wrong != "" {
			wrong += v.Name + ": " + v.Wrong + "; "
		}
		if v.At < 0 {
			continue
		}
		if v.At != at {
			t.Errorf("Explain of %x: %s is at %d, not behind what precedes it at %d", p, v.Name, v.At, at)
		}
		at = v.At + v.Width
		if at > len(bits) {
			t.Fatalf("Explain of %x: %s ends at %d", p, v.Name, at)
		}
		l := refLine{width: v.Width, little: v.LittleEndian}
		if v.Meaning.Kind == desc.Fill || v.Meaning.Kind == desc.Data {
			if v.Value != uint64(v.Width/8) {
				t.Errorf("Explain of %x: %s has %d bits and says %d bytes", p, v.Name, v.Width, v.Value)
			}
		} else if s := bits[v.At:at]; l.digits(v.Value) != s {
			t.Errorf("Explain of %x: %s is %d, the bits are %s", p, v.Name, v.Value, s)
		}
	}
	return wrong
}

// invent writes a description, right in most things.
func invent(rng *rand.Rand) string {
	v := &inventor{rng: rng, stream: rng.IntN(4) > 0}
	lenAt := rng.IntN(4)
	n := rng.IntN(6)
	for i := range max(n, 1) {
		if v.stream && i == lenAt%max(n, 1) {
			v.length()
			continue
		}
		v.any()
	}
	v.whole()
	v.line("payload")
	v.behind = true
	if v.stream && rng.IntN(3) == 0 && !strings.Contains(v.text.String(), "len frame") {
		v.some()
		v.line("pad to %d%s", 2+rng.IntN(15), v.either("", " checked"))
	}
	v.some()
	return v.text.String()
}

// An inventor writes lines.
type inventor struct {
	rng    *rand.Rand
	text   strings.Builder
	names  []string
	bits   int // in this part
	stream bool
	behind bool // the payload
}

func (v *inventor) line(format string, args ...any) {
	fmt.Fprintf(&v.text, format+v.either("\n", "\r\n", " # a comment\n", "\n\n"), args...)
}

func (v *inventor) either(list ...string) string { return list[v.rng.IntN(len(list))] }

// some writes up to three fields that are whole bytes together.
func (v *inventor) some() {
	for range v.rng.IntN(4) {
		v.any()
	}
	v.whole()
}

func (v *inventor) name() string {
	s := fmt.Sprintf("f%d", len(v.names))
	v.names = append(v.names, s)
	return s
}

// whole completes the last byte.
func (v *inventor) whole() {
	if rest := v.bits % 8; rest != 0 {
		v.line("%s %d any %d", v.name(), 8-rest, v.rng.IntN(2))
	}
	v.bits = 0
}

func (v *inventor) length() {
	width := 8 + v.rng.IntN(57)
	what, order := v.either("payload", "frame", "payload +3", "frame -0", "frame +200"), ""
	if v.bits%8 == 0 && width%8 == 0 && width > 8 {
		order = v.either(" le", "")
	}
	v.bits += width
	v.line("%s %d%s len %s", v.name(), width, order, what)
}

// any writes a field.
func (v *inventor) any() {
	width := 1 + v.rng.IntN(64)
	if v.rng.IntN(2) == 0 {
		width = 8 << v.rng.IntN(4)
	}
	order := ""
	if v.bits%8 == 0 && width%8 == 0 && width > 8 {
		order = v.either(" le", "")
	}
	number := func() uint64 { return v.rng.Uint64() >> (64 - width) }
	meaning := ""
	switch v.rng.IntN(10) {
	case 0:
		meaning = fmt.Sprintf("= %d", number())
	case 1:
		meaning = fmt.Sprintf("any %#x", number())
	case 2:
		meaning = fmt.Sprintf("client %s %d server %s %#x", v.either("=", "any"), number(), v.either("=", "any"), number())
	case 3:
		meaning = fmt.Sprintf("count from %d%s", (^uint64(0)>>(64-width))-number()%4, v.checked()) // about to wrap
	case 4:
		meaning = v.either("count", "random", "time unix", "time unix-ms")
	case 5:
		if v.bits%8 == 0 && !v.behind {
			v.line("pad to %d%s", 2+v.rng.IntN(9), v.either("", " checked"))
			return
		}
		meaning = "random"
	case 6:
		width = 8
		order, meaning = "", v.either("value x", "any value y", "client = value x server any 3")
	default:
		v.checksum()
		return
	}
	v.bits += width
	v.line("%s %d%s %s", v.name(), width, order, meaning)
}

func (v *inventor) checked() string {
	if !v.stream {
		return ""
	}
	return v.either("", " checked")
}

func (v *inventor) checksum() {
	v.whole()
	kind := v.either("crc32", "crc32c", "crc16-arc", "crc16-ccitt-false", "crc16-kermit", "crc16-modbus", "crc16-x25",
		"crc16-xmodem", "sum16", "xor8")
	width, order := 32, v.either(" le", "")
	switch {
	case kind == "xor8":
		width, order = 8, ""
	case !strings.HasPrefix(kind, "crc32"):
		width = 16
	}
	over := ""
	if v.rng.IntN(2) == 0 {
		first := fmt.Sprintf("f%d", v.rng.IntN(len(v.names)+1))
		over = " over " + v.either(first, first+" to payload", "payload", first+fmt.Sprintf(" to f%d", len(v.names)))
	}
	v.line("%s %d%s %s%s", v.name(), width, order, kind, over)
	v.bits += width
}
