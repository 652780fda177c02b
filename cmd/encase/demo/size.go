package demo

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A size is a number of bytes; it is the value of a flag.
type size int64

const (
	minSize = 1
	maxSize = 1 << 40
)

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// Set implements pflag.Value.
func (s *size) Set(text string) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < minSize || n > maxSize/u.bytes {
			break
		}
		*s = size(n * u.bytes)
		return nil
	}
	return errors.New("want a whole number of bytes, or one with KiB, MiB or GiB behind it, up to 1024GiB")
}

// String returns the size in the largest unit that expresses it exactly.
func (s size) String() string {
	for _, u := range units {
		if int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return ""
}

// text returns the size for a sentence.
func (s size) text() string {
	for _, u := range units {
		if int64(s)%u.bytes == 0 && u.name != "" {
			return fmt.Sprintf("%d %s", int64(s)/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%d B", int64(s))
}

// Type implements pflag.Value.
func (s *size) Type() string { return "SIZE" }
