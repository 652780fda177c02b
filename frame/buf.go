package frame

import (
	"fmt"

	"github.com/valyala/bytebufferpool"
)

// A Buf is a byte slice with room on both sides of its contents, in one flat array:
//
//	| headroom | contents | tailroom |
//
// so that each layer can put its header in front and its trailer behind without moving the rest. A Buf has one owner;
// a call that takes it over says so. Lack of room, or of contents to trim, is a fault of this program and panics: a
// length that a peer chose must be compared with Len before it comes near a Buf. The zero Buf is empty and has no room.
// A Buf is not safe for concurrent use.
type Buf struct {
	full     []byte                     // the whole array, as far as it may be used
	off, end int                        // contents are full[off:end]
	pool     *Pool                      // where Release returns the Buf; nil: nowhere
	storage  *bytebufferpool.ByteBuffer // where Release returns the array; nil: to the garbage collector
	released bool
}

// NewBuf returns a Buf outside any pool with a copy of contents and the given room around it.
func NewBuf(head int, contents []byte, tail int) *Buf {
	b := &Buf{full: make([]byte, head+len(contents)+tail), off: head}
	b.end = head + copy(b.full[head:], contents)
	return b
}

// Borrow makes b a view of full[off:end] with the rest of full as its room; what lies behind len(full) stays out of
// reach. The array stays its owner's: Release does not recycle it. What b held before is forgotten, not released.
// Borrow panics unless 0 <= off <= end <= len(full).
func (b *Buf) Borrow(full []byte, off, end int) {
	_ = full[off:end:len(full)]
	*b = Buf{full: full, off: off, end: end}
}

// Bytes returns the contents. They are valid until b is released or changed; append cannot reach the tailroom.
func (b *Buf) Bytes() []byte { return b.full[b.off:b.end:b.end] }

// Len returns the length of the contents.
func (b *Buf) Len() int { return b.end - b.off }

// Headroom returns how many bytes fit in front of the contents.
func (b *Buf) Headroom() int { return b.off }

// Tailroom returns how many bytes fit behind the contents.
func (b *Buf) Tailroom() int { return len(b.full) - b.end }

// Cap returns the size of the whole array: what b costs in memory.
func (b *Buf) Cap() int { return len(b.full) }

// Prepend makes the contents n bytes longer in front and returns the new bytes, which are not zeroed. It panics when n
// exceeds the headroom.
func (b *Buf) Prepend(n int) []byte {
	if uint(n) > uint(b.off) {
		noRoom("Prepend", n, b.off)
	}
	b.off -= n
	return b.full[b.off : b.off+n : b.off+n]
}

// Append makes the contents n bytes longer behind and returns the new bytes, which are not zeroed. It panics when n
// exceeds the tailroom.
func (b *Buf) Append(n int) []byte {
	if uint(n) > uint(len(b.full)-b.end) {
		noRoom("Append", n, b.Tailroom())
	}
	b.end += n
	return b.full[b.end-n : b.end : b.end]
}

// TrimFront takes n bytes off the front of the contents; they become headroom. It panics when there are fewer.
func (b *Buf) TrimFront(n int) {
	if uint(n) > uint(b.end-b.off) {
		tooShort("TrimFront", n, b.Len())
	}
	b.off += n
}

// TrimBack takes n bytes off the end of the contents; they become tailroom. It panics when there are fewer.
func (b *Buf) TrimBack(n int) {
	if uint(n) > uint(b.end-b.off) {
		tooShort("TrimBack", n, b.Len())
	}
	b.end -= n
}

// Tail returns the tailroom as an empty slice for append-style calls, such as cipher.AEAD.Seal. Give what came back to
// Adopt.
func (b *Buf) Tail() []byte { return b.full[b.end:b.end:len(b.full)] }

// Adopt appends p, which is what an append-style call made of Tail, and leaves at least tail bytes of tailroom. It
// costs nothing when p is still in place and enough room follows. Otherwise p is copied, and when it does not fit,
// the contents move to an array of their own with the same headroom; slices of b are invalid then.
func (b *Buf) Adopt(p []byte, tail int) {
	switch {
	case len(p)+tail > b.Tailroom():
		full := make([]byte, b.end+len(p)+tail)
		copy(full[b.off:], b.Bytes())
		copy(full[b.end:], p) // before drop: p may lie in the old array
		b.drop()
		b.full = full
	case len(p) > 0 && &p[0] != &b.full[b.end]:
		copy(b.full[b.end:], p)
	}
	b.end += len(p)
}

// Release gives a Buf of a pool back to it. Neither b nor any slice of it may be used afterwards. A Buf that borrows,
// or that was made by NewBuf, has nowhere to go: nothing happens to it.
func (b *Buf) Release() {
	p := b.pool
	if p == nil {
		if b.released && poison.Load() {
			panic("frame: Buf.Release: released twice; which of the two owned it?")
		}
		return
	}
	b.drop()
	*b = Buf{released: true}
	p.headers.Put(b)
}

// drop returns the array to its pool and keeps the rest of b.
func (b *Buf) drop() {
	if b.storage == nil {
		return
	}
	if poison.Load() {
		for i := range b.full {
			b.full[i] = poisonByte
		}
	}
	b.storage.B = b.full // at its full length, see Pool
	b.pool.arrays.Put(b.storage)
	b.storage, b.full = nil, nil
}

func noRoom(op string, n, have int) {
	panic(fmt.Sprintf("frame: Buf.%s(%d): there is room for %d bytes; do Limits and Get agree?", op, n, have))
}

func tooShort(op string, n, have int) {
	panic(fmt.Sprintf("frame: Buf.%s(%d): the contents are %d bytes; compare with Len first", op, n, have))
}
