package preamble

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// An Error tells why a dialogue failed through what the peer sent. It wraps frame.ErrMalformed.
type Error struct {
	Protocol string     // its name in the registry
	Peer     frame.Role // who is at fault
	Want     string     // what it should have sent
	Got      string     // what it sent instead: quoted or in hex, cut when long, and no password
	Reason   string     // what that means, and what to do about it
	Refused  bool       // the peer speaks the protocol, and says no
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: the %v should send %s, but sends %s: %s", e.Protocol, e.Peer, e.Want, e.Got, e.Reason)
}

// Unwrap returns frame.ErrMalformed.
func (e *Error) Unwrap() error { return frame.ErrMalformed }

// wrong says that the peer speaks the protocol badly, or another one. With an empty reason it looks for one in got.
func (t *talk) wrong(want string, got []byte, reason string) error {
	if reason == "" {
		reason = guess(got)
	}
	return &Error{Protocol: t.name, Peer: t.role.Peer(), Want: want, Got: show(got), Reason: reason}
}

// refused says that the peer does not want to do what is asked, or not in the way that is asked. got is fit to be
// shown.
func (t *talk) refused(want, got, reason string) error {
	return &Error{Protocol: t.name, Peer: t.role.Peer(), Want: want, Got: got, Reason: reason, Refused: true}
}

// maxShown is how many bytes of the peer's an error shows.
const maxShown = 80

// show makes bytes of the peer's fit for an error text: quoted if they are text, else in hex.
func show[T string | []byte](p T) string {
	b, more := []byte(p), ""
	if len(b) > maxShown {
		b, more = b[:maxShown], "..."
	}
	switch {
	case len(b) == 0:
		return "nothing"
	case isText(b):
		return strconv.QuoteToASCII(string(b)) + more
	}
	return fmt.Sprintf("% x", b) + more
}

// isText reports whether most of b is printable ASCII.
func isText(b []byte) bool {
	n := 0
	for _, c := range b {
		if ' ' <= c && c <= '~' || c == '\r' || c == '\n' || c == '\t' {
			n++
		}
	}
	return n > len(b)*3/4
}

// tlsHandshake is the first byte of a ClientHello's record.
// https://www.rfc-editor.org/rfc/rfc8446.html#section-5.1
const tlsHandshake = 0x16

// guess says which protocol a peer speaks that does not speak the one it should.
func guess(got []byte) string {
	s := string(got)
	switch {
	case s != "" && s[0] == tlsHandshake:
		return "it starts TLS at once; let it begin with this dialogue, or leave the dialogue out here"
	case strings.HasPrefix(s, "SSH-"):
		return "that is SSH; is the port right?"
	case strings.HasPrefix(s, "HTTP/"):
		return "that is a web server; is the port right?"
	case strings.HasPrefix(s, "GET "), strings.HasPrefix(s, "POST "), strings.HasPrefix(s, "HEAD "):
		return "that is a web client; is the port right?"
	}
	return "it speaks another protocol, or this one wrongly; is the port right?"
}
