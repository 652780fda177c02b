package codecs_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/encase-tls/encase/codecs"
)

func TestEachOption(t *testing.T) {
	for _, c := range []struct {
		arg   string
		calls []string
		err   string
	}{
		{"", nil, ""},
		{"lossy", []string{`"lossy" "lossy" ""`}, ""},
		{"max=1,crc=", []string{`"max=1" "max" "1"`, `"crc=" "crc" ""`}, ""},
		{"key=a=b", []string{`"key=a=b" "key" "a=b"`}, ""},
		{"x,", []string{`"x" "x" ""`, `"" "" ""`}, ""},
		{"max=1,lossy,max=2", []string{`"max=1" "max" "1"`, `"lossy" "lossy" ""`}, "demo: max is given twice"},
		{",", []string{`"" "" ""`}, "demo:  is given twice"},
		{"bad,x", []string{`"bad" "bad" ""`}, "demo: bad"},
	} {
		var calls []string
		err := codecs.EachOption("demo", c.arg, func(option, name, value string) error {
			calls = append(calls, fmt.Sprintf("%q %q %q", option, name, value))
			if option == "bad" {
				return errors.New("demo: bad")
			}
			return nil
		})
		text := ""
		if err != nil {
			text = err.Error()
		}
		if !slices.Equal(calls, c.calls) || text != c.err {
			t.Errorf("%q: %q, %v", c.arg, calls, err)
		}
	}
}
