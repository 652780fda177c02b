// Package udp moves UDP datagrams in batches: many in one system call (recvmmsg and sendmmsg of Linux), and many that
// lie side by side in one buffer as one (UDP_SEGMENT, called GSO, and UDP_GRO). Elsewhere, and over any other
// [net.PacketConn], the same calls move one datagram at a time.
//
//	s, err := udp.Open("udp", "[::]:4433", udp.Options{})
//	packets := make([]udp.Packet, 8)
//	for i := range packets {
//		packets[i].Data = make([]byte, udp.MaxRead)
//	}
//	for {
//		n, err := s.ReadBatch(packets)
//		...
//		for i := range packets[:n] {
//			for datagram := range packets[i].Datagrams() {
//				...
//
// # What a caller can rely on
//
// Datagrams keep their boundaries. A datagram that the kernel refuses never takes others of its batch with it, and
// whether GSO works is found out without losing one: what it refuses is sent again one by one. In the steady state a
// batch allocates nothing. Addresses are never IPv4-mapped IPv6 addresses, whatever the socket.
//
// # What it cannot
//
// UDP authenticates nothing: who a datagram comes from is what it says, an ICMP error may be anybody's, and so may be
// the path MTU that the kernel has learnt from one ([DiscoverProbe] does not listen to it).
package udp

import (
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"time"
)

// MaxRead is the room, in bytes, in which everything fits that one [Packet] of ReadBatch can hold: the most that GRO
// puts together.
const MaxRead = 65535

// A Packet is a datagram, or several with the same addresses that lie side by side.
type Packet struct {
	// Addr is the peer: where a packet came from, where it is to go. A connected socket sends to its peer if Addr is
	// the zero AddrPort. It is the zero AddrPort in what is read from a conn of [From] that has no IP addresses.
	Addr netip.AddrPort

	// Local is the address of this host that the packet was sent to, and that it is to be sent from: send an answer
	// with the Local of the question, or a host with several addresses answers from the wrong one. Zero: the kernel
	// chooses; and, in what is read, unknown: multicast over IPv6, and any system but Linux unless the socket is bound
	// to one address.
	Local netip.Addr

	// Data holds the datagrams. It is always the caller's. ReadBatch fills Data[:cap(Data)] and sets its length, so
	// the same Packets can be given again as they are; WriteBatch only reads it. Neither keeps it.
	Data []byte

	// Segment is the length of each datagram in Data, in bytes; the last may be shorter. 0, or the length of Data and
	// more: Data is one datagram, which may be empty.
	Segment int

	// ECN are the two bits of explicit congestion notification: 0 not capable, 1 ECT(1), 2 ECT(0), 3 congestion
	// experienced. Linux only; elsewhere 0.
	// https://www.rfc-editor.org/rfc/rfc3168#section-5
	ECN uint8

	// Err is set by WriteBatch: why the packet, or a part of it, was refused; a *TooBigError or a *SendError.
	Err error
}

// Count returns how many datagrams p holds: at least one.
func (p *Packet) Count() int {
	if n := p.size(); n > 0 {
		return (len(p.Data) + n - 1) / n
	}
	return 1
}

// Datagrams yields each datagram in p, a part of p.Data that append cannot leave.
func (p *Packet) Datagrams() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		size, rest := p.size(), p.Data
		for ; len(rest) > size; rest = rest[size:] {
			if !yield(rest[:size:size]) {
				return
			}
		}
		yield(rest[:len(rest):len(rest)])
	}
}

// size returns the length of the first datagram, which no other exceeds.
func (p *Packet) size() int {
	if p.Segment <= 0 || p.Segment > len(p.Data) {
		return len(p.Data)
	}
	return p.Segment
}

// A Socket sends and receives batches of datagrams. All methods may be called at any time by any goroutine; batches in
// one direction wait for each other.
type Socket struct {
	conn  net.PacketConn
	mover mover
	stats counters
}

// A mover moves batches. The system has the best one, over what it knows.
type mover interface {
	// read gives back what l has lent, unless it returns packets; without l, ps has room.
	read(ps []Packet, l Lender) (int, error)
	write(ps []Packet) (int, error)
	pathMTU(to netip.AddrPort) (int, error)
	offloads() (gso, gro bool)
	withheld() []*OffloadError
}

