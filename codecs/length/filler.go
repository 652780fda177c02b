package length

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A filler is a run of constant bytes.
type filler struct {
	value []byte
	check []byte // 0xff: required when reading; 0: ignored
}

// parseFiller reads the notation of a spec: hexadecimal bytes, each perhaps with "~" in front. name is for the error.
func parseFiller(name, s string) (filler, error) {
	var f filler
	for rest := s; rest != ""; {
		digits, ignored := strings.CutPrefix(rest, "~")
		if len(digits) < 2 {
			return filler{}, fillerError(name, s)
		}
		v, err := hex.DecodeString(digits[:2])
		if err != nil || len(f.value) == maxFiller {
			return filler{}, fillerError(name, s)
		}
		check := byte(0xff)
		if ignored {
			check = 0
		}
		f.value, f.check = append(f.value, v[0]), append(f.check, check)
		rest = digits[2:]
	}
	return f, nil
}

func fillerError(name, s string) error {
	return fmt.Errorf("length: bad %s %q (allowed: up to %d bytes in hexadecimal, each perhaps with ~ in front)",
		name, s, maxFiller)
}

func (f *filler) len() int { return len(f.value) }

// match reports whether p starts with the bytes of f that are required. p is at least as long as f.
func (f *filler) match(p []byte) bool {
	for i, v := range f.value {
		if (p[i]^v)&f.check[i] != 0 {
			return false
		}
	}
	return true
}

// lenient reports whether some bytes are ignored when reading.
func (f *filler) lenient() bool {
	for _, c := range f.check {
		if c == 0 {
			return true
		}
	}
	return false
}
