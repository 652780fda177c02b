package preamble

import (
	"context"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// FTP is AUTH TLS on the control connection of an FTP server. Behind it the client speaks. Data connections are others.
//
// https://www.rfc-editor.org/rfc/rfc4217.html#section-4
type FTP struct{}

func init() {
	Register("ftp", Info{
		Summary: "AUTH TLS on the control connection of FTP (RFC 4217)",
		Example: "ftp",
		Tested:  testedSTARTTLS,
	}, without("ftp", FTP{}))
}

// Exchange implements [frame.Preamble].
func (f FTP) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("ftp", p, role, f.client, f.server)
}

func (FTP) client(t *talk) error {
	if err := greeted220(t); err != nil {
		return err
	}
	_, err := t.ask("AUTH TLS", noStartTLS, "234")
	return err
}

func (FTP) server(t *talk) error {
	return t.serve(textServer{
		greeting: "220 ready",
		command:  "AUTH TLS",
		answer: func(line string) (verb, reply string, next step) {
			verb, rest := cutVerb(line)
			switch {
			case verb == "AUTH" && isTLSMechanism(rest):
				return verb, "234 begin TLS", begin
			case verb == "AUTH":
				return verb, "504 TLS only", refuse
			case verb == "FEAT":
				return verb, "211-features\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 end", stay
			case verb == "NOOP":
				return verb, "200 done", stay
			case verb == "QUIT":
				return verb, "221 bye", leave
			}
			return verb, "530 AUTH TLS first", refuse
		},
	})
}

// isTLSMechanism reports whether AUTH asks for TLS on this connection. TLS-C is an old name for it; so is SSL, to those
// who do not mean that data connections are protected from then on.
func isTLSMechanism(s string) bool {
	return strings.EqualFold(s, "TLS") || strings.EqualFold(s, "TLS-C") || strings.EqualFold(s, "SSL")
}