// Open listens on address, which has the form of [net.ListenPacket]; network is udp, udp4 or udp6. With udp and an
// unspecified IPv6 address or none the socket serves both families.
func Open(network, address string, o Options) (*Socket, error) {
	return open(network, address, o, false)
}

func open(network, address string, o Options, shared bool) (*Socket, error) {
	if err := checkNetwork(network); err != nil {
		return nil, err
	}
	return openOptions(o, shared, func(c control) (net.PacketConn, error) {
		lc := net.ListenConfig{Control: c}
		return lc.ListenPacket(background, network, address)
	})
}

// OpenShards opens up to n sockets on one address, among which the kernel spreads the peers: each peer stays with one
// socket as long as its address, and the number of sockets, are the same. Systems other than Linux do not spread, and
// there is one Socket there. Every process of the same user may join the address, as SO_REUSEPORT has it; n = 1 shares
// with nobody.
func OpenShards(network, address string, n int, o Options) (shards []*Socket, err error) {
	if n < 1 {
		return nil, fmt.Errorf("udp: %d shards: ask for one at least", n)
	}
	if !spreads {
		n = 1
	}
	for range n {
		s, err := open(network, address, o, n > 1)
		if err != nil {
			for _, s := range shards {
				s.Close()
			}
			return nil, err
		}
		shards = append(shards, s)
		address = s.LocalAddr().String() // port 0: all on the port that the first was given
	}
	return shards, nil
}

// Dial returns a socket that sends to one peer and hears only it. ICMP errors become errors of ReadBatch.
func Dial(network, address string, o Options) (*Socket, error) {
	if err := checkNetwork(network); err != nil {
		return nil, err
	}
	return openOptions(o, false, func(c control) (net.PacketConn, error) {
		d := net.Dialer{Control: c}
		conn, err := d.DialContext(background, network, address)
		if err != nil {
			return nil, err
		}
		return conn.(*net.UDPConn), nil
	})
}

// From returns a Socket over conn, which it takes over. A *net.UDPConn, such as one that a service manager handed down,
// is used as Open would on this system, but keeps the buffers and the path MTU discovery that it has. Any other conn
// moves one datagram at a time; if it is also a net.Conn with a remote address it is taken to be connected.
func From(conn net.PacketConn) *Socket {
	s := &Socket{conn: conn}
	if u, ok := conn.(*net.UDPConn); ok {
		s.mover = newMover(u, &s.stats, Options{})
	} else {
		s.mover = newPortable(conn, &s.stats)
	}
	return s
}

func openOptions(o Options, shared bool, open func(control) (net.PacketConn, error)) (*Socket, error) {
	conn, err := open(o.control(shared))
	if err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	s := &Socket{conn: conn}
	s.mover = newMover(conn.(*net.UDPConn), &s.stats, o)
	return s, nil
}

func checkNetwork(network string) error {
	switch network {
	case "udp", "udp4", "udp6":
		return nil
	}
	return fmt.Errorf("udp: network %q: use udp, udp4 or udp6", network)
}

// ReadBatch waits for datagrams and takes as many as are there and have room: one Packet holds one, or with GRO
// several. It fills ps[:n], n > 0 unless err is set, and may change the order of ps.
//
// A datagram that is longer than its Packet has room is dropped and counted, where the system tells. GRO is used if
// each Packet of the first ReadBatch has room for MaxRead bytes; all later ones must have as much then, or the joined
// datagrams that do not fit are dropped and counted like those.
//
// err wraps net.ErrClosed after Close and os.ErrDeadlineExceeded after the read deadline. A connected socket also
// reports ICMP errors, such as syscall.ECONNREFUSED: they end nothing, and may be forged. Others hear of none.
func (s *Socket) ReadBatch(ps []Packet) (n int, err error) { return s.readBatch(ps, nil) }

// A Lender has the memory that is received into. Lend and Return are called in turn, in the order of their names, by
// who calls ReadBatchLent, and must not use the Socket.
type Lender interface {
	// Lend gives each Packet its Data, as ReadBatch wants it.
	Lend(ps []Packet)
	// Return takes back what was lent: there is nothing to receive into it, or an error.
	Return(ps []Packet)
}

