package preamble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// Upgrade is the change from HTTP/1.1 to another protocol on the same connection. (For WebSocket there is a codec.)
//
// https://www.rfc-editor.org/rfc/rfc9110.html#section-7.8
type Upgrade struct {
	Protocol string // one token, perhaps with a version: "encase", "TLS/1.0"; needed
	Host     string // of the client's request, perhaps with a port; empty: "localhost". A server takes any
	Path     string // of the request, perhaps with a query; empty: "/" for a client, any for a server
}

func init() {
	Register("upgrade", Info{
		Summary: "Upgrade of HTTP/1.1 (RFC 9110)",
		Syntax: "PROTOCOL[,OPTION]...\n" +
			"PROTOCOL            the name of what follows, perhaps with a version: encase, TLS/1.0\n" +
			"OPTION  host=HOST   what the client names as Host (default: localhost)\n" +
			"        path=PATH   what the client asks for (default: /), and all that a server accepts (default: any)",
		Example: "upgrade:encase,host=www.example,path=/tunnel",
		Tested:  "net/http in both roles",
	}, func(arg string) (frame.Preamble, error) {
		var u Upgrade
		err := parseOptions("upgrade", arg, option{"", "PROTOCOL", into(&u.Protocol)},
			option{"host", "HOST", into(&u.Host)}, option{"path", "PATH", into(&u.Path)})
		if err != nil {
			return nil, err
		}
		return u, u.check()
	})
}

func (u Upgrade) check() error {
	name, version, more := strings.Cut(u.Protocol, "/")
	if u.Protocol == "" {
		return errors.New("upgrade: no protocol: upgrade:PROTOCOL")
	}
	if !isToken(name) || more && !isToken(version) {
		return fmt.Errorf("upgrade: bad protocol %q (allowed: a token of HTTP, perhaps with /VERSION)", u.Protocol)
	}
	if u.Host != "" && (!isWord(u.Host) || strings.ContainsAny(u.Host, "/@?#")) {
		return fmt.Errorf("upgrade: bad host %q (allowed: a name or an address, perhaps with :port)", u.Host)
	}
	if u.Path != "" {
		p, err := url.ParseRequestURI(u.Path)
		if err != nil || u.Path[0] != '/' || p.RequestURI() != u.Path {
			return fmt.Errorf("upgrade: bad path %q (allowed: a path from /, escaped as in a URL)", u.Path)
		}
	}
	return nil
}

// Exchange implements [frame.Preamble].
func (u Upgrade) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	if err := u.check(); err != nil {
		return err
	}
	return hold("upgrade", p, role, u.client, u.server)
}

func (u Upgrade) client(t *talk) error {
	request := "GET " + cmp.Or(u.Path, "/") + " HTTP/1.1\r\nHost: " + cmp.Or(u.Host, "localhost") +
		"\r\nConnection: Upgrade\r\nUpgrade: " + u.Protocol + "\r\n\r\n"
	if err := t.send("the request", []byte(request)); err != nil {
		return err
	}
	want := "101 with Upgrade: " + u.Protocol
	h, status, err := answer(t, want)
	switch {
	case err != nil:
		return err
	case status != "101":
		return t.refused(want, show(h.first), "it does not offer this protocol there; are host and path right?")
	case !h.lists("Upgrade", u.Protocol):
		return t.wrong(want, []byte(h.fields.Get("Upgrade")), "it goes on with another protocol")
	}
	return nil
}

func (u Upgrade) server(t *talk) error {
	want := "a request with Upgrade: " + u.Protocol
	h, err := readHead(t, want)
	if err != nil {
		return err
	}
	_, target, ok := h.request()
	switch {
	case !ok:
		return t.wrong(want, t.excerpt([]byte(h.first)), "")
	case !u.samePath(target):
		return turnDown(t, "404 Not Found", "",
			t.refused(want+" for "+u.Path, "one for another path", "let it use that path"))
	case !h.lists("Upgrade", u.Protocol) || !h.lists("Connection", "Upgrade") || strings.HasSuffix(h.first, "/1.0"):
		return turnDown(t, "426 Upgrade Required", "Upgrade: "+u.Protocol+"\r\n",
			t.refused(want, "one without it", "it is another kind of client, or a proxy on the way takes that out"))
	case h.hasBody():
		return turnDown(t, "400 Bad Request", "", t.refused(want, "one with a body", "there is no use for a body"))
	}
	answer := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + u.Protocol + "\r\n\r\n"
	return t.send("the answer", []byte(answer))
}

// samePath reports whether a target is what Path asks for. A query counts only if Path has one.
func (u Upgrade) samePath(target string) bool {
	if !strings.Contains(u.Path, "?") {
		target, _, _ = strings.Cut(target, "?")
	}
	return u.Path == "" || u.Path == target
}
