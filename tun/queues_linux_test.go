package tun

import (
	"fmt"
	"testing"

	"github.com/encase-tls/encase/tun/tuntest"
)

// Clients at a server whose device has several queues do not wait for each other: what comes from one is written to a queue
// of its own, what is for it is read there, and all of it is whole.
func TestQueuesOfClients(t *testing.T) {
	for _, carrier := range []Carrier{Stream, Datagrams} {
		for _, queues := range []int{2, 4} {
			t.Run(fmt.Sprintf("%s/%d", carrier, queues), func(t *testing.T) {
				r := newRig(t, func(c *ServerConfig) { c.Interface.Queues = queues })
				var all []*tuntest.Flow
				for i := range queues {
					c := r.client(fmt.Sprintf("client%d.test", i), nil, carrier)
					address := c.address()
					all = append(all, tuntest.NewFlow(t, c.ns, r.ns, "10.66.0.1"), tuntest.NewFlow(t, r.ns, c.ns, address))
				}
				each := megabytes(4)
				for i, f := range all {
					f.Start(tuntest.Noise(i, each))
				}
				for i, f := range all {
					if n := f.Wait(); n != int64(each) {
						t.Errorf("flow %d has carried %d bytes", i, n)
					}
				}
				for i, q := range r.server.dev.device.Queues() {
					s := q.Stats()
					if least := uint64(each) / 2; s.WrittenBytes < least || s.ReadBytes < least {
						t.Errorf("queue %d has written %d bytes and read %d; its client has sent and received %d",
							i, s.WrittenBytes, s.ReadBytes, each)
					}
				}
			})
		}
	}
}
