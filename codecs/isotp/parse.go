package isotp

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	o := Options{ClientID: 0x7e0, ServerID: 0x7e8, Padding: 0xcc}
	err := codecs.EachOption("isotp", arg, func(option, name, value string) error {
		if option == name {
			return o.setFlag(option)
		}
		return o.setValue(option, name, value)
	})
	if err != nil {
		return nil, err
	}
	o.FD = o.FD || o.BitRateSwitch
	return New(o)
}

func (o *Options) setFlag(option string) error {
	flags := map[string]*bool{"fd": &o.FD, "brs": &o.BitRateSwitch, "be": &o.BigEndian, "half": &o.HalfDuplex}
	flag, known := flags[option]
	if !known {
		return unknown(option)
	}
	*flag = true
	return nil
}

func (o *Options) setValue(option, name, value string) (err error) {
	var n uint64
	switch name {
	case "ids":
		client, server, _ := strings.Cut(value, "/")
		if o.ClientID, err = parseID(client); err == nil {
			o.ServerID, err = parseID(server)
		}
	case "pad":
		if o.NoPadding = value == "none"; !o.NoPadding {
			n, err = strconv.ParseUint(value, 16, 8)
			o.Padding = byte(n)
		}
	case "bs":
		n, err = strconv.ParseUint(value, 10, 8)
		o.BlockSize = uint8(n)
	case "max":
		n, err = strconv.ParseUint(value, 10, 16)
		o.Max = max(int(n), 1) // 0 is not for "default" here
	case "stmin":
		o.Separation, err = time.ParseDuration(value)
	case "timeout":
		o.Timeout, err = time.ParseDuration(value)
		o.Timeout = max(o.Timeout, 1)
	default:
		return unknown(option)
	}
	if err != nil {
		return fmt.Errorf("isotp: bad value in %q (have %s)", option, valued)
	}
	return nil
}

const valued = "ids=HEX/HEX with 3 or 8 digits, pad=HEX or none, bs=0 to 255, stmin=TIME, max=64 to 65535, timeout=TIME"

func unknown(option string) error {
	return fmt.Errorf("isotp: unknown option %q (have ids, fd, brs, be, pad, bs, stmin, max, timeout, half)", option)
}

// parseID reads an identifier: three digits for 11 bits, eight for 29.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	switch {
	case err != nil:
	case len(s) == 3:
		return uint32(n), nil
	case len(s) == 8 && n < Extended:
		return uint32(n) | Extended, nil
	}
	return 0, strconv.ErrSyntax
}
