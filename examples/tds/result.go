package main

import (
	"errors"
	"fmt"
	"strconv"
)

// A result is what a client makes of an answer.
type result struct {
	welcome bool     // there was a LOGINACK
	rows    []string // columns with tabs between them
}

var errShort = errors.New("the answer ends in the middle of a token")

// parseResult reads an answer. An error that the server reports is returned.
func parseResult(p []byte) (r result, err error) {
	var columns []byte // their types
	s := &scanner{rest: p}
	for len(s.rest) > 0 && s.err == nil {
		switch token := s.byte(); token {
		case tokenColumns:
			columns = s.columns()
		case tokenRow:
			r.rows = append(r.rows, s.row(columns))
		case tokenError:
			return r, reported(s.take(s.uint16()))
		case tokenLoginAck:
			r.welcome = true
			s.take(s.uint16())
		case tokenInfo, tokenChange:
			s.take(s.uint16())
		case tokenDone:
			s.take(doneLen)
		default:
			return r, fmt.Errorf("the answer has an unknown token %#02x", token)
		}
	}
	return r, s.err
}

// reported returns the error that a server's token tells of.
func reported(p []byte) error {
	s := &scanner{rest: p}
	number := le.Uint32(s.take(4))
	s.take(2)
	what := text(s.take(2 * s.uint16()))
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("the server says: %s (error %d)", what, number)
}

// A scanner takes an answer apart. Once something is missing, err says so, and all that it returns is zero.
type scanner struct {
	rest []byte
	err  error
}

// take returns the next n bytes.
func (s *scanner) take(n int) []byte {
	if s.err == nil && n > len(s.rest) {
		s.err = errShort
	}
	if s.err != nil {
		return make([]byte, n)
	}
	p := s.rest[:n]
	s.rest = s.rest[n:]
	return p
}

func (s *scanner) byte() byte  { return s.take(1)[0] }
func (s *scanner) uint16() int { return int(le.Uint16(s.take(2))) }

// columns returns the types of the columns.
func (s *scanner) columns() (types []byte) {
	for n := s.uint16(); len(types) < n && s.err == nil; {
		s.take(6)
		switch kind := s.byte(); kind {
		case kindInt:
			types = append(types, kind)
		case kindText:
			types = append(types, kind)
			s.take(2 + len(collation))
		default:
			s.err = errors.Join(s.err, fmt.Errorf("a column has the type %#02x, which this client does not know", kind))
		}
		s.take(2 * int(s.byte())) // its name
	}
	return types
}

// row returns the values of a row.
func (s *scanner) row(columns []byte) (row string) {
	const null = 0xffff
	for i, kind := range columns {
		if i > 0 {
			row += "\t"
		}
		switch kind {
		case kindInt:
			row += strconv.Itoa(int(int32(le.Uint32(s.take(4)))))
		case kindText:
			if n := s.uint16(); n == null {
				row += "NULL"
			} else {
				row += text(s.take(n))
			}
		}
	}
	return row
}
