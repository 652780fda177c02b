package tunnel

import (
	"context"
	"crypto/tls"
	"os"
	"testing"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/cmd/encase/exit"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/frame"
)

// asCommand makes the test binary the command encase up.
const asCommand = "ENCASE_TEST_COMMAND"

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	if os.Getenv(asCommand) != "" {
		c := upCommand("test")
		c.SetContext(context.Background())
		if err := c.Execute(); err != nil {
			os.Exit(exit.Status(err))
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// identities writes an authority and certificates into a folder.
func identities(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca, err := ephemeral.New("test authority")
	if err != nil {
		t.Fatal(err)
	}
	certs := map[string]tls.Certificate{}
	for _, name := range []string{"server", "client"} {
		if certs[name], err = ca.Issue(name + ".test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ca.WriteFiles(dir, certs); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// serverFile and clientFile are configurations with nothing wrong; DIR stands for the folder of identities.
const (
	serverFile = `config_version = 1
[interface]
addresses = ["10.66.0.1/24", "fd66::1/64"]
[identity]
cert = "DIR/server.crt"
key = "DIR/server.key"
ca = "DIR/ca.crt"
[[listen]]
address = "127.0.0.1:4433"
`
	clientFile = `config_version = 1
[identity]
cert = "DIR/client.crt"
key = "DIR/client.key"
ca = "DIR/ca.crt"
[[peer]]
[[peer.endpoint]]
carrier = "tcp"
address = "server.test:4433"
codec = "length:16be"
`
)
