package preamble

import (
	"context"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// Connect is the method CONNECT of a web proxy. A client asks the proxy for a tunnel to the target; behind it, the
// target is at the other end. A server plays the proxy and is itself the target.
//
// https://www.rfc-editor.org/rfc/rfc9110.html#section-9.3.6
type Connect struct {
	// Target is host:port: where the client wants to go, and all that a server accepts; empty: any, for a server.
	Target string
	// Secret is what the client says, and a server demands, as Basic credentials; nil: none. They travel in clear.
	Secret *Secret
	// Accept, if not nil, is asked by a server whether it accepts a target, which is not empty. An error refuses it.
	Accept func(ctx context.Context, target string) error
}

const targetSyntax = "HOST:PORT[,secret=FILE]   (a server: both are optional)\n" +
	"HOST:PORT    where the client wants to go, and all that a server accepts (default: any)\n" +
	"secret=FILE  user:password in one line; mode 0600; without a comma in its name"

func init() {
	Register("connect", Info{
		Summary: "CONNECT of a web proxy (RFC 9110)",
		Syntax:  targetSyntax,
		Example: "connect:db.example:5432",
		Tested:  "tinyproxy 1.11 as proxy; curl 7.88, openssl s_client 3.0, stunnel 5.68 as clients; net/http as both",
	}, func(arg string) (frame.Preamble, error) {
		var c Connect
		if err := parseOptions("connect", arg, targetOption(&c.Target), secretOption(&c.Secret)); err != nil {
			return nil, err
		}
		return c, checkTarget("connect", c.Target)
	})
}

func targetOption(target *string) option  { return option{"", "HOST:PORT", into(target)} }
func secretOption(secret **Secret) option { return option{"secret", "FILE", secretInto(secret)} }

// checkTarget reports what is wrong with a target that may be empty.
func checkTarget(protocol, target string) error {
	if target == "" {
		return nil
	}
	if _, _, err := splitTarget(target); err != nil {
		return fmt.Errorf("%s: %w", protocol, err)
	}
	return nil
}

// Exchange implements [frame.Preamble].
func (c Connect) Exchange(ctx context.Context, p frame.Peeker, role frame.Role) error {
	if err := checkTarget("connect", c.Target); err != nil {
		return err
	}
	return hold("connect", p, role, c.client, func(t *talk) error { return c.server(ctx, t) })
}

func (c Connect) client(t *talk) error {
	if c.Target == "" {
		return errors.New("connect: a client needs a target: connect:HOST:PORT")
	}
	request := "CONNECT " + c.Target + " HTTP/1.1\r\nHost: " + c.Target + "\r\n"
	if c.Secret != nil {
		request += "Proxy-Authorization: " + c.Secret.basic() + "\r\n"
	}
	if err := t.send("CONNECT", []byte(request+"\r\n")); err != nil {
		return err
	}
	const want = "200 to CONNECT"
	h, status, err := answer(t, want)
	if err != nil {
		return err
	}
	switch {
	case status[0] == '2':
		return nil
	case status == "407":
		return t.refused(want, show(h.first), "the proxy wants a user name and a password: see the option secret")
	}
	return t.refused(want, show(h.first), "the proxy does not let us through to "+c.Target+", or cannot reach it")
}

func (c Connect) server(ctx context.Context, t *talk) error {
	want := "CONNECT"
	if c.Target != "" {
		want += " " + c.Target
	}
	h, err := readHead(t, want)
	if err != nil {
		return err
	}
	method, target, ok := h.request()
	switch {
	case !ok:
		return t.wrong(want, t.excerpt([]byte(h.first)), "")
	case method != "CONNECT":
		return turnDown(t, "405 Method Not Allowed", "Allow: CONNECT\r\n",
			t.refused(want, show(method), "this proxy makes tunnels only"))
	case !c.authorized(h):
		return turnDown(t, "407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"encase\"\r\n",
			t.refused(want+" with user name and password", "none, or wrong ones",
				"let it use those of the option secret"))
	}
	if err := acceptTarget(ctx, t, want, c.Accept, c.Target, target); err != nil {
		return turnDown(t, "403 Forbidden", "", err)
	}
	return t.send("the answer", []byte("HTTP/1.1 200 Connection established\r\n\r\n"))
}

func (c Connect) authorized(h httpHead) bool {
	if c.Secret == nil {
		return true
	}
	user, password, ok := basicCredentials(h.fields.Get("Proxy-Authorization"))
	return ok && c.Secret.is(user, password)
}

// acceptTarget decides whether a server lets a client through. only may be empty, accept nil.
func acceptTarget(ctx context.Context, t *talk, want string, accept func(context.Context, string) error,
	only, target string) error {
	if _, _, err := splitTarget(target); err != nil {
		return t.refused(want, show(target), "that is no HOST:PORT")
	}
	if only != "" && !sameTarget(only, target) {
		return t.refused(want, show(target), "only that target is served here")
	}
	if accept == nil {
		return nil
	}
	if err := accept(ctx, target); err != nil {
		return fmt.Errorf("%s: the target %s is refused: %w", t.name, show(target), err)
	}
	return nil
}
