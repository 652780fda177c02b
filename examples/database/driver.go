package main

import (
	"bufio"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// maxLine bounds a request and a reply in bytes. A longer one ends the connection: it is never read as a whole first.
const maxLine = 64 << 10

// The protocol: a request is a line of JSON, and so is the reply.
type (
	request struct {
		Query string  `json:"query"`
		Args  []int64 `json:"args,omitempty"` // for the question marks in Query
	}
	reply struct {
		Columns []string `json:"columns,omitempty"`
		Rows    [][]any  `json:"rows,omitempty"`
		Error   string   `json:"error,omitempty"`
	}
)

// A dialer makes connections. This is all that a driver needs to know of TLS.
type dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// A connector is a database for sql.OpenDB.
type connector struct {
	addr   string
	dialer dialer
}

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.dialer.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, lines: bufio.NewReaderSize(conn, maxLine)}, nil
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return c }

// Open implements driver.Driver.
func (c *connector) Open(string) (driver.Conn, error) { return c.Connect(context.Background()) }

// A session is one connection to the server, used by one goroutine at a time.
type session struct {
	conn   net.Conn
	lines  *bufio.Reader
	broken bool // requests and replies may be out of step: good for nothing
}

// QueryContext implements driver.QueryerContext.
func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	req := request{Query: query}
	for _, a := range args {
		n, ok := a.Value.(int64)
		if !ok {
			return nil, fmt.Errorf("argument %d is a %T: this database knows integers only", a.Ordinal, a.Value)
		}
		req.Args = append(req.Args, n)
	}
	rep, err := s.exchange(ctx, req)
	switch {
	case err != nil:
		return nil, err
	case rep.Error != "":
		return nil, errors.New(rep.Error)
	}
	return &rows{rep.Columns, rep.Rows}, nil
}

// exchange sends a request and waits for the reply, as long as ctx does. If that fails, the session is broken.
func (s *session) exchange(ctx context.Context, req request) (rep reply, err error) {
	stop := context.AfterFunc(ctx, func() { s.conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() || err != nil {
			s.broken = true // also if ctx has ended just now: the deadline is set, or soon will be
		}
		if err != nil && ctx.Err() != nil {
			err = ctx.Err() // that is the reason, not the deadline
		}
	}()
	line, err := json.Marshal(req)
	if err != nil {
		return rep, err
	}
	if _, err := s.conn.Write(append(line, '\n')); err != nil {
		return rep, err
	}
	if line, err = s.lines.ReadSlice('\n'); err != nil { // bufio.ErrBufferFull: longer than maxLine
		if err == io.EOF {
			err = io.ErrUnexpectedEOF // close_notify instead of a reply
		}
		return rep, err
	}
	err = json.Unmarshal(line, &rep)
	return rep, err
}

// IsValid implements driver.Validator: the pool asks before it keeps a session.
func (s *session) IsValid() bool { return !s.broken }

// Close implements driver.Conn.
func (s *session) Close() error { return s.conn.Close() }

var errNone = errors.New("this database has neither prepared statements nor transactions")

// Prepare and Begin are what driver.Conn asks for.
func (s *session) Prepare(string) (driver.Stmt, error) { return nil, errNone }

// Begin implements driver.Conn.
func (s *session) Begin() (driver.Tx, error) { return nil, errNone }

// rows are those of one reply.
type rows struct {
	columns []string
	rest    [][]any
}

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.columns }

// Close implements driver.Rows.
func (r *rows) Close() error { return nil }

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	if len(r.rest) == 0 {
		return io.EOF
	}
	if len(r.rest[0]) != len(dest) {
		return fmt.Errorf("the server sent a row of %d fields, not %d", len(r.rest[0]), len(dest))
	}
	for i, v := range r.rest[0] {
		dest[i] = v
	}
	r.rest = r.rest[1:]
	return nil
}
