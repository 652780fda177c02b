package preamble

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// Postgres is PostgreSQL's SSLRequest. Behind it the client speaks.
//
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
type Postgres struct{}

func init() {
	Register("postgres", Info{
		Summary: "SSLRequest of PostgreSQL",
		Example: "postgres",
		Tested:  "PostgreSQL 15 server and psql, openssl s_client 3.0, stunnel 5.68 in both roles",
	}, without("postgres", Postgres{}))
}

// What a client may say first: a length that includes itself, and a number that is no version.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
const (
	pgCancel  = 80877102
	pgSSL     = 80877103
	pgGSS     = 80877104
	pgHeader  = 8
	pgMaxText = 4 << 10 // of an error
)

// Exchange implements [frame.Preamble].
func (g Postgres) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("postgres", p, role, g.client, g.server)
}

func (Postgres) client(t *talk) error {
	request := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, pgHeader), pgSSL)
	if err := t.send("SSLRequest", request); err != nil {
		return err
	}
	const want = "S to SSLRequest"
	answer, err := t.takeByte(want)
	switch {
	case err != nil:
		return err
	case answer == 'S':
		return nil
	case answer == 'N':
		return t.refused(want, "N", "it has no TLS; set ssl = on in its postgresql.conf")
	case answer == 'E':
		text, err := pgErrorText(t, want)
		if err != nil {
			return err
		}
		return t.refused(want, "the error "+show(text), "it is too old for TLS, or does not serve us")
	}
	return t.wrong(want, []byte{answer}, "")
}

// pgErrorText reads an error behind its first byte. Servers from before SSLRequest send text and a NUL, later ones a
// length and fields, of which the one called M is the message.
//
// https://www.postgresql.org/docs/current/protocol-error-fields.html
func pgErrorText(t *talk, want string) (string, error) {
	length, err := t.take(4, want)
	if err != nil {
		return "", err
	}
	if n := binary.BigEndian.Uint32(length); n >= 4 && n <= pgMaxText {
		fields, err := t.take(int(n)-4, want)
		if err != nil {
			return "", err
		}
		for field := range strings.SplitSeq(string(fields), "\x00") {
			if message, ok := strings.CutPrefix(field, "M"); ok {
				return message, nil
			}
		}
		return string(fields), nil
	}
	text := length
	for len(text) < pgMaxText && text[len(text)-1] != 0 {
		c, err := t.takeByte(want)
		if err != nil {
			return "", err
		}
		text = append(text, c)
	}
	return strings.TrimRight(string(text), "\n\x00"), nil
}

func (Postgres) server(t *talk) error {
	const want = "SSLRequest"
	for asked := false; ; asked = true {
		code, length, err := pgRequest(t, want)
		switch {
		case err != nil:
			return err
		case code == pgSSL && length == pgHeader:
			return t.send("S", []byte{'S'})
		case code == pgGSS && length == pgHeader && !asked:
			if err := t.send("N", []byte{'N'}); err != nil {
				return err
			}
		case code == pgCancel:
			return t.refused(want, "CancelRequest in clear", "let it cancel over TLS, as libpq does from version 17 on")
		case code>>16 == 3:
			return pgTurnAway(t, want)
		default:
			return t.wrong(want, fmt.Appendf(nil, "length %d, code %d", length, code), "")
		}
	}
}

// pgRequest reads the head of the client's first message.
func pgRequest(t *talk, want string) (code, length uint32, err error) {
	first, err := t.takeByte(want)
	if err != nil {
		return 0, 0, err
	}
	if first == tlsHandshake {
		return 0, 0, t.wrong(want, []byte{first}, "it starts TLS at once; let it use sslnegotiation=postgres")
	}
	if first != 0 { // a length of 16 MiB
		return 0, 0, t.wrong(want, []byte{first}, "")
	}
	rest, err := t.take(pgHeader-1, want)
	if err != nil {
		return 0, 0, err
	}
	head := append([]byte{first}, rest...)
	return binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head), nil
}

// pgTurnAway tells a client that starts a session in clear what to do. What it wants is not read.
func pgTurnAway(t *talk, want string) error {
	const fields = "SFATAL\x00VFATAL\x00C28000\x00Mthis server accepts TLS only: set sslmode=require\x00\x00"
	message := binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(fields)))
	if err := t.send("the error", append(message, fields...)); err != nil {
		return err
	}
	return t.refused(want, "the start of a session in clear", "set sslmode=require there")
}
