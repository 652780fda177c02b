package length

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/encase-tls/encase/frame"
)

const syntax = `WIDTH[,OPTION]...
WIDTH   8, 16, 24, 32 or 64, followed by be (the default) or le; or varint
OPTION  prefix=BYTES, suffix=BYTES  constant bytes in front of the field and behind it
        incl                        the field counts the whole frame
        adjust=N                    the field counts N bytes less than follow it
        max=N                       longest payload in bytes
BYTES   hexadecimal; a byte with ~ in front is written and ignored when reading`

// Parse returns the Maker that the argument of a spec describes, such as "16be" or "32le,incl". The grammar is in the
// package documentation.
func Parse(arg string) (frame.Maker, error) {
	o, err := parseOptions(arg)
	if err != nil {
		return nil, err
	}
	return New(o)
}

func parseOptions(arg string) (Options, error) {
	width, rest, more := strings.Cut(arg, ",")
	o, err := parseWidth(width)
	if err != nil {
		return o, err
	}
	seen := map[string]bool{}
	for more {
		var option string
		option, rest, more = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(option, "=")
		if seen[name] {
			return o, fmt.Errorf("length: %s is given twice", name)
		}
		seen[name] = true
		if err := o.set(option, name, value); err != nil {
			return o, err
		}
	}
	return o, nil
}

func parseWidth(s string) (o Options, err error) {
	digits := strings.TrimSuffix(s, "be")
	if le, ok := strings.CutSuffix(s, "le"); ok {
		digits, o.LittleEndian = le, true
	}
	switch digits {
	case "16", "24", "32", "64":
		o.Width, _ = strconv.Atoi(digits)
		return o, nil
	}
	switch s {
	case "8":
		o.Width = 8
		return o, nil
	case "varint":
		return o, nil
	}
	return o, fmt.Errorf("length: bad width %q (have 8, 16, 24, 32, 64, each but 8 with be or le, and varint)", s)
}

// set takes one option: the whole of it, what stands in front of "=" and what behind.
func (o *Options) set(option, name, value string) (err error) {
	switch {
	case option == "incl":
		o.Inclusive = true
	case option == name:
		return fmt.Errorf("length: bad option %q (have incl, prefix=BYTES, suffix=BYTES, adjust=N, max=N)", option)
	case name == "prefix":
		o.Prefix = value
	case name == "suffix":
		o.Suffix = value
	case name == "adjust":
		o.Adjust, err = strconv.Atoi(value)
	case name == "max":
		if o.Max, err = strconv.Atoi(value); err == nil && o.Max < 1 {
			err = strconv.ErrRange
		}
	default:
		return fmt.Errorf("length: unknown option %q (have incl, prefix, suffix, adjust, max)", name)
	}
	if err != nil {
		return fmt.Errorf("length: bad number in %q (allowed: decimal digits; a minus only with adjust)", option)
	}
	return nil
}
