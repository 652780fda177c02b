package connect_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/connect"
)

// A server of one connection on a port that the system chooses, which it tells.
func TestListenTCP(t *testing.T) {
	dir := t.TempDir()
	ca, _ := identity(t, dir, "127.0.0.1")
	notes, stderr := io.Pipe()
	c := connect.Command()
	file := filepath.Join(dir, "server")
	c.SetArgs([]string{"--listen", "--cert", file + ".crt", "--key", file + ".key", "127.0.0.1:0"})
	c.SetIn(strings.NewReader("from the server"))
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(stderr)
	done := make(chan error, 1)
	go func() { done <- c.ExecuteContext(t.Context()) }()
	line, err := bufio.NewReader(notes).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, notes)
	_, addr, _ := strings.Cut(strings.TrimSpace(line), "listening on ")
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: ca.Pool()}) // a client that knows nothing of encase
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte("from the client"))
	conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "from the server" {
		t.Errorf("the client got %q, %v", got, err)
	}
	if err := result(t, done); err != nil || out.String() != "from the client" {
		t.Errorf("the server got %q, %v", out.String(), err)
	}
}
