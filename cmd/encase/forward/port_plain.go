package forward

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/encase-tls/encase/wrap/udp"
)

// A plainPort listens for plain datagrams. A client is an address that they come from.
type plainPort struct {
	port
	shards []*plainShard
}

// A plainShard is a socket of a plainPort with the clients that the system gives to it.
type plainShard struct {
	port *plainPort
	sock *udp.Socket

	mu      sync.Mutex
	clients map[netip.AddrPort]*exchange
}

// received is how many packets are received at once.
const received = 32

func listenPlain(s *service, a address) (*plainPort, error) {
	if err := checkFree(a); err != nil {
		return nil, err
	}
	o := udp.Options{Discover: udp.DiscoverNone, ReadBuffer: listenBuffer}
	socks, err := udp.OpenShards(a.network, a.target, shards(), o)
	if err != nil {
		return nil, listenUDPError(err)
	}
	p := &plainPort{}
	p.init(s, a)
	for _, sock := range socks {
		p.shards = append(p.shards, &plainShard{port: p, sock: sock, clients: map[netip.AddrPort]*exchange{}})
	}
	return p, nil
}

func (p *plainPort) bound() string {
	return address{p.address.network, p.shards[0].sock.LocalAddr().String()}.String()
}

func (p *plainPort) goesOnWith(f *forward) error {
	if f.accept.dtls != nil {
		return errChanged
	}
	return nil
}

// serve receives until nobody may come any more and all have gone.
func (p *plainPort) serve(ctx context.Context) {
	for _, s := range p.shards {
		go s.receive()
	}
	p.wait(ctx)
	p.close()
	var total udp.Stats
	for _, s := range p.shards {
		st := s.sock.Stats()
		total.DatagramsIn += st.DatagramsIn
		total.DatagramsOut += st.DatagramsOut
		total.Dropped += st.Dropped
		total.Truncated += st.Truncated
	}
	p.current().log.Info("port closed", slog.String("address", p.address.String()),
		slog.Uint64("received", total.DatagramsIn), slog.Uint64("sent", total.DatagramsOut),
		slog.Uint64("overrun", total.Dropped+total.Truncated))
}

// close closes the sockets of a port without clients.
func (p *plainPort) close() {
	for _, s := range p.shards {
		s.sock.Close()
	}
}

// receive gives each datagram to the exchange of its client, until the socket is closed.
func (s *plainShard) receive() {
	const pause = 10 * time.Millisecond // or an error that stays would take all the time there is
	packets := make([]udp.Packet, received)
	for i := range packets {
		packets[i].Data = make([]byte, udp.MaxRead)
	}
	for {
		n, err := s.sock.ReadBatch(packets)
		for i := range packets[:n] {
			p := &packets[i]
			if x := s.exchange(p.Addr, p.Local); x != nil {
				x.take(client, p.Data, p.Segment)
			}
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(pause)
		}
	}
}

// exchange returns the exchange of a client, which it begins if there is none; nil if there can be none.
func (s *plainShard) exchange(from netip.AddrPort, local netip.Addr) *exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, ok := s.clients[from]; ok {
		return x
	}
	if !from.IsValid() {
		return nil
	}
	x := s.port.enter(addrOf(from), func() { s.forget(from) })
	if x == nil {
		return nil
	}
	s.clients[from] = x
	x.log.Debug("accepted", "peer", peerText(x.peer))
	x.start(&plainOutlet{sock: s.sock, to: from, local: local}, nil)
	return x
}

// forget lets a client begin anew.
func (s *plainShard) forget(from netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, from)
}
