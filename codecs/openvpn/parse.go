package openvpn

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/encase-tls/encase/frame"
)

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation. Key files
// are read now, once.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	seen := map[string]bool{}
	for rest, more := arg, arg != ""; more; {
		var option string
		option, rest, more = strings.Cut(rest, ",")
		name, value, valued := strings.Cut(option, "=")
		if name == "udp" {
			name = "tcp" // they are one option
		}
		if seen[name] {
			return nil, fmt.Errorf("openvpn: %s is given twice, or contradicts another option", option)
		}
		seen[name] = true
		if err := o.set(option, name, value, valued); err != nil {
			return nil, err
		}
	}
	return New(o)
}

// set takes in an option. A zero that is given is not the zero that stands for a default: New refuses it.
func (o *Options) set(option, name, value string, valued bool) (err error) {
	switch name {
	case "tcp":
		if valued {
			return unknown(option)
		}
		o.TCP = option == "tcp"
		return nil
	case "tls-auth":
		o.Auth, err = ReadStaticKey(value)
		return err
	case "tls-crypt":
		o.Crypt, err = ReadStaticKey(value)
		return err
	case "tls-crypt-v2":
		return o.readKeyV2(value)
	case "auth":
		o.Digest, err = choose[Digest](value, "sha1", "sha256", "sha384", "sha512")
	case "direction":
		o.Direction, err = choose[Direction](value, "normal", "reverse", "none")
	case "max-age":
		o.MaxAge, err = parseDays(value)
	case "mtu":
		o.MTU, err = strconv.Atoi(value)
		o.MTU = max(o.MTU, 1)
	case "retry":
		o.Retry, err = time.ParseDuration(value)
		o.Retry = max(o.Retry, 1)
	case "timeout":
		o.Timeout, err = time.ParseDuration(value)
		o.Timeout = max(o.Timeout, 1)
	case "session":
		err = o.setSession(value)
	default:
		return unknown(option)
	}
	if err != nil {
		return fmt.Errorf("openvpn: bad value in %q (have %s)", option, values)
	}
	return nil
}

const values = "auth=sha1, sha256, sha384 or sha512, direction=normal, reverse or none, max-age=1 to 36500, " +
	"mtu=384 to 1500, retry=TIME, timeout=TIME, session=16 digits, not all 0"

func unknown(option string) error {
	return fmt.Errorf("openvpn: unknown option %q (have udp, tcp, tls-auth, auth, direction, tls-crypt, tls-crypt-v2, "+
		"max-age, mtu, retry, timeout, session)", option)
}

// choose returns the index of value among the names.
func choose[T ~uint8](value string, names ...string) (T, error) {
	for i, name := range names {
		if name == value {
			return T(i), nil
		}
	}
	return 0, strconv.ErrSyntax
}

func parseDays(value string) (time.Duration, error) {
	days, err := strconv.Atoi(value)
	if err != nil || days < 1 || days > maxMaxAge {
		return 0, strconv.ErrSyntax
	}
	return time.Duration(days) * day, nil
}

func (o *Options) setSession(value string) error {
	id, err := hex.DecodeString(value)
	if err != nil || len(id) != sessionLen {
		return strconv.ErrSyntax
	}
	o.SessionID = sessionID(id)
	if o.SessionID == (sessionID{}) {
		return strconv.ErrSyntax
	}
	return nil
}
