package eap

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/encase-tls/encase/frame"
)

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	err := Each(arg, func(name, value string) error {
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

// Each calls set for each option of a spec's argument, "name=value" with commas between them. Its error says what is
// wrong with their form, without the name of a codec only if it is set's own.
func Each(arg string, set func(name, value string) error) error {
	seen := map[string]bool{}
	for rest, more := arg, arg != ""; more; {
		var option string
		option, rest, more = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(option, "=")
		if seen[name] {
			return fmt.Errorf("eap: %s is given twice", name)
		}
		seen[name] = true
		if err := set(name, value); err != nil {
			return err
		}
	}
	return nil
}

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
