package preamble

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"strings"
	"unicode"

	"github.com/encase-tls/encase/frame"
)

// XMPP is STARTTLS of a chat server. Behind it both begin a new stream, the client first.
//
// https://www.rfc-editor.org/rfc/rfc6120.html#section-5
type XMPP struct {
	// Domain is what the client wants to talk to, and what the server is. Empty: "localhost" for a client, whatever the
	// client asks for for a server.
	Domain string
	// Server says that the client is a server, too.
	Server bool
}

func init() {
	Register("xmpp", Info{
		Summary: "STARTTLS of XMPP (RFC 6120)",
		Syntax: "[OPTION[,OPTION]...]\n" +
			"OPTION  domain=NAME  what a client asks for (default: localhost), all that a server is (default: any)\n" +
			"        server       the client is a server, too",
		Example: "xmpp:domain=chat.example",
		Tested:  testedSTARTTLS,
	}, func(arg string) (frame.Preamble, error) {
		var x XMPP
		err := parseOptions("xmpp", arg, option{"domain", "NAME", into(&x.Domain)},
			option{"server", "", func(string) error { x.Server = true; return nil }})
		if err != nil {
			return nil, err
		}
		return x, x.check()
	})
}

const (
	streamSpace = "http://etherx.jabber.org/streams"
	tlsSpace    = "urn:ietf:params:xml:ns:xmpp-tls"

	maxXMPP = 16 << 10 // bytes of the peer's in one dialogue
)

func (x XMPP) check() error {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }
	if len(x.Domain) > maxWord || strings.ContainsFunc(x.Domain, odd) {
		return fmt.Errorf("xmpp: bad domain %q (allowed: the name of a chat domain)", x.Domain)
	}
	return nil
}

// Exchange implements [frame.Preamble].
func (x XMPP) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	if err := x.check(); err != nil {
		return err
	}
	return hold("xmpp", p, role, x.client, x.server)
}

func (x XMPP) client(t *talk) error {
	if err := t.send("the head of the stream", x.head("to", cmp.Or(x.Domain, "localhost"), "")); err != nil {
		return err
	}
	in := newElements(t, "the head of its stream")
	head, err := in.head()
	if err != nil {
		return err
	}
	if attribute(head, "version") == "" {
		return t.refused("the head of a stream of version 1.0", "one without a version", noStartTLS)
	}
	if err := in.features(); err != nil {
		return err
	}
	if err := t.send("starttls", []byte("<starttls xmlns='"+tlsSpace+"'/>")); err != nil {
		return err
	}
	return in.proceed()
}

// head returns the head of a stream. An id is a server's.
func (x XMPP) head(direction, domain, id string) []byte {
	var b bytes.Buffer
	space := "jabber:client"
	if x.Server {
		space = "jabber:server"
	}
	fmt.Fprintf(&b, "<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s' version='1.0'",
		space, streamSpace)
	if id != "" {
		fmt.Fprintf(&b, " id='%s'", id)
	}
	if domain != "" {
		fmt.Fprintf(&b, " %s='", direction)
		xml.EscapeText(&b, []byte(domain))
		b.WriteByte('\'')
	}
	b.WriteByte('>')
	return b.Bytes()
}

func (x XMPP) server(t *talk) error {
	in := newElements(t, "the head of its stream")
	head, err := in.head()
	if err != nil {
		return err
	}
	to := attribute(head, "to")
	known := x.Domain == "" || to == "" || strings.EqualFold(to, x.Domain)
	answer := x.head("from", cmp.Or(x.Domain, to[:min(len(to), maxWord)]), rand.Text())
	if !known {
		answer = append(answer, streamError("host-unknown")...)
	} else {
		answer = append(answer, "<stream:features><starttls xmlns='"+tlsSpace+"'><required/></starttls>"+
			"</stream:features>"...)
	}
	if err := t.send("the head of the stream", answer); err != nil {
		return err
	}
	if !known {
		return t.refused("a stream to "+show(x.Domain), "one to "+show(to), "that domain is not served here")
	}
	return in.starttls()
}

// streamError returns the end of a stream for a reason.
// https://www.rfc-editor.org/rfc/rfc6120.html#section-4.9.3
func streamError(condition string) string {
	return "<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" +
		"</stream:stream>"
}
