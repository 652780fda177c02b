package preamble

import (
	"context"
	"fmt"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// IRC is STARTTLS of a chat server, which few still offer. Behind it the client registers.
//
// https://ircv3.net/specs/extensions/tls-3.1
type IRC struct{}

func init() {
	Register("irc", Info{
		Summary: "STARTTLS of an IRC server (IRCv3 tls)",
		Example: "irc",
		Tested:  testedSTARTTLS,
	}, without("irc", IRC{}))
}

// Exchange implements [frame.Preamble].
func (i IRC) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("irc", p, role, i.client, i.server)
}

func (IRC) client(t *talk) error {
	if err := t.sendLine("STARTTLS", "STARTTLS"); err != nil {
		return err
	}
	const want = "670 to STARTTLS"
	for range maxLines {
		line, err := t.line(want)
		if err != nil {
			return err
		}
		if _, rest, ok := strings.Cut(line, " "); ok && strings.HasPrefix(line, ":") {
			line = rest // without the name of the sender
		}
		switch verb, _ := cutVerb(line); verb {
		case "670":
			return nil
		case "NOTICE", "CAP":
		case "691", "421", "451", "ERROR":
			return t.refused(want, show(line), noStartTLS)
		default:
			return t.wrong(want, []byte(line), "")
		}
	}
	return t.wrong(want, nil, fmt.Sprintf("more than %d other lines", maxLines))
}

func (IRC) server(t *talk) error {
	const from = ":encase "
	return t.serve(textServer{
		command: "STARTTLS",
		answer: func(line string) (verb, reply string, next step) {
			verb, rest := cutVerb(line)
			subcommand, _ := cutVerb(rest)
			switch {
			case verb == "STARTTLS":
				return verb, from + "670 * :begin TLS", begin
			case verb == "CAP" && subcommand == "LS":
				return verb, from + "CAP * LS :tls", stay
			case verb == "CAP", verb == "NICK", verb == "USER", verb == "":
				return verb, "", stay // answered, if at all, when the registration is complete
			case verb == "QUIT":
				return verb, "ERROR :bye", leave
			}
			return verb, from + "451 * :STARTTLS first", refuse
		},
	})
}
