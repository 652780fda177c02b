package admission

// A Ticket stands for a handshake under way. It is valid until Gate.Done, or until the Gate has evicted it; afterwards
// it does nothing.
type Ticket struct {
	slot int32
	turn uint32 // of those who had this slot; 0: no Ticket
}

// Slot returns a number from 0 to Limits.HalfOpen - 1 that no other valid Ticket has.
func (t Ticket) Slot() int { return int(t.slot) }

// Valid reports whether t is a Ticket at all: the zero value is none.
func (t Ticket) Valid() bool { return t.turn != 0 }

// A slot is the place of a handshake under way. Unproven ones are in a list by age, free ones in another.
type slot struct {
	prefix     prefix
	since      int64
	turn       uint32
	state      slotState
	prev, next int32 // -1: none
}

type slotState uint8

const (
	slotFree slotState = iota
	slotUnproven
	slotProven
)

// halfOpen holds the handshakes under way.
type halfOpen struct {
	slots          []slot
	free           int32 // first of the free slots
	oldest, newest int32 // of the unproven
	unproven       int
	proven         int
	perPrefix      map[prefix]int32 // at most as many as slots
}

func newHalfOpen(n int) halfOpen {
	h := halfOpen{slots: make([]slot, n), oldest: -1, newest: -1, perPrefix: make(map[prefix]int32, n)}
	for i := range h.slots {
		h.slots[i].next = int32(i) + 1
	}
	h.slots[n-1].next = -1
	return h
}

func (h *halfOpen) used() int  { return h.unproven + h.proven }
func (h *halfOpen) full() bool { return h.free < 0 }

// ticket returns the Ticket of who has slot i.
func (h *halfOpen) ticket(i int32) Ticket { return Ticket{slot: i, turn: h.slots[i].turn} }

// get returns the slot of a valid ticket.
func (h *halfOpen) get(t Ticket) *slot {
	if t.slot < 0 || int(t.slot) >= len(h.slots) || !t.Valid() {
		return nil
	}
	s := &h.slots[t.slot]
	if s.turn != t.turn || s.state == slotFree {
		return nil
	}
	return s
}

// enter takes a free slot, of which there must be one, for a new unproven peer.
func (h *halfOpen) enter(p prefix, now int64) Ticket {
	i := h.free
	s := &h.slots[i]
	h.free = s.next
	*s = slot{prefix: p, since: now, turn: max(s.turn+1, 1), state: slotUnproven, prev: h.newest, next: -1}
	if h.newest >= 0 {
		h.slots[h.newest].next = i
	} else {
		h.oldest = i
	}
	h.newest = i
	h.unproven++
	h.perPrefix[p]++
	return h.ticket(i)
}

// prove takes a slot out of the list of the unproven.
func (h *halfOpen) prove(s *slot) {
	if s.state != slotUnproven {
		return
	}
	h.unlink(s)
	s.state = slotProven
	h.unproven--
	h.proven++
}

// leave frees a slot that is in use.
func (h *halfOpen) leave(t Ticket, s *slot) {
	h.prove(s)
	h.proven--
	if h.perPrefix[s.prefix]--; h.perPrefix[s.prefix] <= 0 {
		delete(h.perPrefix, s.prefix)
	}
	s.state, s.prev, s.next = slotFree, -1, h.free
	h.free = t.slot
}

func (h *halfOpen) unlink(s *slot) {
	if s.prev >= 0 {
		h.slots[s.prev].next = s.next
	} else {
		h.oldest = s.next
	}
	if s.next >= 0 {
		h.slots[s.next].prev = s.prev
	} else {
		h.newest = s.prev
	}
}

// evictable reports whether there is an unproven peer that is that old.
func (h *halfOpen) evictable(now, age int64) bool {
	return h.oldest >= 0 && now-h.slots[h.oldest].since >= age
}

// evict frees the slot of the oldest unproven peer, if it is that old.
func (h *halfOpen) evict(now, age int64) (t Ticket, ok bool) {
	if !h.evictable(now, age) {
		return Ticket{}, false
	}
	t = h.ticket(h.oldest)
	h.leave(t, &h.slots[t.slot])
	return t, true
}

// due returns when the oldest unproven peer will be that old.
func (h *halfOpen) due(age int64) (at int64, ok bool) {
	if h.oldest < 0 {
		return 0, false
	}
	return h.slots[h.oldest].since + age, true
}
