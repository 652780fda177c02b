package desc_test

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// A reference interprets a description that is known to be right, slowly: a frame is a string of the digits 0 and 1. It
// shares nothing with the package under test but the specification.
type reference struct {
	lines  []refLine
	values map[string]string
}

type refLine struct {
	name, kind string
	width      int
	little     bool
	words      []string // of the meaning
}

func newReference(text string, values map[string]string) *reference {
	r := &reference{values: values}
	for _, s := range strings.Split(text, "\n") {
		s, _, _ = strings.Cut(s, "#")
		w := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(s, "=", " = "), "\r", " "))
		if len(w) == 0 {
			continue
		}
		l := refLine{name: w[0], kind: w[0], words: w[1:]}
		if w[0] != "payload" && w[0] != "pad" {
			l.width = refInt(w[1])
			l.words = w[2:]
			if l.words[0] == "le" {
				l.little, l.words = true, l.words[1:]
			}
			l.kind = l.words[0]
		}
		r.lines = append(r.lines, l)
	}
	return r
}

func refInt(s string) int {
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		panic(err)
	}
	return int(v)
}

func (l *refLine) has(word string) bool {
	for _, w := range l.words {
		if w == word {
			return true
		}
	}
	return false
}

// after returns the word behind word, "" if there is none.
func (l *refLine) after(word string) string {
	for i, w := range l.words[:max(0, len(l.words)-1)] {
		if w == word {
			return l.words[i+1]
		}
	}
	return ""
}

// constant returns the value that the sender writes, and whether it is required.
func (r *reference) constant(l *refLine, sender string) (v uint64, required bool) {
	w := l.words
	if w[0] == "value" {
		w = append([]string{"="}, w...)
	}
	if w[0] == "client" {
		for i := range w {
			if w[i] == sender && (w[i+1] == "=" || w[i+1] == "any") {
				w = w[i+1:]
				break
			}
		}
	}
	number := w[1]
	if number == "value" {
		number = r.values[w[2]]
	}
	v, err := strconv.ParseUint(number, 0, 64)
	if err != nil {
		panic(err)
	}
	return v, w[0] == "="
}

// digits returns v as a field of the line.
func (l *refLine) digits(v uint64) string {
	s := fmt.Sprintf("%0*b", l.width, v)
	s = s[len(s)-l.width:]
	if l.little {
		s = refSwap(s)
	}
	return s
}

func refSwap(s string) (t string) {
	for ; s != ""; s = s[8:] {
		t = s[:8] + t
	}
	return t
}

func refBits(p []byte) string {
	var b strings.Builder
	for _, v := range p {
		fmt.Fprintf(&b, "%08b", v)
	}
	return b.String()
}

func refBytes(s string) []byte {
	p := make([]byte, len(s)/8)
	for i := range p {
		v, _ := strconv.ParseUint(s[8*i:8*i+8], 2, 8)
		p[i] = byte(v)
	}
	return p
}

// sizes returns how many bits of a frame are neither payload nor the padding behind it, and whether there is a length.
func (r *reference) sizes() (fixed int, length *refLine) {
	behind := false
	for i := range r.lines {
		l := &r.lines[i]
		switch {
		case l.kind == "payload":
			behind = true
		case l.kind == "pad" && !behind:
			for fixed%(8*refInt(l.words[1])) != 0 {
				fixed++
			}
		case l.kind == "len":
			length = l
		}
		fixed += l.width
	}
	return fixed, length
}

// limits returns what the length says of an empty payload, and the longest payload.
func (r *reference) limits() (base, most int) {
	fixed, length := r.sizes()
	most = 65535 - fixed/8
	if length != nil {
		if length.has("frame") {
			base = fixed / 8
		}
		if w := length.words; len(w) == 3 {
			n, _ := strconv.ParseInt(w[2], 0, 32)
			base += int(n)
		}
		largest := new(big.Int).Lsh(big.NewInt(1), uint(length.width))
		largest.Sub(largest, big.NewInt(int64(base)+1))
		most = math.MaxInt32 - fixed/8 - 256
		if largest.IsInt64() && largest.Int64() < int64(most) {
			most = int(largest.Int64())
		}
	}
	for i := range r.lines {
		if l := &r.lines[i]; l.kind == "payload" && l.has("max") {
			most = refInt(l.after("max"))
		}
	}
	return base, most
}

