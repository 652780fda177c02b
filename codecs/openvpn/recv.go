package openvpn

import (
	"github.com/encase-tls/encase/frame"
)

// keep is how many packets a receiver keeps at most until those before them have come, as OpenVPN does.
const keep = 12

// A receiver puts packets in order.
type receiver struct {
	next   uint32           // id of the packet that is missing
	held   [keep]*frame.Buf // payloads of later ones, at their id modulo keep
	recent [sentAcks]uint32 // ids that came last, the latest first
	count  int              // of them
	due    bool             // the latest has not been acknowledged
}

// note remembers to acknowledge a packet.
func (r *receiver) note(id uint32) {
	r.due = true
	at := 0
	for at < r.count && r.recent[at] != id {
		at++
	}
	if at == r.count {
		r.count = min(r.count+1, len(r.recent))
		at = r.count - 1
	}
	copy(r.recent[1:at+1], r.recent[:at])
	r.recent[0] = id
}

// recentAcks returns the ids that the next packet acknowledges. They are valid until the next one is noted.
func (r *receiver) recentAcks() []uint32 {
	r.due = false
	return r.recent[:r.count]
}

// drop forgets what is held.
func (r *receiver) drop() {
	for i, b := range r.held {
		if b != nil {
			b.Release()
			r.held[i] = nil
		}
	}
}

// take takes the packet c, whose payload is a part of b, and appends what can be handed on now.
func (m *machine) take(ev []frame.Event, b *frame.Buf, c *packet) []frame.Event {
	r := &m.in
	ahead := c.id - r.next
	slot := c.id % keep
	switch {
	case c.id < r.next || ahead < keep && ahead > 0 && r.held[slot] != nil:
		m.counters.Duplicate.Add(1)
	case ahead >= keep:
		m.counters.Early.Add(1)
		return ev // not acknowledged: the peer sends it again
	case ahead > 0:
		r.held[slot] = frame.Get(0, len(c.payload))
		copy(r.held[slot].Append(len(c.payload)), c.payload)
	default:
		r.next++
		b.TrimFront(b.Len() - len(c.payload))
		ev = m.release(deliver(ev, b))
	}
	r.note(c.id)
	return ev
}

// release hands on what was held and is next.
func (m *machine) release(ev []frame.Event) []frame.Event {
	r := &m.in
	for {
		slot := r.next % keep
		b := r.held[slot]
		if b == nil {
			return ev
		}
		r.held[slot] = nil
		r.next++
		ev = deliver(ev, b)
	}
}

// deliver hands on TLS bytes. A packet without any has only taken its place.
func deliver(ev []frame.Event, b *frame.Buf) []frame.Event {
	if b.Len() == 0 {
		b.Release()
		return ev
	}
	return append(ev, frame.Event{Kind: frame.In, Buf: b})
}
