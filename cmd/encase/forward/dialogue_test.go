package forward

import (
	"bufio"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/needtest"
	"github.com/encase-tls/encase/wrap/porttest"
)

// chain runs two forwards in a row, plain to TLS behind a dialogue and back, in front of backend. in and out are keys of
// the plain sides.
func chain(t *testing.T, dialogue, backend, in, out string) (near, far *daemon, entrance string) {
	t.Helper()
	f := certificates(t)
	key := fmt.Sprintf("preamble = %q\n", dialogue)
	far = run(t, forwardTOML("far", anyPort, f.server("raw")+key, backend, out))
	near = run(t, forwardTOML("near", anyPort, in, far.address("far"), f.client("raw")+key))
	return near, far, near.address("near")
}

// A mail program without TLS reaches a mail server without TLS through STARTTLS: each hears one greeting.
func TestMailThroughSTARTTLS(t *testing.T) {
	server := serveTCP(t, mailServer)
	_, _, entrance := chain(t, "smtp:name=gate.test", server, "", "")
	c, err := smtp.NewClient(dial(t, entrance), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Hello("client.test"); err != nil {
		t.Fatal(err)
	}
	if ok, _ := c.Extension("SIZE"); !ok {
		t.Error("what the server behind offers did not come through")
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
}

// mailServer greets and knows EHLO and QUIT.
func mailServer(c net.Conn) {
	defer c.Close()
	fmt.Fprintf(c, "220 behind.test ESMTP\r\n")
	for lines := bufio.NewScanner(c); lines.Scan(); {
		verb, _, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "EHLO":
			fmt.Fprintf(c, "250-behind.test\r\n250 SIZE 1000\r\n")
		case "QUIT":
			fmt.Fprintf(c, "221 bye\r\n")
			return
		default:
			fmt.Fprintf(c, "500 %q?\r\n", lines.Text())
		}
	}
}

// The server at the end hears, and the log says, where the client at the beginning comes from.
func TestProxyProtocolTellsTheOrigin(t *testing.T) {
	heard := make(chan string, 1)
	server := serveTCP(t, func(c net.Conn) {
		defer c.Close()
		line, _ := bufio.NewReader(c).ReadString('\n')
		heard <- line
	})
	_, far, entrance := chain(t, "proxy", server, "", "preamble = \"proxy:v1\"\n")
	c := dial(t, entrance)
	from, to := c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr)
	want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n", from.Port, to.Port)
	if got := <-heard; got != want {
		t.Errorf("the server hears %q, want %q", got, want)
	}
	c.Close()
	far.find(t, 0, "connection closed", "origin", from.String())
}

// psql reaches PostgreSQL through TLS that neither of them makes, and each of them makes TLS with us.
func TestPostgres(t *testing.T) {
	server := startPostgres(t)
	_, far, entrance := chain(t, "postgres", server.addr, "", "")
	query(t, "psql, near, far, server", entrance, "sslmode=disable")
	query(t, "psql, far, server", far.address("far"), "sslmode=require")
	toTLS := run(t, forwardTOML("db", anyPort, "", server.addr,
		fmt.Sprintf("tls = true\npreamble = \"postgres\"\nca = %q\nserver_name = \"server.test\"\n", server.ca)))
	query(t, "psql, near, server with TLS", toTLS.address("db"), "sslmode=disable")
}

func query(t *testing.T, way, addr, options string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	const statement = "select 6*7, coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false)"
	out, err := exec.Command("psql", "-AtX", "-c", statement, "host="+host+" port="+port+" user=postgres "+
		"dbname=postgres connect_timeout=10 "+options).CombinedOutput()
	want := fmt.Sprintf("42|%s", map[bool]string{true: "t", false: "f"}[strings.HasSuffix(way, "with TLS")])
	if err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%s: %v: %s; want %s", way, err, out, want)
	}
}

// A cluster is a PostgreSQL server of the test's own, with TLS, that lets everyone in with TLS or without.
type cluster struct{ addr, ca string }

// startPostgres makes one, as a user that may run it: PostgreSQL refuses to be run by root.
func startPostgres(t *testing.T) cluster {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if _, err := exec.LookPath("psql"); len(bins) == 0 || err != nil {
		needtest.Skip(t, "needs PostgreSQL and psql: apt-get install postgresql postgresql-client")
	}
	slices.Sort(bins)
	bin := bins[len(bins)-1]
	dir, err := os.MkdirTemp("", "encase-pg-") // short: it holds a Unix socket; and in reach of another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := certificates(t)
	for _, name := range []string{"server.crt", "server.key"} {
		copyFile(t, f.path(name), filepath.Join(dir, name))
	}
	run := postgresUser(t, dir)
	if out, err := run(bin+"/initdb", "-D", dir+"/data", "-A", "trust", "-U", "postgres", "-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	addr := porttest.Free(t)
	_, port, _ := net.SplitHostPort(addr)
	server := run(bin+"/postgres", "-D", dir+"/data", "-h", "127.0.0.1", "-p", port, "-k", dir, "-F", "-c", "ssl=on",
		"-c", "ssl_cert_file="+dir+"/server.crt", "-c", "ssl_key_file="+dir+"/server.key")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT)
		server.Wait()
	})
	for end := time.Now().Add(patience); run(bin+"/pg_isready", "-q", "-h", dir, "-p", port).Run() != nil; {
		if time.Sleep(50 * time.Millisecond); time.Now().After(end) {
			t.Fatal("PostgreSQL is not ready")
		}
	}
	return cluster{addr, f.path("ca.crt")}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// postgresUser gives dir to the user postgres, if this is root, and returns what makes commands of that user.
func postgresUser(t *testing.T, dir string) func(name string, args ...string) *exec.Cmd {
	t.Helper()
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error { return os.Chown(path, uid, gid) })
		if err != nil {
			t.Fatal(err)
		}
	}
	return func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.SysProcAttr = dir, attr
		return cmd
	}
}

// A dialogue that fails says in the log whose fault it is.
func TestDialogueFails(t *testing.T) {
	_, far, _ := chain(t, "postgres", serveTCP(t, echo), "", "")
	c := dial(t, far.address("far"))
	c.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01"))
	far.find(t, 0, "connection failed", "reason", "malformed", "error", "preamble with the client: postgres: the client")
	gone := dial(t, far.address("far"))
	gone.Close()
	far.find(t, 0, "connection failed", "reason", "truncated", "remedy", "does it speak the protocol of this side's preamble?")
}