// frame returns the frame number k of the sender. Fields that the reader ignores are as in like, if it is that long,
// and so are those that nobody can know; when all is false, only the latter.
func (r *reference) frame(sender string, k uint64, payload []byte, like string, all bool) string {
	parts := make([]string, len(r.lines))
	at := 0
	for i := range r.lines {
		l := &r.lines[i]
		s, ignored := r.field(l, sender, k, payload, at)
		unknown := l.kind == "random" || l.kind == "time" || all && ignored
		if unknown && at+len(s) <= len(like) {
			s = like[at : at+len(s)]
		}
		parts[i] = s
		at += len(s)
	}
	for range r.lines { // often enough for checksums that cover others
		for i := range r.lines {
			r.sum(parts, i)
		}
	}
	return strings.Join(parts, "")
}

// field returns what a line is in a frame, and whether a reader ignores it.
func (r *reference) field(l *refLine, sender string, k uint64, payload []byte, at int) (s string, ignored bool) {
	switch l.kind {
	case "payload":
		return refBits(payload), false
	case "pad":
		for (at+len(s))%(8*refInt(l.words[1])) != 0 {
			s += "0"
		}
		return s, !l.has("checked")
	case "len":
		base, _ := r.limits()
		return l.digits(uint64(len(payload) + base)), false
	case "count":
		if from := l.after("from"); from != "" {
			v, _ := strconv.ParseUint(from, 0, 64)
			k += v
		}
		return l.digits(k), !l.has("checked")
	case "random", "time":
		return l.digits(0), true
	case "=", "any", "client", "value":
		v, required := r.constant(l, sender)
		return l.digits(v), !required
	}
	return l.digits(0), false
}

// sum computes the line i of parts if it is a checksum.
func (r *reference) sum(parts []string, i int) {
	l := &r.lines[i]
	f, ok := refSums[l.kind]
	if !ok {
		return
	}
	first, last := 0, i-1
	if name := l.after("over"); name != "" {
		first, last = r.index(name), r.index(name)
	}
	if l.words[len(l.words)-1] != l.kind && len(l.words) == 5 {
		last = r.index(l.words[4])
	}
	parts[i] = strings.Repeat("0", l.width)
	parts[i] = l.digits(f(strings.Join(parts[first:last+1], "")))
}

func (r *reference) index(name string) int {
	for i := range r.lines {
		if r.lines[i].name == name {
			return i
		}
	}
	panic("no " + name)
}

// decode returns the payload of a frame, and whether a reader that has had k frames accepts it.
func (r *reference) decode(sender string, k uint64, p []byte) (payload []byte, ok bool) {
	fixed, length := r.sizes()
	if len(p)*8 < fixed {
		return nil, false
	}
	n := len(p) - fixed/8
	_, most := r.limits()
	if length != nil {
		if n, ok = r.announced(p); !ok {
			return nil, false
		}
	}
	head := r.head() / 8
	if n > most || head+n > len(p) {
		return nil, false
	}
	payload = p[head : head+n]
	bits := refBits(p)
	return payload, r.frame(sender, k, payload, bits, true) == bits
}

// head returns the length of the header in bits.
func (r *reference) head() int {
	only := &reference{values: r.values}
	for _, l := range r.lines {
		if l.kind == "payload" {
			break
		}
		only.lines = append(only.lines, l)
	}
	fixed, _ := only.sizes()
	return fixed
}

// announced returns how long the payload is that the length in p announces, and whether that is possible.
func (r *reference) announced(p []byte) (int, bool) {
	from, l := r.lengthAt()
	s := refBits(p)[from : from+l.width]
	if l.little {
		s = refSwap(s)
	}
	v, _ := new(big.Int).SetString(s, 2)
	base, most := r.limits()
	v.Sub(v, big.NewInt(int64(base)))
	if v.Sign() < 0 || v.Cmp(big.NewInt(int64(most))) > 0 {
		return 0, false
	}
	return int(v.Int64()), true
}

