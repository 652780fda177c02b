package conf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

var units = []struct {
	name   string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}}

// ParseSize returns a number of bytes such as "64KiB", and whether t is one.
func ParseSize(t string) (int64, bool) {
	for _, u := range units {
		if digits, ok := strings.CutSuffix(t, u.name); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 31)
			return int64(n) * u.factor, err == nil
		}
	}
	return 0, false
}

// SizeText returns n bytes as ParseSize reads them.
func SizeText(n int64) string {
	for _, u := range slices.Backward(units[:3]) {
		if n >= u.factor && n%u.factor == 0 {
			return fmt.Sprintf("%d%s", n/u.factor, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}
