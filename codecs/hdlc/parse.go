package hdlc

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	if err := codecs.EachOption("hdlc", arg, o.set); err != nil {
		return nil, err
	}
	return New(o)
}

// set takes one option: the whole of it, what stands in front of "=" and what behind.
func (o *Options) set(option, name, value string) (err error) {
	switch {
	case option == "lossy":
		o.Lossy = true
	case name == "fcs":
		o.FCS, err = positive(option, value)
	case name == "max":
		o.Max, err = positive(option, value)
	case name == "accm":
		o.ACCM, err = parseACCM(value)
	case name == "header":
		o.Header, err = parseHeader(value)
	default:
		err = fmt.Errorf("hdlc: unknown option %q (have fcs=16, fcs=32, accm=HEX, header=BYTES, max=N, lossy)", option)
	}
	return err
}

func positive(option, value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("hdlc: bad number in %q (allowed: fcs=16, fcs=32; max=1 to %d)", option, maxMax)
	}
	return n, nil
}

func parseACCM(value string) (uint32, error) {
	n, err := strconv.ParseUint(value, 16, 32)
	if err != nil || len(value) != 8 {
		return 0, fmt.Errorf("hdlc: bad accm %q (allowed: eight hexadecimal digits)", value)
	}
	return uint32(n), nil
}

func parseHeader(value string) ([]byte, error) {
	if value == "none" {
		return []byte{}, nil
	}
	p, err := hex.DecodeString(value)
	if err != nil || len(p) == 0 || len(p) > maxHeader {
		return nil, fmt.Errorf("hdlc: bad header %q (allowed: 1 to %d bytes in hexadecimal, or none)", value, maxHeader)
	}
	return p, nil
}