// align returns what the padding behind the payload aligns to, 1 without one.
func (r *reference) align() int {
	n := 1
	for _, l := range r.lines {
		switch l.kind {
		case "payload":
			n = 1
		case "pad":
			n = refInt(l.words[1])
		}
	}
	return n
}

func (r *reference) lengthAt() (int, *refLine) {
	at := &reference{}
	for i, l := range r.lines {
		if l.kind == "len" {
			fixed, _ := at.sizes()
			return fixed, &r.lines[i]
		}
		at.lines = append(at.lines, l)
	}
	return 0, nil
}

// frameLen returns the length of the frame that p begins, 0 if it cannot be told, and whether the frame is possible so
// far.
func (r *reference) frameLen(sender string, p []byte) (int, bool) {
	from, l := r.lengthAt()
	front := (from + l.width + 7) / 8
	if len(p) < front {
		return 0, true
	}
	bits, at := refBits(p[:front]), 0
	for i := range r.lines {
		s, ignored := r.field(&r.lines[i], sender, 0, nil, at)
		kind := r.lines[i].kind
		fixed := kind == "=" || kind == "any" || kind == "client" || kind == "value" || kind == "pad"
		for j := 0; fixed && !ignored && j < len(s) && at+j < len(bits); j++ {
			if bits[at+j] != s[j] {
				return 0, false
			}
		}
		if at += len(s); at >= len(bits) {
			break
		}
	}
	n, ok := r.announced(p)
	if !ok {
		return 0, false
	}
	few := n % r.align() // the rest of the frame is as long as with n
	return n - few + len(r.frame(sender, 0, make([]byte, few), "", false))/8, true
}

// refSums compute checksums of a string of digits, bit by bit.
var refSums = map[string]func(string) uint64{
	"crc16-arc":         refCRC(16, 0x8005, 0, true, 0),
	"crc16-ccitt-false": refCRC(16, 0x1021, 0xffff, false, 0),
	"crc16-kermit":      refCRC(16, 0x1021, 0, true, 0),
	"crc16-modbus":      refCRC(16, 0x8005, 0xffff, true, 0),
	"crc16-x25":         refCRC(16, 0x1021, 0xffff, true, 0xffff),
	"crc16-xmodem":      refCRC(16, 0x1021, 0, false, 0),
	"crc32":             refCRC(32, 0x04c11db7, 0xffffffff, true, 0xffffffff),
	"crc32c":            refCRC(32, 0x1edc6f41, 0xffffffff, true, 0xffffffff),
	"sum16": func(s string) uint64 {
		sum := 0
		for p := refBytes(s); len(p) > 0; p = p[2:] {
			if len(p) == 1 {
				p = append(p, 0)
			}
			if sum += int(p[0])*256 + int(p[1]); sum > 0xffff {
				sum -= 0xffff
			}
		}
		return uint64(0xffff - sum)
	},
	"xor8": func(s string) uint64 {
		var v byte
		for _, b := range refBytes(s) {
			v ^= b
		}
		return uint64(v)
	},
}

// refCRC divides polynomials as the textbook does: the bits of each byte first to last, or last to first when
// reflected.
func refCRC(width int, polynomial, initial uint64, reflected bool, final uint64) func(string) uint64 {
	return func(s string) uint64 {
		r, top := initial, uint64(1)<<(width-1)
		for ; s != ""; s = s[8:] {
			for i := range 8 {
				bit := s[i]
				if reflected {
					bit = s[7-i]
				}
				carry := (r&top != 0) != (bit == '1')
				r = r << 1 & (top<<1 - 1)
				if carry {
					r ^= polynomial
				}
			}
		}
		if reflected {
			var t uint64
			for i := range width {
				t |= r >> i & 1 << (width - 1 - i)
			}
			r = t
		}
		return r ^ final
	}
}
