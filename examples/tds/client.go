package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/encase-tls/encase/wrap"
)

// askTime is how long a client waits for all that it wants to know.
const askTime = 20 * time.Second

// ask logs in to a server, has it execute statements and prints the rows.
func ask(ctx context.Context, target string, cfg *wrap.Config, statements []string, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	dialer := wrap.Dialer{Config: cfg}
	conn, err := dialer.DialContext(ctx, "tcp", target) // TCP, PRELOGIN and the handshake
	if err != nil {
		return err
	}
	l := newLink(conn.(*wrap.Conn))
	defer func() { l.conn.Close() }() // which is another behind the login, if that alone is encrypted
	who := login{version: version74, host: "example", user: user, password: password, app: "encase"}
	message, err := who.message()
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(askTime))
	if err := l.write(typeLogin, message); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.conn.Close() })()
	if r, err := answer(l); err != nil || !r.welcome {
		return errors.Join(errors.New("the server does not let us in"), err)
	}
	for _, sql := range statements {
		if err := query(l, sql, stdout); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// query has a statement executed and prints the rows.
func query(l *link, sql string, stdout io.Writer) error {
	if err := l.write(typeBatch, append(batchHeaders(), wide(sql)...)); err != nil {
		return err
	}
	r, err := answer(l)
	for _, row := range r.rows {
		fmt.Fprintln(stdout, row)
	}
	return err
}

// answer reads what the server says.
func answer(l *link) (r result, err error) {
	typ, message, err := l.read()
	if err != nil {
		return r, err
	}
	if typ != typeReply {
		return r, fmt.Errorf("a message of the type %#02x instead of an answer", typ)
	}
	return parseResult(message)
}

// batchHeaders returns what stands in front of SQL: all headers, one of them, a transaction. Here there is none.
//
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/4257dd95-ef6c-4621-b75d-270738487d68
func batchHeaders() []byte {
	const one, transaction = 18, 2
	p := le.AppendUint32(nil, 4+one)
	p = le.AppendUint16(le.AppendUint32(p, one), transaction)
	p = le.AppendUint64(p, 0)
	return le.AppendUint32(p, 1) // requests under way
}
