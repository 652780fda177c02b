package wire

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
)

// What a peer may send in a list. More is no tunnel's configuration.
const (
	maxAddresses = 16
	maxDNS       = 16
	maxFeatures  = 32
	maxString    = 255
)

// MaxRoutes is how many routes a Config may have.
const MaxRoutes = 512

// LeastMTU is the least MTU of a tunnel: IPv6 needs it.
// https://www.rfc-editor.org/rfc/rfc8200#section-5
const LeastMTU = 1280

// AppendJSON appends the body of a Hello, Config or Attach to dst.
func AppendJSON(dst []byte, message any) []byte {
	body, err := json.Marshal(message)
	if err != nil {
		panic("wire: " + err.Error()) // the types are those of this package
	}
	return append(dst, body...)
}

func parse(p []byte, message any) error {
	if len(p) > MaxBody {
		return malformed("%d bytes", len(p))
	}
	d := json.NewDecoder(bytes.NewReader(p)) // fields that it does not know are for later versions
	if err := d.Decode(message); err != nil {
		return malformed("%v", err)
	}
	if d.More() {
		return malformed("something behind the message")
	}
	return nil
}

// ParseHello parses and checks the body of a Hello. A version that is not this package's is for the caller to refuse.
func ParseHello(p []byte) (h Hello, err error) {
	if err := parse(p, &h); err != nil {
		return Hello{}, err
	}
	switch {
	case h.Version < 1:
		return h, malformed("version %d", h.Version)
	case len(h.Features) > maxFeatures || tooLong(append(h.Features, h.Name, h.Program, h.Resume)):
		return h, malformed("a hello of too many or too long parts")
	case h.MTU != 0 && (h.MTU < LeastMTU || h.MTU > 65535):
		return h, malformed("MTU %d", h.MTU)
	}
	h.Name, h.Program = shown(h.Name), shown(h.Program)
	return h, nil
}

// ParseAttach parses and checks the body of an Attach.
func ParseAttach(p []byte) (a Attach, err error) {
	if err := parse(p, &a); err != nil {
		return Attach{}, err
	}
	if a.Version < 1 || a.Token == "" || len(a.Token) > maxString {
		return a, malformed("an attach without version or token")
	}
	return a, nil
}

// ParseConfig parses and checks the body of a Config. Whether its addresses and routes are those that the client wants
// is for the caller to judge.
func ParseConfig(p []byte) (c Config, err error) {
	if err := parse(p, &c); err != nil {
		return Config{}, err
	}
	switch {
	case c.Version < 1:
		return c, malformed("version %d", c.Version)
	case len(c.Addresses) == 0 || len(c.Addresses) > maxAddresses || len(c.Gateways) > maxAddresses:
		return c, malformed("%d addresses, %d gateways", len(c.Addresses), len(c.Gateways))
	case len(c.Routes) > MaxRoutes || len(c.DNS) > maxDNS || len(c.Domains) > maxDNS || len(c.Features) > maxFeatures:
		return c, malformed("%d routes, %d DNS servers, %d domains", len(c.Routes), len(c.DNS), len(c.Domains))
	case c.Token == "" || c.Session == "" || tooLong(append(append(c.Features, c.Domains...), c.Token, c.Session)):
		return c, malformed("no session, or too long parts")
	case c.MTU < LeastMTU || c.MTU > 65535:
		return c, malformed("MTU %d", c.MTU)
	case c.Keepalive <= 0 || c.Dead < c.Keepalive || c.Rekey <= 0:
		return c, malformed("keepalive %v, dead %v, rekey %v", c.Keepalive, c.Dead, c.Rekey)
	}
	for _, a := range c.Addresses {
		if !a.IsValid() || !usable(a.Addr()) {
			return c, malformed("address %v", a)
		}
	}
	for _, r := range c.Routes {
		if !r.IsValid() || r.Masked() != r {
			return c, malformed("route %v", r)
		}
	}
	for _, a := range append(slices.Clone(c.DNS), c.Gateways...) {
		if !usable(a) {
			return c, malformed("DNS server or gateway %v", a)
		}
	}
	c.Session = shown(c.Session)
	return c, nil
}

// usable reports whether a machine can have the address.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a.Zone() == ""
}

func tooLong(list []string) bool {
	for _, s := range list {
		if len(s) > maxString {
			return true
		}
	}
	return false
}

// shown replaces what is not fit to be shown.
func shown(s string) string {
	b, _ := ParseBye(append([]byte{0}, s[:min(len(s), maxText)]...))
	return b.Text
}
