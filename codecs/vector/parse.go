package vector

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// A vector is one file in the form of spec/vectors/README.md.
type vector struct {
	id, codec, do, expect string
	payload               string // SHA-256 in hexadecimal; empty: not given
	length                int
	roles                 []frame.Role
	body                  []line
}

// A line is one of the body.
type line struct {
	mark byte   // one of < > + = !, or 0
	word string // behind !
	p    []byte // behind the others
}

// String returns the line as the marks have it, its bytes without spaces.
func (l line) String() string {
	if l.mark == '!' {
		return "! " + l.word
	}
	return string(l.mark) + " " + hex.EncodeToString(l.p)
}

// bytes returns those of all lines.
func (v *vector) bytes() []byte {
	var p []byte
	for _, l := range v.body {
		p = append(p, l.p...)
	}
	return p
}

// ways returns whether the stream of a vector comes in pieces: it is tried both ways.
func (v *vector) ways() []bool {
	if v.do == "stream" {
		return []bool{false, true}
	}
	return []bool{false}
}

const maxRepeat = 1 << 20 // of a byte

// parseVector reads the text of a file.
func parseVector(text string) (*vector, error) {
	head, body, ok := strings.Cut(text, "\n\n")
	if !ok {
		return nil, fmt.Errorf("vector: no empty line behind the header of the vector")
	}
	v := &vector{roles: roles[:]}
	for h := range strings.Lines(head) {
		name, value, ok := strings.Cut(strings.TrimSpace(h), ": ")
		if !ok {
			return nil, fmt.Errorf("vector: %q is not key: value", h)
		}
		if err := v.set(name, value); err != nil {
			return nil, err
		}
	}
	for l := range strings.Lines(body) {
		line, err := parseLine(strings.TrimSpace(l))
		if err != nil {
			return nil, err
		}
		v.body = append(v.body, line)
	}
	if v.id == "" || v.codec == "" || v.expect == "" {
		return nil, fmt.Errorf("vector: a vector without id, codec or expect")
	}
	return v, nil
}

var roles = [...]frame.Role{frame.Client, frame.Server}

func (v *vector) set(name, value string) (err error) {
	switch name {
	case "id":
		v.id = value
	case "codec":
		v.codec = value
	case "do":
		v.do = value
	case "expect":
		v.expect = value
	case "payload":
		v.payload = value
	case "length":
		v.length, err = strconv.Atoi(value)
	case "role":
		switch value {
		case "client":
			v.roles = roles[:1]
		case "server":
			v.roles = roles[1:]
		default:
			err = fmt.Errorf("vector: unknown role %q", value)
		}
	}
	return err
}

func parseLine(s string) (line, error) {
	var l line
	if s != "" && strings.IndexByte("<>+=!", s[0]) >= 0 {
		l.mark, s = s[0], strings.TrimSpace(s[1:])
	}
	if l.mark == '!' {
		l.word = s
		return l, nil
	}
	for token := range strings.FieldsSeq(s) {
		digits, times, repeated := strings.Cut(token, "*")
		n := 1
		if repeated {
			var err error
			if n, err = strconv.Atoi(times); err != nil || n < 0 || n > maxRepeat {
				return l, fmt.Errorf("vector: bad repetition %q", token)
			}
		}
		piece, err := hex.DecodeString(digits)
		if err != nil {
			return l, fmt.Errorf("vector: %q: %w", token, err)
		}
		l.p = append(l.p, bytes.Repeat(piece, n)...)
	}
	return l, nil
}