// ReadBatchLent is ReadBatch for who has no memory to spare while there is nothing to receive: on Linux it gives back
// what l has lent before it waits, and borrows again when something has come. If it returns packets, the Data of all ps
// is still lent; Return is then not called. Elsewhere it keeps what it has borrowed for as long as it waits.
func (s *Socket) ReadBatchLent(ps []Packet, l Lender) (n int, err error) { return s.readBatch(ps, l) }

func (s *Socket) readBatch(ps []Packet, l Lender) (n int, err error) {
	if len(ps) == 0 {
		return 0, nil
	}
	n, err = s.mover.read(ps, l)
	if n > 0 {
		s.stats.batchesIn.Add(1)
	}
	return n, readError(err)
}

// WriteBatch sends ps in order, in as few system calls as it can: neighbours with the same addresses and length leave
// as one, as if they lay side by side. It waits while the kernel has no room.
//
// n packets were tried. A packet that cannot be sent is skipped: its Err says why, that of the others is nil, and err
// is the first of them, a *TooBigError or a *SendError. So n < len(ps) only with an error that wraps net.ErrClosed
// after Close, or os.ErrDeadlineExceeded after the write deadline; some datagrams of ps[n] may have been sent then.
func (s *Socket) WriteBatch(ps []Packet) (n int, err error) {
	if len(ps) == 0 {
		return 0, nil
	}
	for i := range ps {
		ps[i].Err = nil
	}
	n, err = s.mover.write(ps)
	s.stats.batchesOut.Add(1)
	if err != nil {
		return n, fmt.Errorf("udp: sending: %w", err)
	}
	return n, firstError(ps)
}

func firstError(ps []Packet) error {
	for i := range ps {
		if ps[i].Err != nil {
			return ps[i].Err
		}
	}
	return nil
}

func readError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("udp: receiving: %w", err)
}

// PathMTU returns the longest IP packet, in bytes, that the kernel believes to reach addr: that of the first link, or
// less if routers have said so. A datagram holds MaxPayload of it. The kernel's belief may come from forged ICMP.
// Nothing is sent. On a connected socket addr may be the zero AddrPort; one that is not answers for the network
// namespace of the thread that calls. On systems other than Linux, and over other conns, the error wraps
// errors.ErrUnsupported.
func (s *Socket) PathMTU(addr netip.AddrPort) (int, error) {
	mtu, err := s.mover.pathMTU(addr)
	if err != nil {
		return 0, fmt.Errorf("udp: path MTU of %v: %w", addr, err)
	}
	return mtu, nil
}

var errUnknownMTU = fmt.Errorf("this system does not say: %w", errors.ErrUnsupported)

// Offloads reports whether the kernel cuts what is sent (GSO) and joins what is received (GRO) at present.
func (s *Socket) Offloads() (gso, gro bool) { return s.mover.offloads() }

// Withheld returns the offloads that are not used, and why: because of Options.Offload, because this kernel does not know
// them or is known to do them wrong, because it has refused one, or because ReadBatch is given too little room. What has
// not been tried yet is not in it.
func (s *Socket) Withheld() []*OffloadError { return s.mover.withheld() }

// LocalAddr returns the address that the socket is bound to.
func (s *Socket) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr returns the peer of a connected socket, else nil.
func (s *Socket) RemoteAddr() net.Addr {
	if c, ok := s.conn.(net.Conn); ok {
		return c.RemoteAddr()
	}
	return nil
}

// SetReadDeadline ends a ReadBatch that waits, and any later one that would, at t; the zero time: never.
func (s *Socket) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// SetWriteDeadline does for WriteBatch what SetReadDeadline does for ReadBatch.
func (s *Socket) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }

// SetDeadline sets both deadlines.
func (s *Socket) SetDeadline(t time.Time) error { return s.conn.SetDeadline(t) }

// Close ends the socket, and a ReadBatch or WriteBatch that waits.
func (s *Socket) Close() error { return s.conn.Close() }
