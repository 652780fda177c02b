package websocket

import (
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/encase-tls/encase/frame"
)

const (
	maxHead  = 16 << 10 // bytes of the header of a request or an answer
	maxLines = 128      // and its lines
	headEnd  = "\r\n\r\n"
)

var (
	errHeadLong  = fmt.Errorf("%w: a header of more than %d bytes or %d lines", errUpgrade, maxHead, maxLines)
	errHeadLines = fmt.Errorf("%w: the header is not lines that end with CR LF", errUpgrade)
)

// peekHead waits for the header of an HTTP message and returns it with the empty line at its end, without taking it. It
// never waits for a byte behind that line: it asks for as many bytes as still lie before the end at the least.
func peekHead(p frame.Peeker) ([]byte, error) {
	matched, lines := 0, 0 // of headEnd
	for seen := 0; ; {
		head, err := p.Peek(seen + len(headEnd) - matched)
		if err != nil {
			if err == io.EOF && len(head) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		for _, c := range head[seen:] {
			switch {
			case c == headEnd[matched]:
				matched++
			case c == '\n' || headEnd[matched] == '\n': // LF without CR, CR without LF
				return nil, errHeadLines
			default:
				matched = 0
			}
			if c == '\n' {
				lines++
			}
		}
		seen = len(head)
		switch {
		case matched == len(headEnd):
			return head, nil
		case seen+len(headEnd) > maxHead || lines > maxLines:
			return nil, errHeadLong
		}
	}
}

// hasToken reports whether one of the comma-separated values of a header field is token, in any case.
func hasToken(h http.Header, name, token string) bool {
	for v := range values(h, name) {
		if strings.EqualFold(v, token) {
			return true
		}
	}
	return false
}

// hasValue is hasToken for values in which case matters.
func hasValue(h http.Header, name, value string) bool {
	for v := range values(h, name) {
		if v == value {
			return true
		}
	}
	return false
}

func values(h http.Header, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h.Values(name) {
			for v := range strings.SplitSeq(line, ",") {
				if !yield(strings.TrimSpace(v)) {
					return
				}
			}
		}
	}
}
