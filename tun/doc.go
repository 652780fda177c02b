// Package tun is an IP tunnel over TLS and DTLS in the framing of any codec: a [Server] with many clients, and a
// [Client]. spec/tunnel.md describes what they say to each other.
//
//	           ┌──────────── session ───────────┐
//	device ───▶│ route ─▶ queue ─▶ link ─▶ TLS  │───▶ connection: a stream, or datagrams
//	device ◀───│    checks ◀────── link ◀─ TLS  │◀───
//	           └────────────────────────────────┘
//
// A session is a client and its addresses. It outlives its connections: packets go over the one that works, datagrams
// if there are any that do, and a connection is replaced before its keys are worn out. Peers are authenticated by TLS;
// every packet of theirs is checked before the kernel sees it, and nothing that they send costs more than its place in
// a bounded queue.
//
// The packages below are the parts: device (a TUN interface), packet (what is in IP packets), link (moving them), wire
// (the protocol), lease (addresses of clients), network (addresses and routes of an interface).
package tun

import (
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/network"
)

// An Interface says what the TUN interface of a tunnel is like.
type Interface struct {
	device.Config
	MTU        int // in bytes; 0 means DefaultMTU
	QueueLen   int // packets that may wait for this program; 0 means DefaultQueueLen
	GSOMaxSize int // longest super-packet, in bytes; 0: the kernel's, 64 KiB. Less means less delay on slow paths
}

const (
	// DefaultMTU is what fits into the datagrams that every path carries, with room for codecs.
	DefaultMTU = 1400
	// DefaultQueueLen is more than the kernel's 500, which is too few for a fast connection.
	DefaultQueueLen = 2000
)

func (i *Interface) mtu() int {
	if i.MTU > 0 {
		return i.MTU
	}
	return DefaultMTU
}

// An opened is a device that is in use.
type opened struct {
	device  *device.Device
	network *network.Network
	writers *link.Writers
	warned  int // offloads that are off, of which the log has been told
}

// open makes the device.
func (i *Interface) open() (*opened, error) {
	d, err := device.Open(i.Config)
	if err != nil {
		return nil, err
	}
	n, err := network.Open(i.Namespace)
	if err != nil {
		d.Close()
		return nil, err
	}
	return &opened{device: d, network: n, writers: link.NewWriters(d)}, nil
}

// settings returns what the network is to be like, besides routes.
func (i *Interface) settings(addresses []netip.Prefix, mtu int) network.Settings {
	s := network.Settings{MTU: mtu, QueueLen: i.QueueLen, GSOMaxSize: i.GSOMaxSize, Addresses: addresses}
	if s.QueueLen == 0 {
		s.QueueLen = DefaultQueueLen
	}
	return s
}

func (o *opened) close(log *slog.Logger) {
	if err := o.network.Clear(); err != nil {
		log.Warn("network settings are left behind", "error", err)
	}
	o.network.Close()
	o.device.Close()
}

// pump reads packets of all queues of the device and gives them to route, until the device is closed. The slice is valid
// during the call.
func (o *opened) pump(route func([]*link.Unit)) error {
	queues := o.device.Queues()
	ended := make(chan error, len(queues))
	for _, q := range queues {
		go func() {
			r := link.NewReader(q)
			defer r.Close()
			for {
				units, err := r.Read()
				if err != nil {
					ended <- err
					return
				}
				route(units)
			}
		}()
	}
	var first error
	for range queues {
		if err := <-ended; first == nil {
			first = err
			o.device.Close() // one queue less would lose its flows
		}
	}
	return fmt.Errorf("tun: %w", first)
}
