// Package carrier moves frames as IP packets of a protocol of their own, through a TUN device: one frame is one packet,
// and the kernel routes it. There is no UDP and no port; a network that forwards IP forwards the frames.
//
//	this program               the kernel                          the network
//	┌──────────┐  IP packets  ┌───────────────────────────┐
//	│ Conn     │─────────────▶│ carrier0 ─▶ routes ─▶ eth0 │─────▶ routers ─▶ the peer's kernel, its carrier0
//	│ 198.18…2 │◀─────────────│ carrier0 ◀─ routes ◀─ eth0 │◀─────
//	└──────────┘              └───────────────────────────┘
//
// The addresses of a [Device] are not the machine's: they lie behind the device, as those of another host would, and
// the machine forwards what goes there and comes from there. So it must forward (CheckForwarding), its firewall must
// let it, and the network must know the way to the addresses, by a route, or because the machine translates them.
//
//	d, err := carrier.Open(carrier.Config{Addresses: []netip.Addr{netip.MustParseAddr("198.18.0.2")}})
//	conn, err := d.Dial(netip.MustParseAddr("198.18.0.1"))
//	session, err := datagram.Client(wrap.Datagram(conn, nil, conn.MTU()), &datagram.Config{TLS: tlsConfig})
//
// and, where clients come to,
//
//	conn, err := d.Listen(netip.MustParseAddr("198.18.0.1"))
//	listener, err := datagram.NewListener(conn, &datagram.Config{TLS: tlsConfig}, datagram.ListenOptions{})
//
// Packets get lost, come twice and overtake each other, and anybody can send them with any address in them: this is for
// DTLS, not for TLS. What makes no sense is counted, see [Stats], and never answered. spec/carriage.md has the layout.
//
// # No loop
//
// Where a tunnel in these frames leads the traffic of the machine into itself, the frames must not go there. Rules lead
// whatever comes from the device by the main table, past the tables of tunnels, and never out by an interface that
// [Device.Avoid] was told of: a peer that a route of the tunnel covers is reached by the way that would lead there
// without the tunnel.
package carrier
