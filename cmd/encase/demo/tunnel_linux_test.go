package demo

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/tun/tuntest"
)

// The demonstration of a tunnel moves data through both, and leaves nothing behind.
func TestTunnel(t *testing.T) {
	tuntest.NeedRoot(t)
	tuntest.Need(t, "ip")
	before, _ := os.ReadDir("/sys/class/net")
	c := Command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetContext(t.Context())
	c.SetArgs([]string{"--tunnel", "--json", "--size", "8MiB"})
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	var r tunnelResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.Clients) != 2 || r.Clients[0].Address == r.Clients[1].Address || r.Clients[1].Codec != described {
		t.Errorf("%+v", r)
	}
	if after, _ := os.ReadDir("/sys/class/net"); len(after) != len(before) {
		t.Errorf("interfaces: %v before, %v after", before, after)
	}
}
