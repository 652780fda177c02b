package preamble

import (
	"context"
	"fmt"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// IMAP is STARTTLS of an IMAP server. Behind it the client speaks; the server does not greet again.
//
// https://www.rfc-editor.org/rfc/rfc9051.html#section-6.2.1
type IMAP struct{}

func init() {
	Register("imap", Info{
		Summary: "STARTTLS of an IMAP server (RFC 9051)",
		Example: "imap",
		Tested:  testedSTARTTLS + ", stunnel 5.68 in both roles",
	}, without("imap", IMAP{}))
}

// without parses the argument of a preamble that takes none.
func without(name string, p frame.Preamble) func(string) (frame.Preamble, error) {
	return func(arg string) (frame.Preamble, error) { return p, parseOptions(name, arg) }
}

// Exchange implements [frame.Preamble].
func (i IMAP) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("imap", p, role, i.client, i.server)
}

func (IMAP) client(t *talk) error {
	if err := greetedIMAP(t); err != nil {
		return err
	}
	const tag = "a1"
	if err := t.sendLine("STARTTLS", tag+" STARTTLS"); err != nil {
		return err
	}
	return imapAnswer(t, tag)
}

// imapAnswer reads the answer to STARTTLS. Lines that begin with "*" may precede it.
func imapAnswer(t *talk, tag string) error {
	const want = "OK to STARTTLS"
	for range maxLines {
		line, err := t.line(want)
		if err != nil {
			return err
		}
		first, rest, _ := strings.Cut(line, " ")
		status, _ := cutVerb(rest)
		switch {
		case first == tag && status == "OK":
			return nil
		case first == tag && (status == "NO" || status == "BAD"):
			return t.refused(want, show(line), notNow)
		case first == "*" && status == "BYE":
			return t.refused(want, show(line), notServing)
		case first != "*":
			return t.wrong(want, []byte(line), "")
		}
	}
	return t.wrong(want, nil, fmt.Sprintf("more than %d other lines", maxLines))
}

func (IMAP) server(t *talk) error {
	const capabilities = "CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED"
	return t.serve(textServer{
		greeting: "* OK [" + capabilities + "] ready",
		command:  "STARTTLS",
		answer: func(line string) (verb, reply string, next step) {
			tag, rest, _ := strings.Cut(line, " ")
			verb, rest = cutVerb(rest)
			switch {
			case !isWord(tag):
				return verb, "* BAD no tag", refuse
			case rest != "":
				return verb, tag + " NO STARTTLS first", refuse
			case verb == "STARTTLS":
				return verb, tag + " OK begin TLS", begin
			case verb == "CAPABILITY":
				return verb, "* " + capabilities + "\r\n" + tag + " OK done", stay
			case verb == "NOOP":
				return verb, tag + " OK done", stay
			case verb == "LOGOUT":
				return verb, "* BYE\r\n" + tag + " OK done", leave
			}
			return verb, tag + " NO STARTTLS first", refuse
		},
	})
}
