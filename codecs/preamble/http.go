package preamble

import (
	"encoding/base64"
	"fmt"
	"net/textproto"
	"strings"
)

const (
	maxFields  = 100 // header fields of an HTTP message
	maxHead    = 16 << 10
	maxInterim = 4 // answers 1xx before the real one
)

// An httpHead is the first line and the header of an HTTP message.
type httpHead struct {
	first  string
	fields textproto.MIMEHeader
}

// readHead reads the head of an HTTP message, and nothing behind it. A line folded onto two is refused.
//
// https://www.rfc-editor.org/rfc/rfc9112.html#section-2.2
func readHead(t *talk, want string) (h httpHead, err error) {
	if h.first, err = t.line(want); err != nil {
		return h, err
	}
	h.fields = textproto.MIMEHeader{}
	size := len(h.first)
	for range maxFields {
		line, err := t.line(want)
		if err != nil || line == "" {
			return h, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return h, t.wrong(want, t.excerpt([]byte(line)), "that is no header field of HTTP")
		}
		h.fields.Add(name, strings.TrimSpace(value))
		if size += len(line); size > maxHead {
			break
		}
	}
	return h, t.wrong(want, t.excerpt([]byte(h.first)),
		fmt.Sprintf("a header of more than %d bytes or %d fields", maxHead, maxFields))
}

// isToken reports whether s is a token of HTTP.
// https://www.rfc-editor.org/rfc/rfc9110.html#section-5.6.2
func isToken(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// lists reports whether one of the comma-separated values of a header field is value, in any case.
func (h httpHead) lists(name, value string) bool {
	for _, line := range h.fields.Values(name) {
		for v := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(v), value) {
				return true
			}
		}
	}
	return false
}

// hasBody reports whether a request announces one.
func (h httpHead) hasBody() bool {
	length := h.fields.Get("Content-Length")
	return h.fields.Get("Transfer-Encoding") != "" || length != "" && length != "0"
}

// request returns method and target of a request. ok is false if it is none of HTTP/1.0 or 1.1.
func (h httpHead) request() (method, target string, ok bool) {
	method, rest, _ := strings.Cut(h.first, " ")
	target, version, ok := strings.Cut(rest, " ")
	return method, target, ok && isToken(method) && isHTTP1(version)
}

// status returns the status of an answer, three digits. ok is false if it is no answer of HTTP/1.0 or 1.1.
func (h httpHead) status() (status string, ok bool) {
	version, rest, _ := strings.Cut(h.first, " ")
	status, ok = replyCode(strings.Replace(rest, "-", "?", 1))
	return status, ok && isHTTP1(version)
}

func isHTTP1(version string) bool { return version == "HTTP/1.1" || version == "HTTP/1.0" }

// answer reads answers up to one that is not just interim. 101 is final: it ends HTTP.
//
// https://www.rfc-editor.org/rfc/rfc9110.html#section-15.2
func answer(t *talk, want string) (h httpHead, status string, err error) {
	for range maxInterim {
		h, err := readHead(t, want)
		if err != nil {
			return h, "", err
		}
		status, ok := h.status()
		if !ok {
			return h, "", t.wrong(want, []byte(h.first), "")
		}
		if status[0] != '1' || status == "101" {
			return h, status, nil
		}
	}
	return h, "", t.wrong(want, nil, fmt.Sprintf("%d interim answers", maxInterim))
}

// turnDown answers a request with an error, and returns why.
func turnDown(t *talk, status, fields string, why error) error {
	text := "HTTP/1.1 " + status + "\r\n" + fields + "Content-Length: 0\r\nConnection: close\r\n\r\n"
	if err := t.send("the answer "+status, []byte(text)); err != nil {
		return err
	}
	return why
}

// basicCredentials takes user name and password out of a field.
func basicCredentials(field string) (user, password []byte, ok bool) {
	scheme, encoded, _ := strings.Cut(field, " ")
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if !strings.EqualFold(scheme, "Basic") || err != nil {
		return nil, nil, false
	}
	u, p, ok := strings.Cut(string(text), ":")
	return []byte(u), []byte(p), ok
}
