package preamble

import (
	"cmp"
	"context"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// SMTP is STARTTLS of a mail server, and of one that delivers (LMTP).
//
// Behind it the client begins anew with EHLO, and the server, which has greeted in clear, waits for that.
//
// https://www.rfc-editor.org/rfc/rfc3207.html
type SMTP struct {
	Name string // of this host, in the client's EHLO and the server's greeting; empty: "localhost"
	LMTP bool   // https://www.rfc-editor.org/rfc/rfc2033.html
}

func init() {
	register := func(name, summary, tested string, lmtp bool) {
		Register(name, Info{
			Summary: summary,
			Syntax:  "[name=HOST]   this host, in EHLO and in the greeting (default: localhost)",
			Example: name + ":name=mail.example",
			Tested:  tested,
		}, func(arg string) (frame.Preamble, error) {
			s := SMTP{LMTP: lmtp}
			if err := parseOptions(name, arg, option{"name", "HOST", into(&s.Name)}); err != nil {
				return nil, err
			}
			return s, s.check()
		})
	}
	register("smtp", "STARTTLS of a mail server (RFC 3207)", testedSTARTTLS+", stunnel 5.68 in both roles", false)
	register("lmtp", "STARTTLS of a mail server that delivers (RFC 2033, RFC 3207)", testedSTARTTLS, true)
}

func (s SMTP) protocol() (name, hello string) {
	if s.LMTP {
		return "lmtp", "LHLO"
	}
	return "smtp", "EHLO"
}

func (s SMTP) check() error {
	if s.Name != "" && !isWord(s.Name) {
		name, _ := s.protocol()
		return fmt.Errorf("%s: bad name %q (allowed: the name of a host)", name, s.Name)
	}
	return nil
}

// Exchange implements [frame.Preamble].
func (s SMTP) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	if err := s.check(); err != nil {
		return err
	}
	s.Name = cmp.Or(s.Name, "localhost")
	name, _ := s.protocol()
	return hold(name, p, role, s.client, s.server)
}

func (s SMTP) client(t *talk) error {
	if err := greeted220(t); err != nil {
		return err
	}
	_, hello := s.protocol()
	offers, err := t.ask(hello+" "+s.Name, notServing, "250")
	if err != nil {
		return err
	}
	if !hasWord(offers[1:], "STARTTLS") { // the first line is its name
		return t.refused("STARTTLS among what it offers", "a list without it", noStartTLS)
	}
	_, err = t.ask("STARTTLS", notNow, "220")
	return err
}

func (s SMTP) server(t *talk) error {
	_, hello := s.protocol()
	return t.serve(textServer{
		greeting: "220 " + s.Name + " ESMTP",
		command:  "STARTTLS",
		answer: func(line string) (verb, reply string, next step) {
			verb, rest := cutVerb(line)
			switch {
			case verb == hello && rest != "":
				return verb, "250-" + s.Name + "\r\n250 STARTTLS", stay
			case verb == "STARTTLS" && rest == "":
				return verb, "220 ready for TLS", begin
			case verb == "HELO" && !s.LMTP, verb == "NOOP", verb == "RSET":
				return verb, "250 " + s.Name, stay
			case verb == "QUIT":
				return verb, "221 " + s.Name, leave
			}
			return verb, "530 5.7.0 STARTTLS first", refuse
		},
	})
}
