package admission

// A seenTable remembers, for some time, that something was there: four bytes for each, in lines of 16, of which the
// oldest goes when there is no room. So it forgets only when more than it holds come between.
//
//	┌─ 20 bits ─┬──── 12 bits ────┐
//	│ tag, odd  │ time, in 1/8 s  │     0: empty
//	└───────────┴─────────────────┘
//
// Two in the same line have the same tag once in half a million times, so that of some 30,000 that were never there one
// passes for another: it admits one peer too many.
type seenTable []uint32

const (
	seenWays = 16 // of four bytes: what a processor reads at once

	seenTick  = second / 8
	seenTimes = 1 << 12 // ticks until the time begins anew

	// minRepeat and maxRepeat are how long after the first a ClientHello is believed to be repeated. A duplicate that
	// the network made comes at once; RFC 6347 recommends a second, RFC 7925 nine seconds for small devices, and most
	// double it each time.
	minRepeat = second / 4 / seenTick
	maxRepeat = 40 * second / seenTick
)

func newSeenTable(entries int) seenTable { return make(seenTable, max(entries, seenWays)) }

// repeated reports whether hash was there before, between minRepeat and maxRepeat ago. If it was not there at all, it
// is remembered.
func (t seenTable) repeated(hash uint64, now int64) bool {
	line, tick := t.line(hash), uint32(now/seenTick)%seenTimes
	oldest, oldestAge := 0, uint32(0)
	for i, e := range line {
		age := (tick - e) % seenTimes
		switch {
		case tagOf(uint64(e)) == tagOf(hash) && e != 0 && age <= maxRepeat:
			return age >= minRepeat // too early: what counts is the first
		case e == 0 || age > maxRepeat:
			age = seenTimes // as good as free
		}
		if age > oldestAge {
			oldest, oldestAge = i, age
		}
	}
	line[oldest] = tagOf(hash) | tick
	return false
}

// forget forgets hash.
func (t seenTable) forget(hash uint64) {
	line := t.line(hash)
	for i, e := range line {
		if e != 0 && tagOf(uint64(e)) == tagOf(hash) {
			line[i] = 0
		}
	}
}

// tagOf returns the tag of a hash, and of an entry that is not empty.
func tagOf(hash uint64) uint32 { return uint32(hash)&^(seenTimes-1) | seenTimes }

// line returns where hash may lie. The upper half of the hash chooses the line, the lower half makes the tag.
func (t seenTable) line(hash uint64) []uint32 {
	lines := uint64(len(t) / seenWays)
	at := hash >> 32 * lines >> 32 * seenWays
	return t[at : at+seenWays]
}
