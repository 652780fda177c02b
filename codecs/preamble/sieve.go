package preamble

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// Sieve is STARTTLS of ManageSieve, by which mail filters are kept. Behind it the server speaks first: it tells its
// capabilities again.
//
// https://www.rfc-editor.org/rfc/rfc5804.html#section-2.2
type Sieve struct{}

func init() {
	Register("sieve", Info{
		Summary: "STARTTLS of ManageSieve (RFC 5804)",
		Example: "sieve",
		Tested:  testedSTARTTLS,
	}, without("sieve", Sieve{}))
}

// Exchange implements [frame.Preamble].
func (s Sieve) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("sieve", p, role, s.client, s.server)
}

func (Sieve) client(t *talk) error {
	offers, err := sieveAnswer(t, "a list of capabilities, and OK", notServing)
	if err != nil {
		return err
	}
	if !hasWord(offers, `"STARTTLS"`) {
		return t.refused("STARTTLS among its capabilities", "a list without it", noStartTLS)
	}
	if err := t.sendLine("STARTTLS", "STARTTLS"); err != nil {
		return err
	}
	_, err = sieveAnswer(t, "OK to STARTTLS", notNow)
	return err
}

// sieveAnswer reads lines up to one that begins with OK, and returns those before it.
func sieveAnswer(t *talk, want, why string) (lines []string, err error) {
	for len(lines) < maxLines {
		line, err := sieveLine(t, want)
		if err != nil {
			return nil, err
		}
		switch verb, _ := cutVerb(line); {
		case verb == "OK":
			return lines, nil
		case verb == "NO" || verb == "BYE":
			return nil, t.refused(want, show(line), why)
		case !strings.HasPrefix(line, `"`):
			return nil, t.wrong(want, []byte(line), "")
		}
		lines = append(lines, line)
	}
	return nil, t.wrong(want, nil, fmt.Sprintf("more than %d other lines", maxLines))
}

// sieveLine reads a line, in which there may be literals: a number of bytes in braces, the end of the line, the bytes.
// https://www.rfc-editor.org/rfc/rfc5804.html#section-4
func sieveLine(t *talk, want string) (string, error) {
	all := ""
	for len(all) <= maxLine {
		line, err := t.line(want)
		all += line
		n, ok := literal(line)
		if err != nil || !ok {
			return all, err
		}
		if n > maxLine {
			return "", t.wrong(want, []byte(line), fmt.Sprintf("a literal of more than %d bytes", maxLine))
		}
		text, err := t.take(n, want)
		if err != nil {
			return "", err
		}
		all += string(text)
	}
	return "", t.wrong(want, []byte(all), fmt.Sprintf("no end of the answer within %d bytes", maxLine))
}

// literal returns the length of the literal that a line announces at its end.
func literal(line string) (n int, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	v, err := strconv.ParseUint(strings.TrimSuffix(line[open+1:len(line)-1], "+"), 10, 31)
	return int(v), err == nil
}

func (Sieve) server(t *talk) error {
	const capabilities = `"IMPLEMENTATION" "encase"` + "\r\n" + `"SIEVE" ""` + "\r\n" + `"STARTTLS"` + "\r\n" +
		`"VERSION" "1.0"` + "\r\nOK"
	return t.serve(textServer{
		greeting: capabilities,
		command:  "STARTTLS",
		answer: func(line string) (verb, reply string, next step) {
			switch verb, _ = cutVerb(line); verb {
			case "STARTTLS":
				return verb, "OK", begin
			case "CAPABILITY":
				return verb, capabilities, stay
			case "NOOP":
				return verb, "OK", stay
			case "LOGOUT":
				return verb, "OK", leave
			}
			return verb, "NO (ENCRYPT-NEEDED)", refuse
		},
	})
}
