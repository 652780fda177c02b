package preamble_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/wrap/porttest"
)

// A cluster is a PostgreSQL server of the test's own, with TLS, that lets everyone in with TLS or without.
type cluster struct{ addr, ca string }

// startPostgres makes one, as a user that may run it: PostgreSQL refuses to be run by root.
func startPostgres(t *testing.T) cluster {
	t.Helper()
	bin := postgresBin(t)
	dir, err := os.MkdirTemp("", "encase-postgres-") // short: it holds a Unix socket; and in reach of another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := issued(t)
	certs := c.files(t)
	copyFiles(t, dir, certs, "server.crt", "server.key")
	run := as(t, dir)
	if out, err := run(bin+"/initdb", "-D", dir+"/data", "-A", "trust", "-U", "postgres",
		"-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	appendTo(t, dir+"/data/postgresql.conf",
		"ssl=on\nssl_cert_file='"+dir+"/server.crt'\nssl_key_file='"+dir+"/server.key'\n")
	addr := porttest.Free(t)
	_, port, _ := net.SplitHostPort(addr)
	daemon(t, run(bin+"/postgres", "-D", dir+"/data", "-h", "127.0.0.1", "-p", port, "-k", dir, "-F"))
	for end := time.Now().Add(time.Minute); run(bin+"/pg_isready", "-q", "-h", dir, "-p", port).Run() != nil; {
		if time.Sleep(50 * time.Millisecond); time.Now().After(end) {
			t.Fatal("PostgreSQL is not ready")
		}
	}
	return cluster{addr, certs + "/ca.crt"}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// postgresBin returns the newest of the folders where Debian puts the server's programs, or where they are in PATH.
func postgresBin(t *testing.T) string {
	t.Helper()
	if dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(dirs) > 0 {
		slices.Sort(dirs)
		return filepath.Dir(dirs[len(dirs)-1])
	}
	return filepath.Dir(program(t, "initdb"))
}

func copyFiles(t *testing.T, to, from string, names ...string) {
	t.Helper()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// as returns a function that makes commands of this user or, if that is root, of the user postgres, who gets dir.
func as(t *testing.T, dir string) func(name string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		return func(name string, args ...string) *exec.Cmd { return command(t, name, args...) }
	}
	other, err := user.Lookup("postgres")
	if err != nil { // there is a package without its user
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(other.Uid)
	gid, _ := strconv.Atoi(other.Gid)
	files, _ := filepath.Glob(dir + "/*")
	for _, name := range append(files, dir) {
		if err := os.Chown(name, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	setpriv := program(t, "setpriv")
	return func(name string, args ...string) *exec.Cmd {
		cmd := command(t, setpriv, append([]string{"--reuid", other.Uid, "--regid", other.Gid, "--init-groups", name},
			args...)...)
		cmd.Dir = dir
		return cmd
	}
}

func TestPostgres(t *testing.T) {
	psql := program(t, "psql")
	c := startPostgres(t)
	t.Run("client", func(t *testing.T) {
		askPostgres(t, c, "select ssl from pg_stat_ssl where pid=pg_backend_pid()",
			"t")
	})
	t.Run("server", func(t *testing.T) {
		ours := front(t, c.addr, preamble.Postgres{})
		if got := runPsql(t, psql, ours, "verify-full", c.ca); got != "f\n" { // behind us there is no TLS
			t.Errorf("psql says %q", got)
		}
		if got := runPsql(t, psql, ours, "disable", c.ca); !strings.Contains(got,
			"accepts TLS only: set sslmode=require") {
			t.Errorf("psql without TLS says %q", got)
		}
	})
	t.Run("no TLS", func(t *testing.T) {
		askPostgres(t, c, "alter system set ssl=off", "")
		askPostgres(t, c, "select pg_reload_conf()", "t")
		refusedByPostgres(t, c)
	})
}

// refusedByPostgres waits until the server has no TLS: a reload takes a moment.
func refusedByPostgres(t *testing.T, c cluster) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		_, err := dial(t, c.addr, preamble.Postgres{})
		var e *preamble.Error
		if errors.As(err, &e) && e.Refused && e.Got == "N" {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("got %v, want a refusal", err)
		}
	}
}

// askPostgres sends a query through our client, and expects one value, or none.
func askPostgres(t *testing.T, c cluster, query, want string) {
	t.Helper()
	conn, err := dial(t, c.addr, preamble.Postgres{})
	if err != nil {
		t.Fatal(err)
	}
	const parameters = "\x00\x03\x00\x00user\x00postgres\x00\x00"
	message := func(kind, text string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte(kind), uint32(4+len(text))), text...)
	}
	conn.Write(append(message("", parameters), message("Q", query+"\x00")...))
	got := ""
	in := bufio.NewReader(conn)
	for ready := 0; ready < 2; { // once for the session, once for the query
		head := make([]byte, 5)
		if _, err := io.ReadFull(in, head); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(in, body); err != nil {
			t.Fatal(err)
		}
		switch head[0] {
		case 'Z':
			ready++
		case 'D':
			got = string(body[6:]) // behind the number of values and the length of the first
		case 'E':
			t.Fatalf("the server says %q", body)
		}
	}
	if got != want {
		t.Errorf("%s: %q, want %q", query, got, want)
	}
}

// runPsql asks through addr whether the cluster sees TLS.
func runPsql(t *testing.T, psql, addr, sslmode, ca string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	dsn := "host=" + hostname + " hostaddr=" + host + " port=" + port + " user=postgres dbname=postgres" +
		" sslmode=" + sslmode + " sslrootcert=" + ca
	cmd := command(t, psql, dsn, "-XAtc", "select ssl from pg_stat_ssl where pid=pg_backend_pid()")
	out, _ := cmd.CombinedOutput()
	return string(out)
}
