package hdlc

import (
	"bytes"
	"encoding/binary"
)

const (
	maxFew     = 4    // special bytes that are searched for one by one
	firstPlain = 0x20 // bytes below are control characters
	eachByte   = 0x0101010101010101
	topOfEach  = 0x80 * eachByte
	wordLen    = 8
)

// specials are the bytes that must be escaped. Nothing changes them.
type specials struct {
	few [][]byte   // each on its own, if they are few
	is  [256]uint8 // 1 if special, 0 if not
}

func newSpecials(accm uint32) *specials {
	s := new(specials)
	s.is[flag], s.is[escape] = 1, 1
	for v := range firstPlain {
		s.is[v] = uint8(accm >> v & 1)
	}
	var all [][]byte
	for v, special := range s.is {
		if special == 1 {
			all = append(all, []byte{byte(v)})
		}
	}
	if len(all) <= maxFew {
		s.few = all
	}
	return s
}

// count returns how many special bytes p has.
func (s *specials) count(p []byte) (n int) {
	for _, v := range s.few {
		n += bytes.Count(p, v)
	}
	if s.few == nil {
		for _, v := range p {
			n += int(s.is[v])
		}
	}
	return n
}

// stuff escapes in place what lies gap bytes behind the front of p, where count has found gap special bytes: with each
// of them it comes one byte nearer to where it has to be, and with the last one it is there.
func (s *specials) stuff(p []byte, gap int) {
	if s.few == nil {
		s.stuffMany(p, gap)
		return
	}
	var next [maxFew]int // where each special byte is next
	for i, v := range s.few {
		next[i] = find(p, gap, v[0])
	}
	for to := 0; gap > 0; gap-- {
		first := 0
		for i := range s.few {
			if next[i] < next[first] {
				first = i
			}
		}
		at, v := next[first], s.few[first][0]
		next[first] = find(p, at+1, v)
		to += copy(p[to:], p[to+gap:at])
		p[to], p[to+1] = escape, v^turned
		to += 2
	}
}

// stuffMany is stuff for many special bytes, whose places no branch prediction would foresee.
func (s *specials) stuffMany(p []byte, gap int) {
	for to := 0; gap > 0; to++ {
		v := p[to+gap]
		special := s.is[v]
		p[to] = escape // or what the next line but one writes
		to += int(special)
		p[to] = v ^ special*turned
		gap -= int(special)
	}
}

// find returns where v is next in p, not before from, and len(p) if it is not.
func find(p []byte, from int, v byte) int {
	if i := bytes.IndexByte(p[from:], v); i >= 0 {
		return from + i
	}
	return len(p)
}

// unstuff takes the escapes out of p, in place, and returns how many bytes remain. ok is false if p ends with one.
func unstuff(p []byte) (n int, ok bool) {
	for from := 0; ; {
		at := find(p, from, escape)
		if n != from {
			copy(p[n:], p[from:at])
		}
		n += at - from
		if at == len(p) {
			return n, true
		}
		if at+1 == len(p) {
			return n, false
		}
		p[n] = p[at+1] ^ turned
		n++
		from = at + 2
	}
}

// strip takes out of p, in place, the control characters that can only have come on the way, and returns how many bytes
// remain. Usually there are none.
//
// https://www.rfc-editor.org/rfc/rfc1662.html#section-4.2
func (s *specials) strip(p []byte) (n int) {
	if !s.mayHaveStray(p) {
		return len(p)
	}
	for _, v := range p {
		if v >= firstPlain || s.is[v] == 0 {
			p[n] = v
			n++
		}
	}
	return n
}

// mayHaveStray reports whether p may have a control character of the ACCM.
func (s *specials) mayHaveStray(p []byte) bool {
	if s.few == nil {
		return anyControl(p)
	}
	for _, v := range s.few {
		if v[0] < firstPlain && bytes.IndexByte(p, v[0]) >= 0 {
			return true
		}
	}
	return false
}

// anyControl reports whether p has any control character. It looks at eight bytes at once.
func anyControl(p []byte) bool {
	for ; len(p) >= wordLen; p = p[wordLen:] {
		v := binary.LittleEndian.Uint64(p)
		if (v-firstPlain*eachByte)&^v&topOfEach != 0 {
			return true
		}
	}
	for _, v := range p {
		if v < firstPlain {
			return true
		}
	}
	return false
}
