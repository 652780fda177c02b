package preamble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/encase-tls/encase/frame"
)

// SOCKS5 is version 5 of SOCKS with its command CONNECT. A client asks the proxy for a connection to the target; behind
// it, the target is at the other end. A server plays the proxy and is itself the target.
//
// https://www.rfc-editor.org/rfc/rfc1928.html
type SOCKS5 struct {
	// Target is host:port: where the client wants to go, and all that a server accepts; empty: any, for a server. It is
	// the proxy that looks names up.
	Target string
	// Secret is what the client says if it is asked, and a server demands; nil: none. It travels in clear.
	Secret *Secret
	// Accept, if not nil, is asked by a server whether it accepts a target, which is not empty. An error refuses it.
	Accept func(ctx context.Context, target string) error
}

func init() {
	Register("socks5", Info{
		Summary: "CONNECT of a SOCKS 5 proxy (RFC 1928, RFC 1929)",
		Syntax:  targetSyntax,
		Example: "socks5:db.example:5432",
		Tested:  "microsocks 1.0 as proxy, curl 7.88 and net/http as clients",
	}, func(arg string) (frame.Preamble, error) {
		var s SOCKS5
		if err := parseOptions("socks5", arg, targetOption(&s.Target), secretOption(&s.Secret)); err != nil {
			return nil, err
		}
		return s, checkTarget("socks5", s.Target)
	})
}

const (
	socksVersion  = 5
	socksAuth     = 1 // version of the dialogue about user and password
	socksNoAuth   = 0
	socksPassword = 2
	socksNoMethod = 0xff
	socksConnect  = 1
	socksIPv4     = 1
	socksName     = 3
	socksIPv6     = 4

	socksNotAllowed = 2
	socksNoCommand  = 7
	socksNoAddress  = 8
)

// https://www.rfc-editor.org/rfc/rfc1928.html#section-6
var socksReplies = []string{"success", "general failure", "not allowed by its rules", "network unreachable",
	"host unreachable", "connection refused", "TTL expired", "command not supported", "address type not supported"}

// Exchange implements [frame.Preamble].
func (s SOCKS5) Exchange(ctx context.Context, p frame.Peeker, role frame.Role) error {
	if err := checkTarget("socks5", s.Target); err != nil {
		return err
	}
	return hold("socks5", p, role, s.client, func(t *talk) error { return s.server(ctx, t) })
}

func (s SOCKS5) client(t *talk) error {
	host, port, err := splitTarget(s.Target)
	if err != nil {
		return errors.New("socks5: a client needs a target: socks5:HOST:PORT")
	}
	if err := s.authenticate(t); err != nil {
		return err
	}
	request := append([]byte{socksVersion, socksConnect, 0}, socksAddress(host)...)
	if err := t.send("the request", binary.BigEndian.AppendUint16(request, port)); err != nil {
		return err
	}
	const want = "success"
	reply, err := readSOCKS(t, want)
	switch {
	case err != nil:
		return err
	case reply != 0:
		return t.refused(want, fmt.Sprintf("the reply %d (%s)", reply, socksReplyText(reply)),
			"the proxy does not let us through to "+s.Target+", or cannot reach it")
	}
	_, err = readSOCKSAddress(t, want)
	return err
}

func socksReplyText(code byte) string {
	if int(code) < len(socksReplies) {
		return socksReplies[code]
	}
	return "unassigned"
}

// authenticate agrees on a method, and does what it asks for.
func (s SOCKS5) authenticate(t *talk) error {
	hello := []byte{socksVersion, 1, socksNoAuth}
	if s.Secret != nil {
		hello = []byte{socksVersion, 2, socksNoAuth, socksPassword}
	}
	if err := t.send("the hello", hello); err != nil {
		return err
	}
	const want = "a method of authentication"
	if err := t.expect(string([]byte{socksVersion}), want); err != nil {
		return err
	}
	method, err := t.takeByte(want)
	switch {
	case err != nil:
		return err
	case method == socksNoAuth:
		return nil
	case method == socksPassword && s.Secret != nil:
		return s.logIn(t)
	case method == socksNoMethod:
		return t.refused(want, "none", "the proxy wants a user name and a password, or others: see the option secret")
	}
	return t.wrong(want, []byte{socksVersion, method}, "that was not offered")
}

// logIn says user name and password.
// https://www.rfc-editor.org/rfc/rfc1929.html#section-2
func (s SOCKS5) logIn(t *talk) error {
	request := append([]byte{socksAuth, byte(len(s.Secret.user))}, s.Secret.user...)
	request = append(append(request, byte(len(s.Secret.password))), s.Secret.password...)
	if err := t.send("user name and password", request); err != nil {
		return err
	}
	const want = "success to user name and password"
	answer, err := t.take(2, want)
	switch {
	case err != nil:
		return err
	case answer[1] != 0: // some send a version of their own
		return t.refused(want, fmt.Sprintf("the status %d", answer[1]), "is the user:password in the file right?")
	}
	return nil
}

// socksAddress returns the form of a host in a request.
func socksAddress(host string) []byte {
	ip, err := netip.ParseAddr(host)
	switch ip = ip.WithZone(""); {
	case err != nil:
		return append([]byte{socksName, byte(len(host))}, host...)
	case ip.Is4():
		return append([]byte{socksIPv4}, ip.AsSlice()...)
	}
	return append([]byte{socksIPv6}, ip.AsSlice()...)
}

// readSOCKS reads the start of a request or a reply: the command or the reply's code.
func readSOCKS(t *talk, want string) (code byte, err error) {
	if err := t.expect(string([]byte{socksVersion}), want); err != nil {
		return 0, err
	}
	return t.takeByte(want)
}

// readSOCKSAddress reads the rest: a zero and the address. One of an unknown type has an unknown length, and nothing
// can be read behind it.
func readSOCKSAddress(t *talk, want string) (target string, err error) {
	head, err := t.take(2, want)
	if err != nil {
		return "", err
	}
	var host []byte
	switch kind := head[1]; kind {
	case socksIPv4:
		host, err = t.take(net.IPv4len, want)
	case socksIPv6:
		host, err = t.take(net.IPv6len, want)
	case socksName:
		host, err = takeCounted(t, want)
	default:
		return "", t.wrong(want, head, "an address of an unknown type")
	}
	if err != nil {
		return "", err
	}
	port, err := t.take(2, want)
	if err != nil {
		return "", err
	}
	name := string(host)
	if ip, ok := netip.AddrFromSlice(host); ok && head[1] != socksName {
		name = ip.String()
	}
	return net.JoinHostPort(name, strconv.Itoa(int(binary.BigEndian.Uint16(port)))), nil
}
