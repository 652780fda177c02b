package preamble

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An option is one field of an argument: "name=value", a value alone (name is empty), or a name alone (form is empty).
type option struct {
	name, form string // form is what stands for the value in a grammar
	set        func(value string) error
}

func (o option) String() string {
	if o.name == "" || o.form == "" {
		return o.name + o.form
	}
	return o.name + "=" + o.form
}

// matches returns the value if field is this option.
func (o option) matches(field string) (value string, ok bool) {
	name, value, pair := strings.Cut(field, "=")
	switch {
	case o.name == "":
		return field, !pair
	case o.form == "":
		return "", field == o.name
	}
	return value, name == o.name
}

// parseOptions gives the fields of an argument to the options of the protocol.
func parseOptions(protocol, arg string, known ...option) error {
	given := map[string]bool{}
	for rest, more := arg, arg != ""; more; {
		var field string
		field, rest, more = strings.Cut(rest, ",")
		o, value, ok := find(known, field)
		switch {
		case !ok && len(known) == 0:
			return fmt.Errorf("%s: takes no argument, not %q", protocol, arg)
		case !ok:
			return fmt.Errorf("%s: unknown option %q (have %s)", protocol, field, grammar(known))
		case o.form != "" && value == "":
			return fmt.Errorf("%s: %v has no value (leave it out for the default)", protocol, o)
		case given[o.name]:
			return fmt.Errorf("%s: %v is given twice", protocol, o)
		}
		given[o.name] = true
		if err := o.set(value); err != nil {
			return fmt.Errorf("%s: %w", protocol, err)
		}
	}
	return nil
}

// find returns the option that field is. A name goes before a value alone.
func find(known []option, field string) (o option, value string, ok bool) {
	for _, o := range known {
		if v, match := o.matches(field); match && (!ok || o.name != "") {
			return o, v, true
		}
	}
	return option{}, "", false
}

func grammar(known []option) string {
	forms := make([]string, len(known))
	for i, o := range known {
		forms[i] = o.String()
	}
	return strings.Join(forms, ", ")
}

// into is an option's set that keeps the value as it is.
func into(s *string) func(string) error {
	return func(value string) error { *s = value; return nil }
}

// secretInto is an option's set that reads a file.
func secretInto(s **Secret) func(string) error {
	return func(path string) (err error) {
		*s, err = ReadSecret(path)
		return err
	}
}

// maxWord is the longest name that a dialogue carries: that of a host.
const maxWord = 255

// isWord reports whether s is one word of printable ASCII, short enough for a line, which a protocol's syntax cannot
// mistake for something else.
func isWord(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"'<>&\`, c) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= maxWord
}

// splitTarget takes "host:port" or "[IPv6]:port" apart.
func splitTarget(target string) (host string, port uint16, err error) {
	host, number, err := net.SplitHostPort(target)
	n, bad := strconv.ParseUint(number, 10, 16)
	if err != nil || bad != nil || n == 0 || !isWord(host) || strings.ContainsAny(host, "/@") {
		return "", 0, fmt.Errorf("bad target %q (allowed: HOST:PORT with a name or an address, and a number)", target)
	}
	return host, uint16(n), nil
}

// sameTarget reports whether two targets are the same by their text: the case of a name does not count.
func sameTarget(a, b string) bool {
	hostA, portA, errA := splitTarget(a)
	hostB, portB, errB := splitTarget(b)
	return errA == nil && errB == nil && portA == portB && strings.EqualFold(hostA, hostB)
}
