package preamble

import (
	"context"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// Telnet is the option START_TLS: the server asks for it, and both say that TLS follows. The other options are
// negotiated behind it.
//
// https://datatracker.ietf.org/doc/html/draft-altman-telnet-starttls-02
type Telnet struct{}

func init() {
	Register("telnet", Info{
		Summary: "the telnet option START_TLS (draft-altman-telnet-starttls)",
		Example: "telnet",
		Tested:  "openssl s_client 3.0 as client, own vectors",
	}, without("telnet", Telnet{}))
}

// https://www.rfc-editor.org/rfc/rfc854.html
const (
	telnetSE    = 240
	telnetSB    = 250
	telnetWILL  = 251
	telnetWONT  = 252
	telnetDO    = 253
	telnetDONT  = 254
	telnetIAC   = 255
	telnetTLS   = 46 // the option START_TLS
	telnetReady = 1  // its FOLLOWS

	maxTelnet = 64 // commands before TLS: there are some 50 options
)

var telnetFollows = []byte{telnetIAC, telnetSB, telnetTLS, telnetReady, telnetIAC, telnetSE}

// Exchange implements [frame.Preamble].
func (n Telnet) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("telnet", p, role, n.client, n.server)
}

func (Telnet) client(t *talk) error {
	agree := append([]byte{telnetIAC, telnetWILL, telnetTLS}, telnetFollows...)
	return telnetAgree(t, "DO START_TLS", telnetDO, telnetDONT, agree)
}

func (Telnet) server(t *talk) error {
	if err := t.send("DO START_TLS", []byte{telnetIAC, telnetDO, telnetTLS}); err != nil {
		return err
	}
	return telnetAgree(t, "WILL START_TLS", telnetWILL, telnetWONT, telnetFollows)
}

// telnetAgree waits for the peer's yes, answers agree, and waits for its FOLLOWS. Any other option is turned down.
func telnetAgree(t *talk, want string, yes, no byte, agree []byte) error {
	agreed := false
	for range maxTelnet {
		command, option, err := telnetCommand(t, want)
		switch {
		case err != nil:
			return err
		case command == yes && option == telnetTLS && !agreed:
			agreed, want = true, "START_TLS FOLLOWS"
			err = t.send("START_TLS", agree)
		case command == no && option == telnetTLS:
			return t.refused(want, "a refusal of START_TLS", "it has no TLS; switch it on there")
		case command == telnetSB && option == telnetTLS && agreed:
			return nil
		case command == telnetDO:
			err = t.send("WONT", []byte{telnetIAC, telnetWONT, option})
		case command == telnetWILL:
			err = t.send("DONT", []byte{telnetIAC, telnetDONT, option})
		}
		if err != nil {
			return err
		}
	}
	return t.wrong(want, nil, fmt.Sprintf("%d other commands", maxTelnet))
}

// telnetCommand reads a command about an option. A subnegotiation must be FOLLOWS: no other can come before TLS.
func telnetCommand(t *talk, want string) (command, option byte, err error) {
	iac, err := t.takeByte(want)
	if err != nil {
		return 0, 0, err
	}
	if iac != telnetIAC {
		return 0, 0, t.wrong(want, []byte{iac}, guessTelnet(iac))
	}
	b, err := t.take(2, want)
	if err != nil {
		return 0, 0, err
	}
	switch command, option = b[0], b[1]; {
	case command == telnetSB:
		return command, option, t.expectFollows(option, want)
	case command < telnetWILL || command > telnetDONT:
		return 0, 0, t.wrong(want, append([]byte{iac}, b...), "such a command has no place before TLS")
	}
	return command, option, nil
}

func (t *talk) expectFollows(option byte, want string) error {
	head := telnetFollows[:2]
	rest, err := t.take(len(telnetFollows)-len(head)-1, want)
	if err != nil {
		return err
	}
	got := append(append(head[:2:2], option), rest...)
	if string(got) != string(telnetFollows) {
		return t.wrong(want, got, "that is no START_TLS FOLLOWS, and nothing else has a place before TLS")
	}
	return nil
}

func guessTelnet(first byte) string {
	if first == tlsHandshake {
		return guess([]byte{first})
	}
	return "that is data before TLS; is START_TLS compulsory there?"
}
