package udp

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSegments is how many datagrams the kernel makes of one: UDP_MAX_SEGMENTS, which is 128 since Linux 6.9.
const maxSegments = 64

// A plan is the messages of one system call.
type plan struct {
	*kernel
	messages []message
	headers  []header // parallel to messages, as the following are
	names    []sockaddr
	extras   []ancillary
	pieces   []unix.Iovec
}

// A message is a datagram, or several that the kernel cuts.
type message struct {
	end       position // what comes after it
	datagrams int
	bytes     int
}

// make plans what to send of ps from at on, as far as there is room.
func (l *plan) make(s *sender, ps []Packet, at position) {
	l.grow(s.messages(ps[at.packet:]))
	l.messages, l.pieces = l.messages[:0], l.pieces[:0]
	for at.packet < len(ps) && len(l.messages) < len(l.headers) && len(l.pieces) < cap(l.pieces) {
		if at.offset == 0 && len(l.messages) > 0 && s.check(&ps[at.packet]) != nil {
			return
		}
		at = l.add(ps, at, s.gso.Load() && !at.before(s.single))
	}
}

// messages returns how many messages ps may need, at most maxBatch.
func (s *sender) messages(ps []Packet) (n int) {
	cut := s.gso.Load()
	for i := 0; i < len(ps) && n < maxBatch; i++ {
		most := most(ps[i].size(), cut)
		n += (ps[i].Count() + most - 1) / most
	}
	return min(n, maxBatch)
}

// grow makes room for n messages.
func (l *plan) grow(n int) {
	if n <= len(l.headers) {
		return
	}
	l.headers, l.messages = make([]header, n), make([]message, 0, n)
	l.names, l.extras = make([]sockaddr, n), make([]ancillary, n)
	l.pieces = make([]unix.Iovec, 0, 2*n)
	for i := range l.headers {
		l.headers[i].Name = (*byte)(unsafe.Pointer(&l.names[i]))
	}
}

// add plans one message from at on and returns what comes after it. cut: the kernel may cut it.
func (l *plan) add(ps []Packet, at position, cut bool) position {
	first, p, size := len(l.pieces), &ps[at.packet], ps[at.packet].size()
	m := message{end: at}
	for limit := most(size, cut); m.datagrams < limit && m.end.packet < len(ps) && len(l.pieces) < cap(l.pieces); {
		if q := &ps[m.end.packet]; m.datagrams > 0 && m.end.offset == 0 && !q.follows(p, size) {
			break
		}
		if n := l.piece(ps, &m, size, limit); n == 0 || n%size != 0 { // only the last may be shorter
			break
		}
	}
	l.finish(m, p, size, l.pieces[first:])
	return m.end
}

// most returns how many datagrams of a size may be in a message.
func most(size int, cut bool) int {
	if size == 0 || !cut {
		return 1
	}
	return max(min(maxSegments, MaxDatagram/size), 1)
}

// follows reports whether q may be in the message of p, whose datagrams have a size.
func (q *Packet) follows(p *Packet, size int) bool {
	n := q.size()
	return n > 0 && (n == size || n < size && n == len(q.Data)) &&
		q.Addr == p.Addr && q.Local == p.Local && q.ECN == p.ECN
}

// piece adds to m what fits of the packet at its end and returns its length.
func (l *plan) piece(ps []Packet, m *message, size, limit int) int {
	data := ps[m.end.packet].Data[m.end.offset:]
	data = data[:min(len(data), (limit-m.datagrams)*size)]
	iov := unix.Iovec{Base: unsafe.SliceData(data)}
	iov.SetLen(len(data))
	l.pieces = append(l.pieces, iov)
	m.bytes += len(data)
	m.datagrams += max((len(data)+size-1)/max(size, 1), 1)
	if m.end.offset += len(data); m.end.offset == len(ps[m.end.packet].Data) {
		m.end = position{packet: m.end.packet + 1}
	}
	return len(data)
}

// finish writes the header of m.
func (l *plan) finish(m message, p *Packet, size int, pieces []unix.Iovec) {
	i := len(l.messages)
	l.messages = append(l.messages, m)
	h := &l.headers[i]
	h.Namelen = 0
	if !l.peer.connected {
		h.Namelen = l.names[i].put(p.Addr, l.six, &l.zones)
	}
	h.Iov = &pieces[0]
	h.SetIovlen(len(pieces))
	w := ancillaryWriter{room: l.extras[i].bytes()}
	l.extra(&w, m, p, size)
	h.Control, h.Flags = nil, 0
	if h.SetControllen(w.n); w.n > 0 {
		h.Control = &w.room[0]
	}
}

// extra writes what goes along with m.
func (l *plan) extra(w *ancillaryWriter, m message, p *Packet, size int) {
	if local := p.Local.Unmap(); local.IsValid() && local != l.local {
		w.source(local, &l.zones)
	}
	if p.ECN != 0 {
		w.ecn(p.ECN, l.target(p).Addr().Is4())
	}
	if m.datagrams > 1 {
		w.segment(size)
	}
}

// target returns where p goes.
func (k *kernel) target(p *Packet) netip.AddrPort {
	if k.peer.connected {
		return k.peer.addr
	}
	return unmapped(p.Addr)
}

// after returns the end of the first n messages, which began at at.
func (l *plan) after(at position, n int) position {
	if n == 0 {
		return at
	}
	return l.messages[n-1].end
}

// count adds the first n messages to the statistics.
func (l *plan) count(n int, c *counters) {
	var datagrams, bytes, cut uint64
	for _, m := range l.messages[:n] {
		datagrams += uint64(m.datagrams)
		bytes += uint64(m.bytes)
		if m.datagrams > 1 {
			cut++
		}
	}
	c.datagramsOut.Add(datagrams)
	c.bytesOut.Add(bytes)
	c.gsoSends.Add(cut)
}

// forget lets go of the caller's memory.
func (l *plan) forget() { clear(l.pieces) }
