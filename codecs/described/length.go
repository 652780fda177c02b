package described

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// length describes the codecs of package length, all but varints.
func length(a argument) (text, beside string) {
	if a.first == "varint" {
		return "", ""
	}
	width, order := strings.TrimSuffix(a.first, "be"), ""
	if bits, ok := strings.CutSuffix(a.first, "le"); ok {
		width, order = bits, " le"
	}
	bits, _ := strconv.Atoi(width)
	prefix, suffix := fillerOf(a.options["prefix"]), fillerOf(a.options["suffix"])
	meaning := "len frame"
	if !a.has("incl") {
		adjust, _ := strconv.Atoi(a.or("adjust", "0"))
		meaning = fmt.Sprintf("len payload%s", signed(len(suffix)-adjust))
	}
	var b strings.Builder
	prefix.write(&b, "prefix")
	fmt.Fprintf(&b, "length %s%s %s\n", width, order, meaning)
	suffix.write(&b, "suffix")
	b.WriteString("payload" + longest(a, bits, len(prefix)+bits/8+len(suffix)) + "\n")
	return b.String(), ""
}

// signed returns n as the end of a length, nothing for 0.
func signed(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" %+d", n)
}

// longest returns the limit that a payload has if the field could express more.
func longest(a argument, bits, head int) string {
	const (
		ofLength      = math.MaxInt32 - 2064 // of package length
		ofDescription = math.MaxInt32 - 256  // a frame of package desc
	)
	switch {
	case a.has("max"):
		return " max " + a.options["max"]
	case bits >= 32:
		return fmt.Sprintf(" max %d", min(ofLength, ofDescription-head))
	}
	return ""
}

// A filler is a run of constant bytes.
type filler []fillerByte

type fillerByte struct {
	digits  string
	ignored bool // by a reader
}

// fillerOf reads the notation of package length.
func fillerOf(s string) (f filler) {
	for s != "" {
		digits, ignored := strings.CutPrefix(s, "~")
		f = append(f, fillerByte{digits[:2], ignored})
		s = digits[2:]
	}
	return f
}

// write writes fields of at most eight bytes, each of which is required or ignored as a whole.
func (f filler) write(b *strings.Builder, name string) {
	for i := 1; len(f) > 0; i++ {
		n := 1
		for n < min(len(f), 8) && f[n].ignored == f[0].ignored {
			n++
		}
		meaning, number := "= 0x", ""
		if f[0].ignored {
			meaning = "any 0x"
		}
		for _, one := range f[:n] {
			meaning += one.digits
		}
		if i > 1 || n < len(f) {
			number = strconv.Itoa(i)
		}
		fmt.Fprintf(b, "%s%s %d %s\n", name, number, 8*n, meaning)
		f = f[n:]
	}
}

// less returns the number in s, less n.
func less(s string, n int) string {
	v, _ := strconv.Atoi(s)
	return strconv.Itoa(v - n)
}
