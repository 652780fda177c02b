package tun

import (
	"strings"
	"testing"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/tuntest"
)

// What is off is in the status with its reason; what the kernel refuses while the tunnel runs is also in the log, once,
// and costs no packet.
func TestOffloadsAreTold(t *testing.T) {
	r := newRig(t, func(c *ServerConfig) { c.Interface.Offloads = &device.Offloads{TCP: true, ECN: true} })
	s := r.server.Status()
	if len(s.OffloadsOff) != 1 || s.OffloadsOff[0] != (device.Withheld{Offload: "udp", Why: asConfigured}) {
		t.Errorf("%+v", s.OffloadsOff)
	}
	// Refused by every kernel, and never from a peer, see packet.GSO.Check. Nobody else writes yet.
	p := oddities([]byte{10, 66, 0, 2}, []byte{10, 66, 0, 1})["TCP with options"].bytes()
	h, err := packet.Parse(p)
	if err != nil {
		t.Fatal(err)
	}
	buf := append(make([]byte, device.Headroom), p...)
	g := packet.GSO{Kind: packet.TCP4, Partial: true, Size: 0xffff}
	if err := r.server.dev.device.Queues()[0].Write(buf, device.Headroom, &h, g); err != nil {
		t.Error(err)
	}
	const said = `msg="an offload of the interface is off, which costs speed but no data" offload=tcp`
	tuntest.Eventually(t, "it is logged", func() bool { return strings.Contains(r.log.String(), said) })
	if s := r.server.Status(); len(s.OffloadsOff) != 3 || s.Offloads != "off" || s.Device.CutAfterRefusal != 1 {
		t.Errorf("%+v", s)
	}
	c := r.client("alice.test", nil, Datagrams)
	c.address()
	tuntest.Eventually(t, "both ends send and receive", func() bool {
		for _, s := range []Status{r.server.Status(), c.client.Status()} {
			o := s.Sessions[0].Connections[0]
			if !strings.Contains(o.Offloads, "gso") && len(o.OffloadsOff) == 0 {
				return false
			}
		}
		return true
	})
	f := tuntest.NewFlow(t, c.ns, r.ns, "10.66.0.1")
	f.Start(tuntest.Noise(3, megabytes(4)))
	if n := f.Wait(); n != int64(megabytes(4)) || strings.Count(r.log.String(), said) != 1 {
		t.Errorf("%d bytes; %s", n, r.log)
	}
}
