package tds

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	seen := map[string]bool{}
	for rest, more := arg, arg != ""; more; {
		var option string
		option, rest, more = strings.Cut(rest, ",")
		name, value, valued := strings.Cut(option, "=")
		if seen[name] {
			return nil, fmt.Errorf("tds: %s is given twice", name)
		}
		seen[name] = true
		if err := o.set(option, name, value, valued); err != nil {
			return nil, err
		}
	}
	return New(o)
}

// set takes one option: the whole of it, what stands in front of "=", what behind, and whether there is one.
func (o *Options) set(option, name, value string, valued bool) (err error) {
	if flag := o.flag(name); flag != nil && !valued {
		*flag = true
		return nil
	}
	switch {
	case name == "size" && valued:
		if o.PacketSize, err = strconv.Atoi(value); err != nil || o.PacketSize < 1 {
			return fmt.Errorf("tds: bad number in %q (allowed: %d to %d)", option, minPacketSize, MaxPacketSize)
		}
	case name == "instance" && value != "":
		o.Prelogin.Instance = value
	case name == "version" && valued:
		o.Prelogin.Version, err = parseVersion(option, value)
	default:
		return fmt.Errorf("tds: unknown option %q (have login-only, freetds, size=N, instance=NAME, version=N.N.N, "+
			"mars, exchanged)", option)
	}
	return err
}

// flag returns the option that has no value, nil if there is none of this name.
func (o *Options) flag(name string) *bool {
	switch name {
	case "login-only":
		return &o.LoginOnly
	case "freetds":
		return &o.FreeTDS
	case "mars":
		return &o.Prelogin.MARS
	case "exchanged":
		return &o.Exchanged
	}
	return nil
}

func parseVersion(option, value string) (v Version, err error) {
	bad := fmt.Errorf("tds: bad version in %q (allowed: as 16.0.1000, up to 255.255.65535)", option)
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return v, bad
	}
	var n [3]uint64
	for i, bits := range []int{8, 8, 16} {
		if n[i], err = strconv.ParseUint(parts[i], 10, bits); err != nil {
			return v, bad
		}
	}
	return Version{Major: byte(n[0]), Minor: byte(n[1]), Build: uint16(n[2])}, nil
}
