// Package link moves packets between a TUN device and one connection, both ways, as fast as it can and no faster than
// the connection allows.
//
//	device ─▶ Reader ─▶ Unit ─▶ Queue ─▶ Stream, Datagrams ─▶ connection
//	device ◀─ Writer ◀──────────────────  Stream, Datagrams ◀─ connection
//
// Over a stream super-packets travel whole; over datagrams they are cut when they are sealed, and joined before they
// are written. Whoever has a device and several connections chooses the Queue of each Unit.
//
// What comes from the connection is from a peer that has been authenticated, and is trusted no further: every packet
// is parsed, its offload checked, and its source compared with what the peer may use, before the kernel sees it.
package link

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/wire"
)

// A Config says how a link treats what it moves.
type Config struct {
	// Allowed reports whether the peer may send packets from an address. nil: any.
	Allowed func(source netip.Addr) bool
	// Route says what becomes of a packet of the peer for an address: ok is false if the peer may not send there; to is
	// where packets for another peer wait, nil for those that the device gets. nil: the device gets all.
	Route func(destination netip.Addr) (to *Queue, ok bool)
	// Control is given each control message of the peer; body is valid during the call. An error ends the link. nil:
	// control messages are refused.
	Control func(t wire.Type, body []byte) error
	// MTU is that of the tunnel, in bytes: TCP is told to keep to it, both ways (MSS clamping).
	MTU int
	// Whole says, of a stream, which super-packets the peer takes whole; the others are cut for it.
	Whole device.Offloads
	// Joined says which super-packets the device takes: packets that come one by one are joined for it.
	Joined device.Offloads
	// Partial says, of datagrams, that the peer takes packets whose checksums are still to be computed.
	Partial bool
	// Safe is how long a datagram may be, in bytes, that every path carries: control messages that are longer travel in
	// parts. 0: all may be as long as the path allows.
	Safe int
	// Refused is told, of datagrams, that a message did not leave because it was too long: the path has become narrower, or
	// it was a probe, whose length is told; that of others is 0. It must not wait. nil: nobody wants to know.
	Refused func(probe int)
}

// Stats counts what a link has moved. Packets that stand for many count once.
type Stats struct {
	Sent          uint64 `json:"sent"`
	SentBytes     uint64 `json:"sent_bytes"`
	Received      uint64 `json:"received"`
	ReceivedBytes uint64 `json:"received_bytes"`
	Spoofed       uint64 `json:"spoofed"`       // from addresses that the peer may not use; dropped
	Unreachable   uint64 `json:"unreachable"`   // to addresses that the peer may not reach; dropped
	Refused       uint64 `json:"refused"`       // packets of the peer that make no sense; dropped
	Undeliverable uint64 `json:"undeliverable"` // packets that the device did not take
	TooBig        uint64 `json:"too_big"`       // packets that were too long for the path; dropped, and their senders told
	DroppedFull   uint64 `json:"dropped_full"`  // packets that had no place in the queue
	DroppedLate   uint64 `json:"dropped_late"`  // packets dropped because their flow waited too long
	MarkedLate    uint64 `json:"marked_late"`   // and those that got a mark instead
}

// Add adds what another link has counted.
func (s *Stats) Add(o Stats) {
	s.Sent, s.SentBytes = s.Sent+o.Sent, s.SentBytes+o.SentBytes
	s.Received, s.ReceivedBytes = s.Received+o.Received, s.ReceivedBytes+o.ReceivedBytes
	s.Spoofed += o.Spoofed
	s.Unreachable += o.Unreachable
	s.Refused += o.Refused
	s.Undeliverable += o.Undeliverable
	s.TooBig += o.TooBig
	s.DroppedFull += o.DroppedFull
	s.DroppedLate += o.DroppedLate
	s.MarkedLate += o.MarkedLate
}

type counters struct {
	sent, sentBytes, received, receivedBytes, spoofed, unreachable, refused, undeliverable, tooBig atomic.Uint64
}

