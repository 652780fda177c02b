package preamble_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/porttest"
)

// MariaDB: its server behind our client, with TLS and without, and its client before our server.
func TestMySQL(t *testing.T) {
	mariadbd, mariadb := program(t, "mariadbd"), program(t, "mariadb")
	dir := issued(t).files(t)
	t.Run("client", func(t *testing.T) {
		addr := startMariaDB(t, mariadbd, "--ssl-cert="+dir+"/server.crt", "--ssl-key="+dir+"/server.key")
		var greeting []byte
		conn, err := dial(t, addr, preamble.MySQL{Greeting: func(_ context.Context, p []byte) error {
			greeting = bytes.Clone(p)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(greeting, []byte("-MariaDB")) {
			t.Errorf("the greeting is %q", greeting)
		}
		// Capabilities as in SSLRequest, the longest packet, the character set, no name, no password, and the method.
		login := "05aa0800" + "00000001" + "21" + strings.Repeat("00", 23) + "00" + "00" +
			hex.EncodeToString([]byte("mysql_native_password\x00"))
		p, _ := hex.DecodeString(login)
		conn.Write(append([]byte{byte(len(p)), 0, 0, 2}, p...))
		answer := make([]byte, 5)
		if _, err := io.ReadFull(conn, answer); err != nil || answer[3] != 3 || answer[4] != 0 {
			t.Errorf("the server answers the login with % x, %v", answer, err)
		}
		_, err = dial(t, startMariaDB(t, mariadbd, "--skip-ssl"), preamble.MySQL{})
		refusal(t, err, "set ssl-cert and ssl-key there")
	})
	t.Run("server", func(t *testing.T) {
		addr := loggedIn(t)
		_, port, _ := net.SplitHostPort(addr)
		args := []string{"--no-defaults", "-h", "127.0.0.1", "-P", port, "-u", "user", "-ppassword", "-e", ";"}
		out, err := command(t, mariadb, append(args, "--ssl", "--ssl-ca="+dir+"/ca.crt",
			"--ssl-verify-server-cert")...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		out, err = command(t, mariadb, append(args, "--skip-ssl")...).CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("ERROR 3159 (HY000): this server accepts TLS only")) {
			t.Errorf("without TLS: %v: %s", err, out)
		}
	})
}

// startMariaDB starts a server that asks for no password and has nothing in it.
func startMariaDB(t *testing.T, mariadbd string, args ...string) (addr string) {
	t.Helper()
	addr = porttest.Free(t)
	_, port, _ := net.SplitHostPort(addr)
	dir, err := os.MkdirTemp("", "encase-mariadb-") // short: it holds a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	daemon(t, command(t, mariadbd, append([]string{"--no-defaults", "--user=root", "--datadir=" + dir, "--socket=" +
		dir + "/s",
		"--bind-address=127.0.0.1", "--port=" + port, "--skip-grant-tables", "--innodb=OFF",
		"--default-storage-engine=Aria",
		"--aria-log-dir-path=" + dir, "--skip-log-bin"}, args...)...))
	await(t, addr)
	return addr
}

// loggedIn is a server of ours that lets everyone in and answers every query with OK.
func loggedIn(t *testing.T) (addr string) {
	t.Helper()
	cfg := serverConfig(t, preamble.MySQL{})
	return listen(t, func(c net.Conn) {
		conn := wrap.Server(wrap.Stream(c), cfg)
		defer conn.Close()
		for {
			head := make([]byte, 4)
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			body := make([]byte, int(head[0])|int(head[1])<<8)
			if _, err := io.ReadFull(conn, body); err != nil || body[0] == 1 {
				return // COM_QUIT
			}
			conn.Write([]byte{7, 0, 0, head[3] + 1, 0, 0, 0, 2, 0, 0, 0})
		}
	})
}
