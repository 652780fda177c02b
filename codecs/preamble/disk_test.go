package preamble_test

import (
	"bufio"
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

// A network block device: nbdkit behind our client, with TLS and without, and nbdinfo before our server.
func TestNBD(t *testing.T) {
	nbdkit, nbdinfo := program(t, "nbdkit"), program(t, "nbdinfo")
	certs := issued(t).files(t)
	for from, to := range map[string]string{"ca.crt": "ca-cert", "server.crt": "server-cert",
		"server.key": "server-key"} {
		if err := os.Rename(certs+"/"+from, certs+"/"+to+".pem"); err != nil {
			t.Fatal(err)
		}
	}
	start := func(args ...string) (addr string) {
		t.Helper()
		addr = porttest.Free(t)
		_, port, _ := net.SplitHostPort(addr)
		args = append([]string{"-f", "-i", "127.0.0.1", "-p", port}, args...)
		daemon(t, command(t, nbdkit, append(args, "null", "1M")...))
		await(t, addr)
		return addr
	}
	t.Run("client", func(t *testing.T) {
		conn, err := dial(t, start("--tls=require", "--tls-certificates="+certs), preamble.NBD{})
		if err != nil {
			t.Fatal(err)
		}
		const list = "IHAVEOPT\x00\x00\x00\x03\x00\x00\x00\x00" // what it exports: one thing without a name
		want := "0003e889045565a9" + "00000003" + "00000002" + "00000004" + "00000000"
		got := make([]byte, len(want)/2)
		io.WriteString(conn, list)
		if _, err := io.ReadFull(conn, got); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("got %x, want %s (%v)", got, want, err)
		}
		_, err = dial(t, start("--tls=off"), preamble.NBD{})
		refusal(t, err, "the error 2 (policy)")
	})
	t.Run("server", func(t *testing.T) {
		got := make(chan string, 1)
		cfg := serverConfig(t, preamble.NBD{})
		addr := listen(t, func(c net.Conn) {
			conn := wrap.Server(wrap.Stream(c), cfg)
			defer conn.Close()
			first, _ := bufio.NewReader(conn).Peek(len("IHAVEOPT"))
			got <- string(first)
		})
		uri := "nbds://localhost:" + strings.TrimPrefix(addr, "127.0.0.1:") + "/?tls-certificates=" + certs
		command(t, nbdinfo, uri).Run() // fails: there is no disk behind TLS
		if first := <-got; first != "IHAVEOPT" {
			t.Errorf("behind TLS nbdinfo begins with %q", first)
		}
	})
}
