package check

import (
	"bytes"
	"iter"
	"slices"
)

// noise yields n pieces of bytes that resemble the given frames more or less. They are the caller's.
func (s *subject) noise(frames [][]byte, n int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for range n {
			f := bytes.Clone(frames[s.rng.IntN(len(frames))])
			if !yield(s.bend(f)) {
				return
			}
		}
	}
}

// bend makes something else of the frame f, in one of several ways. f is used up.
func (s *subject) bend(f []byte) []byte {
	at := 0
	if len(f) > 0 {
		at = s.rng.IntN(min(len(f), s.front))
	}
	switch s.rng.IntN(8) {
	case 0:
		return s.payload(s.rng.IntN(64))
	case 1:
		return f[:at]
	case 2:
		return append(f, s.payload(1+s.rng.IntN(8))...)
	case 3:
		return slices.Delete(f, at, min(at+1, len(f)))
	case 4:
		return slices.Insert(f, at, byte(s.rng.Uint32()))
	case 5:
		s.fill(f[at:min(at+s.rng.IntN(9), len(f))])
	default:
		for range 1 + s.rng.IntN(3) {
			if len(f) > 0 {
				f[s.rng.IntN(min(len(f), s.front))] ^= 1 << s.rng.IntN(8)
			}
		}
	}
	return f
}

// fill sets p to one of the values that length fields take badly.
func (s *subject) fill(p []byte) {
	v := []byte{0, 0x7f, 0x80, 0xff}[s.rng.IntN(4)]
	for i := range p {
		p[i] = v
	}
}

// extremes yields f with each run of bytes in its first 16 set to values that length fields take badly.
func extremes(f []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		front := min(len(f), 16)
		for from := range front {
			for to := from + 1; to <= front; to++ {
				for _, v := range []byte{0, 0x7f, 0x80, 0xff} {
					p := bytes.Clone(f)
					for i := from; i < to; i++ {
						p[i] = v
					}
					if !yield(p) {
						return
					}
				}
			}
		}
	}
}

// prefixes yields lengths of proper prefixes of n bytes: all of the first 64, and some of the others up to n-1.
func prefixes(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i < n; i++ {
			if i > 64 && i < n-4 {
				i = min(i*3/2, n-4)
			}
			if !yield(i) {
				return
			}
		}
	}
}
