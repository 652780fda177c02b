package admission

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"
)

// A Gate admits peers and keeps account of those whose handshake is under way. Times that it is told must not run
// backwards by more than moments. It is not safe for concurrent use: several sockets of one server share one, under a
// lock.
type Gate struct {
	limits Limits
	base   time.Time
	seed   maphash.Seed // nobody can choose addresses that meet in a table

	open   halfOpen
	load   load
	hellos rateTable
	seen   seenTable
	admits bucket
	counts [reasons]uint64
}

// New returns a Gate. now is the time from which it counts.
func New(l Limits, now time.Time) (*Gate, error) {
	l, err := l.settle()
	if err != nil {
		return nil, err
	}
	return &Gate{
		limits: l,
		base:   now,
		seed:   maphash.MakeSeed(),
		open:   newHalfOpen(l.HalfOpen),
		hellos: newRateTable(l.Addresses),
		seen:   newSeenTable(l.Remembered),
	}, nil
}

// A Decision is what a Gate has decided about a ClientHello.
type Decision struct {
	Reason Reason
	Ticket Ticket // of the new peer, if Reason is Admitted; give it back with Done
	Evict  Ticket // if Valid, of a peer that must go first; its Ticket is not to be given back any more
}

// Hello decides about a datagram that comes from an address without a peer. It allocates nothing.
func (g *Gate) Hello(from netip.Addr, datagram []byte, now time.Time) Decision {
	d := g.decide(from, datagram, g.since(now))
	g.counts[d.Reason]++
	if d.Evict.Valid() {
		g.counts[Evicted]++
	}
	return d
}

func (g *Gate) decide(from netip.Addr, datagram []byte, now int64) Decision {
	hello, ok := ParseHello(datagram)
	switch {
	case !ok:
		return Decision{Reason: NoHello}
	case len(hello.Cookie) > 0 || hello.Seq > 0:
		return Decision{Reason: LateCookie}
	}
	g.load.update(now, int64(g.limits.UnprovenTimeout), g.open.unproven, g.limits.HalfOpen)
	p := prefixOf(from)
	switch {
	case g.limits.HelloRate > 0 && !g.hellos.take(g.hash(p, nil), now, g.limits.HelloRate):
		return Decision{Reason: HelloRate}
	case g.load.on:
		return g.underLoad(p, hello.Random, now)
	}
	return g.admit(p, now)
}

// underLoad lets a peer in whose ClientHello has come before. If there is no room for it, it may try again.
func (g *Gate) underLoad(p prefix, random []byte, now int64) Decision {
	hash := g.hash(p, random)
	if !g.seen.repeated(hash, now) {
		g.load.keptOut++
		return Decision{Reason: FirstUnderLoad}
	}
	d := g.admit(p, now)
	if d.Reason == Admitted {
		g.seen.forget(hash)
		g.load.keptOut = max(g.load.keptOut-1, 0)
	}
	return d
}

// admit makes room for a peer and lets it in.
func (g *Gate) admit(p prefix, now int64) (d Decision) {
	switch {
	case g.limits.HalfOpenPerAddr > 0 && int(g.open.perPrefix[p]) >= g.limits.HalfOpenPerAddr:
		return Decision{Reason: PerAddr}
	case g.open.full() && !g.open.evictable(now, int64(g.limits.CookieTime)):
		return Decision{Reason: Full}
	case !g.admits.take(now, g.limits.AdmitRate):
		return Decision{Reason: AdmitRate}
	}
	if g.open.full() {
		d.Evict, _ = g.open.evict(now, int64(g.limits.CookieTime))
	}
	d.Ticket = g.open.enter(p, now)
	return d
}

// since returns the time as the tables have it.
func (g *Gate) since(t time.Time) int64 { return max(int64(t.Sub(g.base)), 0) }

// Proven notes that a peer has returned its cookie: it can receive at the address that it sends from, and is not
// evicted any more. The engine knows; it says a ServerHello, see IsServerHello.
func (g *Gate) Proven(t Ticket) {
	if s := g.open.get(t); s != nil {
		g.open.prove(s)
	}
}

// Has reports whether a Ticket is valid.
func (g *Gate) Has(t Ticket) bool { return g.open.get(t) != nil }

// Done notes that a handshake is over, however it has ended.
func (g *Gate) Done(t Ticket) {
	if s := g.open.get(t); s != nil {
		g.open.leave(t, s)
	}
}

// Expire evicts a peer that has not returned its cookie within Limits.UnprovenTimeout. ok is false if there is none.
func (g *Gate) Expire(now time.Time) (t Ticket, ok bool) {
	if t, ok = g.open.evict(g.since(now), int64(g.limits.UnprovenTimeout)); ok {
		g.counts[Evicted]++
	}
	return t, ok
}

// Deadline returns when Expire wants to be called; ok is false if there is nobody to evict.
func (g *Gate) Deadline() (at time.Time, ok bool) {
	due, ok := g.open.due(int64(g.limits.UnprovenTimeout))
	return g.base.Add(time.Duration(due)), ok
}

// Limits returns the limits with the defaults in them, and 0 for "no limit".
func (g *Gate) Limits() Limits { return g.limits }

// A prefix is what counts as one address.
type prefix struct {
	bits uint64
	v4   bool
}

func prefixOf(a netip.Addr) prefix {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return prefix{bits: uint64(binary.BigEndian.Uint32(b[:])), v4: true}
	}
	b := a.As16()
	return prefix{bits: binary.BigEndian.Uint64(b[:8])}
}

// hash returns a hash of a prefix and, if there is one, a random.
func (g *Gate) hash(p prefix, random []byte) uint64 {
	var b [9 + randomLen]byte
	binary.LittleEndian.PutUint64(b[:], p.bits)
	if p.v4 {
		b[8] = 1
	}
	n := 9 + copy(b[9:], random)
	return maphash.Bytes(g.seed, b[:n])
}
