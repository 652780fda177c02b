package preamble

import (
	"context"

	"github.com/encase-tls/encase/frame"
)

// NNTP is STARTTLS of a news server. Behind it the client speaks; the server does not greet again.
//
// https://www.rfc-editor.org/rfc/rfc4642.html
type NNTP struct{}

func init() {
	Register("nntp", Info{
		Summary: "STARTTLS of a news server (RFC 4642)",
		Example: "nntp",
		Tested:  testedSTARTTLS + ", stunnel 5.68 as client",
	}, without("nntp", NNTP{}))
}

// Exchange implements [frame.Preamble].
func (n NNTP) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("nntp", p, role, n.client, n.server)
}

func (NNTP) client(t *talk) error {
	if err := greetedNNTP(t); err != nil {
		return err
	}
	_, err := t.ask("STARTTLS", noStartTLS, "382")
	return err
}

func (NNTP) server(t *talk) error {
	return t.serve(textServer{
		greeting: "200 ready",
		command:  "STARTTLS",
		answer: func(line string) (verb, reply string, next step) {
			switch verb, _ = cutVerb(line); verb {
			case "STARTTLS":
				return verb, "382 begin TLS", begin
			case "CAPABILITIES":
				return verb, "101 capabilities follow\r\nVERSION 2\r\nSTARTTLS\r\n.", stay
			case "QUIT":
				return verb, "205 bye", leave
			}
			return verb, "483 STARTTLS first", refuse
		},
	})
}
