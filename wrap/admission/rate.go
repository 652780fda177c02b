package admission

// A bucket lets so many events per second pass, and as many again at once: a bucket of tokens, kept as the time at
// which it would be full. Times are nanoseconds since the Gate was made.
//
// https://www.rfc-editor.org/rfc/rfc2697 describes such a meter; this is the form with one number, known as GCRA.
type bucket struct{ full int64 }

const second = 1e9

// take takes a token, if there is one. perSecond 0 is no limit.
func (b *bucket) take(now int64, perSecond int) bool {
	if perSecond == 0 {
		return true
	}
	step := second / int64(perSecond)
	full := max(b.full, now) + step
	if full > now+second {
		return false
	}
	b.full = full
	return true
}

// rateWays is how many addresses share a line of the table: 64 bytes, what a processor reads at once.
const rateWays = 4

// A rateTable holds buckets by a hash of their owner's address. When a line is full, the bucket that is nearest to
// being full goes: a new one in its place makes the least difference.
type rateTable []rateEntry

type rateEntry struct {
	hash uint64
	bucket
}

func newRateTable(entries int) rateTable { return make(rateTable, max(entries, rateWays)) }

func (t rateTable) take(hash uint64, now int64, perSecond int) bool {
	lines := uint64(len(t) / rateWays)
	at := hash >> 32 * lines >> 32 * rateWays // the upper half chooses the line
	line := t[at : at+rateWays]
	oldest := 0
	for i := range line {
		if line[i].hash == hash {
			return line[i].take(now, perSecond)
		}
		if line[i].full < line[oldest].full {
			oldest = i
		}
	}
	line[oldest] = rateEntry{hash: hash}
	return line[oldest].take(now, perSecond)
}
