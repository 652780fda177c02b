package desc

import "encoding/binary"

// A matcher compares the bits that are required of a run of bytes, eight bytes at a time where there are so many.
type matcher struct {
	words []wordMatch
	bytes []byteMatch // of runs shorter than a word
}

type wordMatch struct {
	off        int
	want, mask uint64
}

type byteMatch struct {
	off        int
	want, mask byte
}

// newMatcher returns a matcher of the bits of want that are set in mask, which is as long.
func newMatcher(want, mask []byte) (m matcher) {
	if len(want) < 8 {
		for i := range want {
			if mask[i] != 0 {
				m.bytes = append(m.bytes, byteMatch{i, want[i] & mask[i], mask[i]})
			}
		}
		return m
	}
	for i := 0; i < len(want); i += 8 {
		off := min(i, len(want)-8) // the last word may overlap the one before
		w := wordMatch{off, binary.NativeEndian.Uint64(want[off:]), binary.NativeEndian.Uint64(mask[off:])}
		if w.mask != 0 {
			w.want &= w.mask
			m.words = append(m.words, w)
		}
	}
	return m
}

// match reports whether p has the required bits. p is at least as long as the run.
func (m *matcher) match(p []byte) bool {
	for i := range m.words {
		w := &m.words[i]
		if binary.NativeEndian.Uint64(p[w.off:])&w.mask != w.want {
			return false
		}
	}
	for i := range m.bytes {
		b := &m.bytes[i]
		if p[b.off]&b.mask != b.want {
			return false
		}
	}
	return true
}

// zero reports whether p is all zeros.
func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
