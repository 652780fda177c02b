package tpkt

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	if err := codecs.EachOption("tpkt", arg, o.set); err != nil {
		return nil, err
	}
	return New(o)
}

// set takes one option: the whole of it, what stands in front of "=" and what behind.
func (o *Options) set(option, name, value string) (err error) {
	switch {
	case option == "connected":
		o.Connected = true
	case name == "calling":
		o.Calling, err = parseTSAP(option, value)
	case name == "called":
		o.Called, err = parseTSAP(option, value)
	case name == "size":
		if o.Size, err = strconv.Atoi(value); err != nil || o.Size < 1 {
			return fmt.Errorf("tpkt: bad number in %q (allowed: %d, %d, .. %d)", option, minSize, 2*minSize, maxSize)
		}
	default:
		err = fmt.Errorf("tpkt: unknown option %q (have calling=TSAP, called=TSAP, size=N, connected)", option)
	}
	return err
}

func parseTSAP(option, value string) ([]byte, error) {
	p := []byte(value)
	if digits, ok := strings.CutPrefix(value, "0x"); ok {
		var err error
		if p, err = hex.DecodeString(digits); err != nil {
			return nil, fmt.Errorf("tpkt: bad hexadecimal bytes in %q", option)
		}
	}
	if len(p) == 0 || len(p) > maxTSAP {
		return nil, fmt.Errorf("tpkt: bad TSAP in %q (allowed: 1 to %d bytes, as text or behind 0x)", option, maxTSAP)
	}
	return p, nil
}
