package datagram

import (
	"net/netip"

	"github.com/encase-tls/encase/wrap/udp"
)

// An Origin is where a datagram came from that is not DTLS. It can be kept, and compared.
type Origin struct {
	shard *shard
	from  endpoint
}

// Addr returns the address.
func (o Origin) Addr() netip.AddrPort { return o.from.addr }

// Send sends a datagram there, from the address that the other has come to. It may be called at any time.
func (o Origin) Send(p []byte) error {
	_, err := o.shard.sock.WriteBatch([]udp.Packet{{Addr: o.from.addr, Local: o.from.local, Data: p}})
	return err
}

// aside gives away what is not DTLS.
func (s *shard) aside(p *udp.Packet) {
	for d := range p.Datagrams() {
		if records, ok := s.look.look(d); ok { // GRO has put it to what is something else
			s.route(d, 0, records, endpoint{p.Addr, p.Local})
			continue
		}
		s.l.stats.side.Add(1)
		if s.l.options.Side != nil {
			s.l.options.Side(Origin{s, endpoint{p.Addr, p.Local}}, d)
		}
	}
}
