package preamble

import (
	"context"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// POP3 is STLS of a POP3 server. Behind it the client speaks; the server does not greet again.
//
// https://www.rfc-editor.org/rfc/rfc2595.html#section-4
type POP3 struct{}

func init() {
	Register("pop3", Info{
		Summary: "STLS of a POP3 server (RFC 2595)",
		Example: "pop3",
		Tested:  testedSTARTTLS + ", stunnel 5.68 in both roles",
	}, without("pop3", POP3{}))
}

// Exchange implements [frame.Preamble].
func (o POP3) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("pop3", p, role, o.client, o.server)
}

func (POP3) client(t *talk) error {
	if err := greetedPOP3(t); err != nil {
		return err
	}
	if err := t.sendLine("STLS", "STLS"); err != nil {
		return err
	}
	return pop3Answer(t, "+OK to STLS", noStartTLS)
}

// pop3Answer reads a line that begins with +OK, or with -ERR for a refusal. Whether a message follows matters not.
func pop3Answer(t *talk, want, why string) error {
	line, err := t.line(want)
	if err != nil {
		return err
	}
	switch status, _, _ := strings.Cut(line, " "); status {
	case "+OK":
		return nil
	case "-ERR":
		return t.refused(want, show(line), why)
	}
	return t.wrong(want, []byte(line), "")
}

func (POP3) server(t *talk) error {
	return t.serve(textServer{
		greeting: "+OK ready",
		command:  "STLS",
		answer: func(line string) (verb, reply string, next step) {
			switch verb, _ = cutVerb(line); verb {
			case "STLS":
				return verb, "+OK begin TLS", begin
			case "CAPA":
				return verb, "+OK\r\nSTLS\r\n.", stay
			case "NOOP":
				return verb, "+OK", stay
			case "QUIT":
				return verb, "+OK", leave
			}
			return verb, "-ERR STLS first", refuse
		},
	})
}