func (c *counters) snapshot(q *Queue) Stats {
	return Stats{
		Sent: c.sent.Load(), SentBytes: c.sentBytes.Load(), Received: c.received.Load(),
		ReceivedBytes: c.receivedBytes.Load(), Spoofed: c.spoofed.Load(), Refused: c.refused.Load(),
		Unreachable:   c.unreachable.Load(),
		Undeliverable: c.undeliverable.Load(),
		TooBig:        c.tooBig.Load(),
		DroppedFull:   q.full.Load(), DroppedLate: q.dropped.Load(), MarkedLate: q.marked.Load(),
	}
}

// Writers are those of all queues of a device.
type Writers struct {
	all  []*Writer
	next atomic.Uint32
}

// NewWriters returns those of the queues of d.
func NewWriters(d *device.Device) *Writers {
	w := &Writers{}
	for _, q := range d.Queues() {
		w.all = append(w.all, NewWriter(q))
	}
	return w
}

// Next returns one Writer after the other. Links that move packets of the same flows share one, which keeps the flows in
// order; others should not, for they wait for each other. The kernel hands over the packets of a flow at the queue that the
// answers are written to: so there is also one goroutine that reads for each that writes.
func (w *Writers) Next() *Writer { return w.all[(w.next.Add(1)-1)%uint32(len(w.all))] }

// A Writer is a queue of a device that several links write to.
type Writer struct {
	mu sync.Mutex
	q  *device.Queue
}

// NewWriter returns a Writer of q.
func NewWriter(q *device.Queue) *Writer { return &Writer{q: q} }

func (w *Writer) write(buf []byte, offset int, h *packet.Header, g packet.GSO) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.q.Write(buf, offset, h, g)
}

// writeAll writes what a Coalescer has joined.
func (w *Writer) writeAll(c *packet.Coalescer) error {
	if c.Empty() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return c.Flush(w.q.WriteSuper)
}

// ErrProtocol is wrapped by the error that ends a link whose peer breaks the tunnel protocol.
var ErrProtocol = wire.ErrMalformed

// receiver is what links have in common when they receive.
type receiver struct {
	cfg   Config
	to    *Writer
	stats counters
}

// admit checks a packet of the peer, and reports whether it is for the device. What is not admitted is counted; what is
// for another peer waits there.
func (r *receiver) admit(p []byte, g packet.GSO) (h packet.Header, ok bool) {
	h, err := packet.Parse(p)
	if err == nil {
		err = g.Check(p, &h)
	}
	switch {
	case err != nil:
		r.stats.refused.Add(1)
		return h, false
	case r.cfg.Allowed != nil && !r.cfg.Allowed(packet.Source(p)):
		r.stats.spoofed.Add(1)
		return h, false
	}
	to, ok := r.route(packet.Destination(p))
	if !ok {
		r.stats.unreachable.Add(1)
		return h, false
	}
	r.stats.received.Add(1)
	r.stats.receivedBytes.Add(uint64(len(p)))
	packet.ClampMSS(p, &h, r.cfg.MTU, g.Partial)
	if to != nil && packet.Hop(p) { // else it is for the kernel to say that its time is over
		to.Push(newUnit(p, h, g))
		return h, false
	}
	return h, true
}

func (r *receiver) route(a netip.Addr) (to *Queue, ok bool) {
	if r.cfg.Route == nil {
		return nil, true
	}
	return r.cfg.Route(a)
}

// delivered takes in that the device took a packet, or did not: that is no fault of the connection, unless the device
// is gone.
func (r *receiver) delivered(err error) error {
	switch {
	case err == nil:
		return nil
	case isClosed(err):
		return err
	}
	r.stats.undeliverable.Add(1)
	return nil
}

func (r *receiver) control(t wire.Type, body []byte) error {
	if r.cfg.Control == nil {
		return fmt.Errorf("link: %w: control messages are not wanted here, and there is a %v", ErrProtocol, t)
	}
	return r.cfg.Control(t, body)
}
