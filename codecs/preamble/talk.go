package preamble

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// A talk is one side of one dialogue.
type talk struct {
	p     frame.Peeker
	name  string
	role  frame.Role // this side's
	heard bool       // something came from the peer
	one   [1]byte
}

// hold runs this side of a dialogue.
func hold(name string, p frame.Peeker, role frame.Role, client, server func(*talk) error) error {
	t := &talk{p: p, name: name, role: role}
	if role == frame.Client {
		return client(t)
	}
	return server(t)
}

// send writes to the peer. what names it in an error.
func (t *talk) send(what string, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := t.p.Write(p); err != nil {
		return fmt.Errorf("%s: sending %s: %w", t.name, what, err)
	}
	return nil
}

// read fills b with what the peer sends and takes nothing beyond it. want names it in an error.
func (t *talk) read(b []byte, want string) error {
	n, err := io.ReadFull(t.p, b)
	t.heard = t.heard || n > 0
	switch {
	case err == nil:
		return nil
	case err == io.EOF && t.heard:
		err = io.ErrUnexpectedEOF
		fallthrough
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: the %v closes the connection before %s; is the port right?: %w",
			t.name, t.role.Peer(), want, err)
	}
	return fmt.Errorf("%s: waiting for %s: %w", t.name, want, err)
}

// take returns the next n bytes.
func (t *talk) take(n int, want string) ([]byte, error) {
	b := make([]byte, n)
	return b, t.read(b, want)
}

// takeByte returns the next byte.
func (t *talk) takeByte(want string) (byte, error) {
	err := t.read(t.one[:], want)
	return t.one[0], err
}

// expect takes the bytes of text, and fails at the first that differs: a peer that speaks another protocol may be about
// to send fewer.
func (t *talk) expect(text, want string) error {
	for i := range len(text) {
		c, err := t.takeByte(want)
		if err != nil {
			return err
		}
		if c != text[i] {
			return t.wrong(want, append([]byte(text[:i]), c), "")
		}
	}
	return nil
}

// maxLine bounds a line of text, its end excluded. Protocols say 512 (SMTP, NNTP, IRC) or nothing; capabilities of IMAP
// servers have been seen with more.
const maxLine = 2048

// line returns the next line without its end, which is LF or CR LF. A NUL, or a handshake record of TLS, is refused at
// once: a peer that speaks binary may never send the end of a line.
func (t *talk) line(want string) (string, error) {
	var b []byte
	for len(b) <= maxLine {
		c, err := t.takeByte(want)
		if err != nil {
			return "", err
		}
		switch {
		case c == '\n':
			return strings.TrimSuffix(string(b), "\r"), nil
		case c == 0, c == tlsHandshake && len(b) == 0:
			return "", t.wrong(want, t.excerpt(append(b, c)), "")
		}
		b = append(b, c)
	}
	return "", t.wrong(want, t.excerpt(b), fmt.Sprintf("no end of the line within %d bytes", maxLine))
}

// excerpt returns what may be shown of a line: of a client's, which may end with a password, the first word.
func (t *talk) excerpt(line []byte) []byte {
	if t.role == frame.Client {
		return line
	}
	verb, _, _ := bytes.Cut(line, []byte(" "))
	return verb[:min(len(verb), maxVerb)]
}
