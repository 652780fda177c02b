package dtls

// A window remembers which record numbers have come, so that none is taken twice: the newest, and for each of the size
// numbers that end with it whether it was there. The bits lie in a ring of words, of which one more than the window
// spans is in use, so that moving on clears whole words.
// https://www.rfc-editor.org/rfc/rfc6347#section-4.1.2.6 https://www.rfc-editor.org/rfc/rfc6479
type window struct {
	next uint64 // one more than the newest number; 0 before the first
	size uint64
	ring []uint64 // a power of two of them
}

const wordBits = 64

// newWindow returns a window of size numbers, a power of two and a multiple of 64.
func newWindow(size int) window {
	return window{size: uint64(size), ring: make([]uint64, 2*size/wordBits)}
}

func (w *window) word(seq uint64) *uint64 {
	return &w.ring[seq/wordBits&uint64(len(w.ring)-1)]
}

// fresh reports whether a record may be taken: not seen before, and not so old that nobody remembers. It changes
// nothing: whoever sends a forged record must not be able to move the window.
func (w *window) fresh(seq uint64) bool {
	switch {
	case seq >= w.next:
		return true
	case w.next-seq > w.size:
		return false
	}
	return *w.word(seq)>>(seq%wordBits)&1 == 0
}

// commit notes a record that was fresh and has proven to be authentic. It reports whether it is the newest.
func (w *window) commit(seq uint64) (newest bool) {
	if newest = seq >= w.next; newest {
		w.moveTo(seq)
	}
	*w.word(seq) |= 1 << (seq % wordBits)
	return newest
}

// moveTo makes seq the newest number and clears the words that come into use again.
func (w *window) moveTo(seq uint64) {
	if w.next > 0 {
		last := (w.next - 1) / wordBits
		for i := range min(seq/wordBits-last, uint64(len(w.ring))) {
			*w.word((last + 1 + i) * wordBits) = 0
		}
	}
	w.next = seq + 1
}
