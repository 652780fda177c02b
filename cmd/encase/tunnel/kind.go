package tunnel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
)

// A kind is what a key may hold. parse makes what the program works with from what TOML has; its error says what to
// write instead.
type kind struct {
	name  string // for the manual
	parse func(v any) (any, error)
}

// conventional returns a number of bytes as a configuration has it.
func conventional(n int64) string { return conf.SizeText(n) }

var text = kind{"string", func(v any) (any, error) {
	t, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("must be a string: write it between quotation marks")
	}
	return t, nil
}}

var yes = kind{"true or false", func(v any) (any, error) {
	b, ok := v.(bool)
	if !ok {
		return nil, fmt.Errorf("must be true or false, without quotation marks")
	}
	return b, nil
}}

// number is a whole number from least to most, an int.
func number(least, most int64) kind {
	return kind{fmt.Sprintf("number, %d to %d", least, most), func(v any) (any, error) {
		n, ok := v.(int64)
		switch {
		case !ok:
			return nil, fmt.Errorf("must be a whole number, without quotation marks")
		case n != least && least == most:
			return nil, fmt.Errorf("is %d; this program reads %d", n, least)
		case n < least || n > most:
			return nil, fmt.Errorf("is out of bounds; %d to %d are allowed", least, most)
		}
		return int(n), nil
	}}
}

func duration(least, most time.Duration) kind {
	return kind{fmt.Sprintf("duration, %s to %s", short(least), short(most)), func(v any) (any, error) {
		t, _ := v.(string)
		d, err := time.ParseDuration(t)
		switch {
		case err != nil:
			return nil, fmt.Errorf(`must be a duration; write "500ms", "30s", "5m" or "1h30m"`)
		case d < least || d > most:
			return nil, fmt.Errorf("is out of bounds; %s to %s are allowed", short(least), short(most))
		}
		return d, nil
	}}
}

// short writes a duration without the parts that are zero.
func short(d time.Duration) string {
	t := d.String()
	if strings.HasSuffix(t, "m0s") {
		t = strings.TrimSuffix(t, "0s")
	}
	if strings.HasSuffix(t, "h0m") {
		t = strings.TrimSuffix(t, "0m")
	}
	return t
}

// size is a number of bytes, an int.
func size(least, most int64) kind {
	bounds := conf.SizeText(least) + " to " + conf.SizeText(most)
	return kind{"size, " + bounds, func(v any) (any, error) {
		t, _ := v.(string)
		n, ok := conf.ParseSize(t)
		switch {
		case !ok:
			return nil, fmt.Errorf(`must be a size; write "64KiB" or "1MiB"`)
		case n < least || n > most:
			return nil, fmt.Errorf("is out of bounds; %s are allowed", bounds)
		}
		return int(n), nil
	}}
}

func choice(allowed ...string) kind {
	return kind{strings.Join(allowed, ", "), func(v any) (any, error) {
		t, ok := v.(string)
		if !ok || !slices.Contains(allowed, t) {
			return nil, fmt.Errorf("%s is not allowed; choose one of %q", shown(v), allowed)
		}
		return t, nil
	}}
}

func shown(v any) string {
	if t, ok := v.(string); ok {
		return strconv.Quote(t)
	}
	return fmt.Sprint(v)
}

// address is HOST:PORT.
var address = kind{"HOST:PORT", func(v any) (any, error) {
	t, _ := v.(string)
	_, port, err := net.SplitHostPort(t)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return nil, fmt.Errorf(`%s is no address; write "vpn.example.net:443", "192.0.2.1:443" or "[2001:db8::1]:443"`,
			shown(v))
	}
	return t, nil
}}

var texts = kind{"list of strings", func(v any) (any, error) {
	return list(v, `must be a list of strings: ["a", "b"]`, func(t string) (string, error) {
		if strings.TrimSpace(t) == "" {
			return "", fmt.Errorf("there is an empty string in it; take it out")
		}
		return t, nil
	})
}}

// prefixes are addresses with the length of their network.
var prefixes = kind{"list of addresses with a length", func(v any) (any, error) {
	return list(v, `must be a list: ["10.66.0.1/24", "fd66::1/64"]`, func(t string) (netip.Prefix, error) {
		p, err := netip.ParsePrefix(t)
		if err != nil || p.Addr().Is4In6() || p.Addr().IsUnspecified() {
			return p, fmt.Errorf(`%q is no address with the length of its network; write "10.66.0.1/24" or "fd66::1/64"`, t)
		}
		return p, nil
	})
}}

var networks = kind{"list of networks", func(v any) (any, error) {
	return list(v, `must be a list: ["10.0.0.0/8", "fd00::/8"]`, func(t string) (netip.Prefix, error) {
		p, err := netip.ParsePrefix(t)
		switch {
		case err != nil || p.Addr().Is4In6():
			return p, fmt.Errorf(`%q is no network; write "10.0.0.0/8" or "fd00::/8"`, t)
		case p.Masked() != p:
			return p, fmt.Errorf("%q has bits behind its length; write %q", t, p.Masked())
		}
		return p, nil
	})
}}

var addresses = kind{"list of addresses", func(v any) (any, error) {
	return list(v, `must be a list: ["10.66.0.53"]`, func(t string) (netip.Addr, error) {
		a, err := netip.ParseAddr(t)
		if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return a, fmt.Errorf(`%q is no address of a machine; write "10.66.0.53" or "fd66::53"`, t)
		}
		return a, nil
	})
}}

// list parses each string of a list; a single one may be written without brackets.
func list[T comparable](v any, what string, parse func(string) (T, error)) ([]T, error) {
	if t, ok := v.(string); ok {
		v = []any{t}
	}
	all, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s", what)
	}
	out := []T{}
	for _, v := range all {
		t, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%s", what)
		}
		parsed, err := parse(t)
		if err != nil {
			return nil, err
		}
		out = append(out, parsed)
	}
	return out, nil
}
