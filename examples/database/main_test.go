package main

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"SELECT 1+1", "select 40 - 2 + 4", "SHOW tls"}, &out); err != nil {
		t.Fatal(err)
	}
	const want = "2\n42\nversion\tTLS 1.3\n"
	if !strings.HasPrefix(out.String(), want) || !strings.HasSuffix(out.String(), "server name\tdb.example\n") {
		t.Errorf("got\n%s", &out)
	}
	if err := run(t.Context(), []string{"DROP TABLE users"}, &out); err == nil {
		t.Error("a statement that does not exist is executed")
	}
}

// TestPool shares four connections among many goroutines, in which no reply may reach the wrong one.
func TestPool(t *testing.T) {
	client, server, addr := start(t)
	go serve(server)
	db := open(t, addr, &wrap.Dialer{Config: client})
	db.SetMaxOpenConns(4)
	var callers sync.WaitGroup
	for i := range 200 {
		callers.Go(func() {
			var got int
			if err := db.QueryRowContext(t.Context(), "SELECT ? + ?", i, 1000).Scan(&got); err != nil || got != i+1000 {
				t.Errorf("%d + 1000 = %d, %v", i, got, err)
			}
		})
	}
	callers.Wait()
	if n := db.Stats().OpenConnections; n > 4 {
		t.Errorf("%d connections are open", n)
	}
}

// TestContext asks a server that never replies, and checks that the caller does not wait for it, and that the pool does
// not keep a connection on which a reply may still come.
func TestContext(t *testing.T) {
	client, server, addr := start(t)
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, conn)
		}
	}()
	db := open(t, addr, &wrap.Dialer{Config: client})
	if err := db.PingContext(t.Context()); err != nil { // connects: what follows is about the query
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var n int
	if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&n); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want context.DeadlineExceeded", err)
	}
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("the pool keeps %d connections", n)
	}
}

// TestLongLine checks that the server does not read a request of any length.
func TestLongLine(t *testing.T) {
	client, server, addr := start(t)
	go serve(server)
	db := open(t, addr, &wrap.Dialer{Config: client})
	var n int
	if err := db.QueryRow("SELECT " + strings.Repeat("1+", maxLine) + "1").Scan(&n); err == nil {
		t.Errorf("a request of more than %d bytes was answered: %d", maxLine, n)
	}
	if err := db.QueryRow("SELECT 1").Scan(&n); err != nil { // on a new connection
		t.Error(err)
	}
}

// TestPlainDialer checks that the database cannot be had without TLS.
func TestPlainDialer(t *testing.T) {
	_, server, addr := start(t)
	go serve(server)
	db := open(t, addr, &net.Dialer{})
	var n int
	if err := db.QueryRow("SELECT 1").Scan(&n); err == nil {
		t.Errorf("answered in clear text: %d", n)
	}
}

func start(t *testing.T) (client *wrap.Config, listener net.Listener, addr string) {
	client, server, err := configs()
	if err != nil {
		t.Fatal(err)
	}
	if listener, err = wrap.Listen("tcp", "127.0.0.1:0", server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return client, listener, listener.Addr().String()
}

func open(t *testing.T, addr string, d dialer) *sql.DB {
	db := sql.OpenDB(&connector{addr: addr, dialer: d})
	t.Cleanup(func() { db.Close() })
	return db
}
