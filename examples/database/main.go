// Database runs SQL through a driver whose connections are TLS in frames. The driver knows nothing of that: it takes a
// dialer, as go-mssqldb's Connector.Dialer, pgx's DialFunc, go-redis' Dialer and, without the network, go-sql-driver's
// RegisterDialContext do, and wrap.Dialer is one.
//
//	$ go run ./examples/database 'SELECT 1+1'
//	2
//
// This file is all that it takes. The driver and the server, in their files, are small, but what any database has: a
// pool, contexts that end, connections that break.
package main

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "database:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, queries []string, stdout io.Writer) error {
	client, server, err := configs()
	if err != nil {
		return err
	}
	listener, err := wrap.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return err
	}
	defer listener.Close()
	go serve(listener)

	db := sql.OpenDB(&connector{addr: listener.Addr().String(), dialer: &wrap.Dialer{Config: client}})
	defer db.Close()
	if len(queries) == 0 {
		queries = []string{"SELECT 1+1", "SHOW tls"}
	}
	for _, q := range queries {
		if err := query(ctx, db, q, stdout); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}

// configs returns both ends' configurations. The frames begin as the packets of MySQL do: a length of three bytes,
// least significant first, that does not count the byte behind it.
func configs() (client, server *wrap.Config, err error) {
	ca, err := ephemeral.New("database CA")
	if err != nil {
		return nil, nil, err
	}
	cert, err := ca.Issue("db.example")
	if err != nil {
		return nil, nil, err
	}
	framing, err := length.New(length.Options{Width: 24, LittleEndian: true, Suffix: "~00", Adjust: 1})
	if err != nil {
		return nil, nil, err
	}
	client = &wrap.Config{TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "db.example"}, Codec: framing}
	server = &wrap.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Codec: framing}
	return client, server, nil
}

// query prints the rows that q returns.
func query(ctx context.Context, db *sql.DB, q string, out io.Writer) error {
	rows, err := db.QueryContext(ctx, q)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	row := make([]string, len(columns))
	fields := make([]any, len(columns))
	for i := range row {
		fields[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(fields...); err != nil {
			return err
		}
		fmt.Fprintln(out, strings.Join(row, "\t"))
	}
	return rows.Err()
}
