package eap

import (
	"fmt"
	"strconv"
	"time"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	err := codecs.EachOption("eap", arg, func(_, name, value string) error {
		known, err := o.Set(name, value)
		switch {
		case err != nil:
			return fmt.Errorf("eap: %w", err)
		case !known:
			return fmt.Errorf("eap: unknown option %q (have %s)", name, OptionNames)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return New(o)
}

// OptionNames are those that Set knows, for the errors of protocols that carry EAP.
const OptionNames = "identity, mtu, max, timeout, repeat"

// Set sets the option of a spec to what its text says. known is false if there is no such option.
func (o *Options) Set(name, value string) (known bool, err error) {
	const least = 1 // a zero in a spec is not for "default"
	switch name {
	case "identity":
		if o.Identity = value; value == "" {
			err = strconv.ErrSyntax
		}
	case "mtu":
		o.MTU, err = strconv.Atoi(value)
		o.MTU = max(o.MTU, least)
	case "max":
		if o.MaxFlight, err = strconv.Atoi(value); o.MaxFlight < 1 {
			o.MaxFlight = -1
		}
	case "timeout":
		o.Timeout, err = time.ParseDuration(value)
		o.Timeout = max(o.Timeout, least)
	case "repeat":
		o.Repeat, err = time.ParseDuration(value)
		o.Repeat = max(o.Repeat, least)
	default:
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("bad value in %q (have identity=NAME, mtu=N, max=N, timeout=TIME, repeat=TIME)",
			name+"="+value)
	}
	return true, nil
}
