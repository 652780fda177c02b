package forward

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An address is where to listen or to connect to.
type address struct {
	network string // "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix"
	target  string // host:port, or a path
}

// String returns the address as it is written in a configuration.
func (a address) String() string {
	switch a.network {
	case "tcp":
		return a.target
	case "unix", "udp":
		return a.network + ":" + a.target
	}
	return a.network + "://" + a.target
}

func (a address) isUnix() bool { return a.network == "unix" }

// isUDP reports whether the address takes datagrams; others take streams.
func (a address) isUDP() bool { return strings.HasPrefix(a.network, "udp") }

// host returns the host of a TCP or UDP address; empty for others.
func (a address) host() string {
	if a.isUnix() {
		return ""
	}
	host, _, _ := net.SplitHostPort(a.target)
	return host
}

// anyPort reports whether the system chooses the port: then two listeners with this address are not one.
func (a address) anyPort() bool { return !a.isUnix() && strings.HasSuffix(a.target, ":0") }

// maxUnixPath is what fits sun_path on every system, with its final zero.
const maxUnixPath = 103

// parseAddress reads HOST:PORT, tcp://HOST:PORT, tcp4://, tcp6://, udp:HOST:PORT, udp4:, udp6: or unix:PATH; slashes
// may follow each colon. An empty host is for listening only.
func parseAddress(s string, listening bool) (address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return parseUnix(path)
	}
	network, rest := splitNetwork(s)
	prefix := strings.TrimSuffix(s, rest)
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
	default:
		return address{}, fmt.Errorf("%q is no address; write HOST:PORT, tcp://HOST:PORT, udp:HOST:PORT or unix:PATH", s)
	}
	if _, err := strconv.Atoi(rest); err == nil {
		return address{}, fmt.Errorf(`%q has no host; write "%s127.0.0.1:%s", or "%[2]s:%s" to listen on all interfaces`,
			s, prefix, rest)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return address{}, fmt.Errorf("%q: %s; write HOST:PORT, and an IPv6 address in [brackets]", s, addrFault(err))
	}
	if host == "" && !listening {
		return address{}, fmt.Errorf(`%q has no host; write "%s127.0.0.1:%s"`, s, prefix, port)
	}
	if err := checkPort(network, port, listening); err != nil {
		return address{}, err
	}
	return address{network, rest}, nil
}

// splitNetwork returns the network in front of an address, and what is behind it; without one it is TCP.
func splitNetwork(s string) (network, rest string) {
	for _, udp := range []string{"udp", "udp4", "udp6"} {
		if rest, ok := strings.CutPrefix(s, udp+":"); ok {
			return udp, strings.TrimPrefix(rest, "//")
		}
	}
	if network, rest, ok := strings.Cut(s, "://"); ok {
		return network, rest
	}
	return "tcp", s
}

func parseUnix(path string) (address, error) {
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		path = rest
	}
	switch {
	case path == "":
		return address{}, errors.New("no path after unix:; write unix:/run/name.sock")
	case len(path) > maxUnixPath:
		return address{}, fmt.Errorf("the path has %d bytes, a Unix socket's may have %d; choose a shorter one",
			len(path), maxUnixPath)
	}
	return address{"unix", path}, nil
}

func checkPort(network, port string, listening bool) error {
	n, err := net.LookupPort(network, cmp.Or(port, "none"))
	switch {
	case err != nil:
		return fmt.Errorf("%q is no port; write a number from 1 to 65535, or a name from /etc/services", port)
	case n == 0 && !listening:
		return errors.New("port 0 cannot be connected to; write the number of the port")
	}
	return nil
}

func addrFault(err error) string {
	var e *net.AddrError
	if errors.As(err, &e) {
		return e.Err
	}
	return err.Error()
}
