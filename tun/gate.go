package tun

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Limits bound what strangers and clients may cost a Server. 0 stands for the default, a negative value for no limit
// where that is possible.
type Limits struct {
	// HalfOpen is how many connections there may be that have not said who they are, PerAddress how many of them from
	// one address: one of IPv4, or 64 bits of IPv6. PerAddress is for streams: datagrams come with their handshake done,
	// and their listener has limits of its own.
	HalfOpen, PerAddress int
	// Rate is how many streams per second may come from one address, in the long run, and RateAll from all; as many again
	// may come at once.
	Rate, RateAll int

	Clients int // sessions
	// SameName is how many sessions one name of a client may have, each with other addresses. KeepOld refuses one more
	// while all of them are heard; otherwise it takes the place of one: that which is silent, or was resumed, or is the
	// oldest.
	SameName int
	KeepOld  bool

	// Queue is how many bytes of packets may wait for one connection, QueueAll for all together, with what they take of
	// memory; see link.Budget.
	Queue, QueueAll int
}

// Defaults of Limits.
const (
	DefaultHalfOpen   = 256
	DefaultPerAddress = 32
	DefaultRate       = 20
	DefaultRateAll    = 2000
	DefaultClients    = 10000
	DefaultQueueAll   = 256 << 20
)

// settle returns l with the defaults in it.
func (l Limits) settle() Limits {
	for _, f := range []struct {
		n   *int
		def int
	}{{&l.HalfOpen, DefaultHalfOpen}, {&l.PerAddress, DefaultPerAddress}, {&l.Rate, DefaultRate},
		{&l.RateAll, DefaultRateAll}, {&l.Clients, DefaultClients}, {&l.SameName, 1}, {&l.QueueAll, DefaultQueueAll}} {
		if *f.n == 0 {
			*f.n = f.def
		}
	}
	l.HalfOpen, l.Clients, l.SameName = max(l.HalfOpen, 1), max(l.Clients, 1), max(l.SameName, 1)
	return l
}

// A gate keeps account of strangers: connections that do not belong to a session yet. It keeps one address from taking
// all places, and many addresses from holding them. It is safe for concurrent use.
type gate struct {
	limits Limits

	mu      sync.Mutex
	there   list.List // of *stranger, the oldest first
	sources map[netip.Prefix]*source
	all     meter
	stats   Strangers
}

// A Strangers counts connections that were turned away before anything was known of them.
type Strangers struct {
	HalfOpen  int  `json:"half_open"`  // at present
	UnderLoad bool `json:"under_load"` // half of all places are taken: strangers get less time, and addresses fewer places

	Full       uint64 `json:"full"`        // turned away because all places were taken, and by nobody slow
	PerAddress uint64 `json:"per_address"` // because its address had too many places
	Rate       uint64 `json:"rate"`        // because its address, or all together, came too often
	Evicted    uint64 `json:"evicted"`     // that had taken too long, and had to make place for another
	Late       uint64 `json:"late"`        // that had not said who they are in time
}

// A stranger is a connection that has a place.
type stranger struct {
	came   time.Time
	source *source // nil: its address is not counted
	end    func()
}

// A source is an address that strangers come from.
type source struct {
	places int
	meter  meter
}

const (
	// patience is how long a stranger keeps its place for certain: more than most need for a handshake.
	patience = time.Second
	// timeUnderLoad is how long a stranger has under load; without it, openTime.
	timeUnderLoad = 3 * time.Second
	// maxSources bounds the addresses that a gate remembers.
	maxSources = 1 << 15
)

func newGate(l Limits) *gate { return &gate{limits: l, sources: map[netip.Prefix]*source{}} }

// come gives a stranger a place, which leave takes back, and says how long it may be one. nil: it has none, and is to
// be turned away. from is invalid for a connection whose address is not to be counted. end is called if another needs the
// place more.
func (g *gate) come(from netip.Addr, now time.Time, end func()) (*list.Element, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	load := g.underLoad()
	s := &stranger{came: now, end: end}
	if from.IsValid() {
		s.source = g.source(from, now)
		if !s.source.meter.take(now, g.limits.Rate) || !g.all.take(now, g.limits.RateAll) {
			g.stats.Rate++
			return nil, 0
		}
		if most := g.mostPlaces(load); most > 0 && s.source.places >= most {
			g.stats.PerAddress++
			return nil, 0
		}
	}
	if g.there.Len() >= g.limits.HalfOpen && !g.evict(now) {
		g.stats.Full++
		return nil, 0
	}
	if s.source != nil {
		s.source.places++
	}
	if load {
		return g.there.PushBack(s), timeUnderLoad
	}
	return g.there.PushBack(s), openTime
}

func (g *gate) underLoad() bool { return g.there.Len() >= (g.limits.HalfOpen+1)/2 }

// mostPlaces returns how many places an address may have. Under load that is an eighth.
func (g *gate) mostPlaces(load bool) int {
	if load && g.limits.PerAddress > 0 {
		return max(1, g.limits.PerAddress/8)
	}
	return g.limits.PerAddress
}

// evict takes the place of the oldest, if that has been there for long enough.
func (g *gate) evict(now time.Time) bool {
	e := g.there.Front()
	if now.Sub(e.Value.(*stranger).came) < patience {
		return false
	}
	g.stats.Evicted++
	e.Value.(*stranger).end()
	g.free(e)
	return true
}

// leave gives a place back, unless another has it.
func (g *gate) leave(e *list.Element) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free(e)
}

func (g *gate) free(e *list.Element) {
	s := e.Value.(*stranger)
	if s.end == nil {
		return
	}
	s.end = nil
	g.there.Remove(e)
	if s.source != nil {
		s.source.places--
	}
}

// source returns what is known of an address.
func (g *gate) source(from netip.Addr, now time.Time) *source {
	bits := 32
	if from = from.Unmap(); from.Is6() {
		bits = 64
	}
	p, _ := from.WithZone("").Prefix(bits)
	s := g.sources[p]
	if s == nil {
		g.forget(now)
		s = new(source)
		g.sources[p] = s
	}
	return s
}

// forget makes room for another address: it drops those that have nothing to count, and any without a place if that is
// not enough.
func (g *gate) forget(now time.Time) {
	if len(g.sources) < maxSources {
		return
	}
	for p, s := range g.sources {
		if s.places == 0 && s.meter.idle(now) {
			delete(g.sources, p)
		}
	}
	for p, s := range g.sources {
		if len(g.sources) < maxSources*3/4 {
			return
		}
		if s.places == 0 {
			delete(g.sources, p)
		}
	}
}

func (g *gate) late() {
	g.mu.Lock()
	g.stats.Late++
	g.mu.Unlock()
}

func (g *gate) snapshot() Strangers {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.HalfOpen, s.UnderLoad = g.there.Len(), g.underLoad()
	return s
}

// A meter lets so many events per second pass, and as many again at once. The zero value is ready.
type meter struct{ full time.Time } // when as many could pass at once again

// take reports whether an event may pass; perSecond below 1 is no limit.
func (m *meter) take(now time.Time, perSecond int) bool {
	if perSecond < 1 {
		return true
	}
	full := m.full
	if full.Before(now) {
		full = now
	}
	full = full.Add(time.Second / time.Duration(perSecond))
	if full.Sub(now) > time.Second {
		return false
	}
	m.full = full
	return true
}

func (m *meter) idle(now time.Time) bool { return !m.full.After(now) }
