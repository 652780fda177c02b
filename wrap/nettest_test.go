package wrap

import (
	"crypto/tls"
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

func testConfigs(t testing.TB) (client, server *Config) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.test", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	client = &Config{TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}}
	server = &Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	return client, server
}

func TestNettestRaw(t *testing.T) {
	cc, sc := testConfigs(t)
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		a, b := net.Pipe()
		c := Client(Stream(a), cc)
		s := Server(Stream(b), sc)
		return c, s, func() { c.Close(); s.Close() }, nil
	})
}

var _ = frame.Client
