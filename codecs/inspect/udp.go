package inspect

import (
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/encase-tls/encase/frame"
)

// datagrams keeps what goes to and fro between two ports of UDP together.
type datagrams struct {
	in    *inspector
	conns map[flows]*conn
	order []flows // oldest first
}

// flows are those of a datagram.
type flows struct{ network, transport gopacket.Flow }

func (f flows) reverse() flows { return flows{f.network.Reverse(), f.transport.Reverse()} }

func newDatagrams(in *inspector) *datagrams { return &datagrams{in: in, conns: map[flows]*conn{}} }

// packet reads one datagram.
func (d *datagrams) packet(network gopacket.Flow, u *layers.UDP) {
	key := flows{network, u.TransportFlow()}
	c, from := d.find(key, u)
	c.lanes[from].frame(u.Payload)
}

// find returns the conn of a datagram, and the role of its sender. The oldest is forgotten when there are too many.
func (d *datagrams) find(key flows, u *layers.UDP) (*conn, frame.Role) {
	from := frame.Client
	if !d.in.isClient(uint16(u.SrcPort), uint16(u.DstPort), nil) {
		from = frame.Server
	}
	if c := d.conns[key]; c != nil {
		return c, c.sender(key)
	}
	if c := d.conns[key.reverse()]; c != nil {
		return c, c.sender(key)
	}
	if len(d.order) == maxConns {
		delete(d.conns, d.order[0])
		d.order = d.order[1:]
	}
	c := d.in.newConn("udp", ends(key.network, key.transport, from == frame.Client))
	d.conns[key] = c
	d.order = append(d.order, key)
	return c, from
}

// sender returns the role of the end that a datagram of c comes from.
func (c *conn) sender(key flows) frame.Role {
	if ends(key.network, key.transport, true)[frame.Client] == c.ends[frame.Client] {
		return frame.Client
	}
	return frame.Server
}
