package tunnel

import (
	"strings"
	"syscall"
	"testing"

	"github.com/encase-tls/encase/tun/tuntest"
)

// tcpOnly is a client that knows no datagrams.
const tcpOnly = `
[[peer]]
name = "hq"
server_name = "vpn.test"
[[peer.endpoint]]
carrier = "tcp"
address = "10.1.0.1:4443"
codec = "length:16be"
`

// Either end is killed in the middle of transfers, and started again: its device, addresses and routes are gone for a
// moment, and what the kernels have begun goes on, and nothing is lost.
func TestKilledDuringTransfers(t *testing.T) {
	for name, config := range map[string]string{"both carriers": aliceConfig, "datagrams": udpOnly, "stream": tcpOnly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			vpn, alice := p.daemon(p.server, "vpn.test", vpnConfig), p.daemon(p.client, "alice.test", config)
			vpn.start()
			alice.start()
			p.reaches("10.66.0.1", tuntest.Patience)
			addresses := p.client.IP("-brief", "addr", "show", "encase0")
			if !strings.Contains(addresses, "10.66.0.2/") {
				t.Fatalf("the client has %s", addresses)
			}
			flows := []*tuntest.Flow{tuntest.NewFlow(t, p.client, p.server, "10.66.0.1"),
				tuntest.NewFlow(t, p.server, p.client, "10.66.0.2")}
			for i, f := range flows {
				f.Start(tuntest.Noise(i, 1<<40))
				f.Moves(1 << 20)
			}
			for _, d := range []*process{vpn, alice} {
				d.end(syscall.SIGKILL)
				d.start()
				for _, f := range flows {
					f.Moves(1 << 20)
				}
			}
			for _, f := range flows {
				f.Stop()
			}
		})
	}
}
