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
// a call that takes it over says so. Lack of room is a fault of this program and panics; bytes from the network never
// make a Buf panic. A Buf is not safe for concurrent use.
type Buf struct {
	full     []byte // the whole array; nil after Release
	off, end int    // contents are full[off:end]
	pool     *Pool  // where Release returns it; nil: to the garbage collector
	storage  *bytebufferpool.ByteBuffer
}

// NewBuf returns a Buf outside any pool with a copy of contents and the given room around it.
func NewBuf(head int, contents []byte, tail int) *Buf {
	b := &Buf{full: make([]byte, head+len(contents)+tail), off: head}
	b.end = head + copy(b.full[head:], contents)
	return b
}

// Borrow makes b a view of full[off:end] with the rest of full as its room. The array stays its owner's: Release does
// not recycle it. What b held before is forgotten, not released.
func (b *Buf) Borrow(full []byte, off, end int) {
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

// Prepend makes the contents n bytes longer in front and returns the new bytes, which are not zeroed. It panics when n
// exceeds the headroom.
func (b *Buf) Prepend(n int) []byte {
	if uint(n) > uint(b.off) {
		b.noRoom("Prepend", n, b.off)
	}
	b.off -= n
	return b.full[b.off : b.off+n : b.off+n]
}

// Append makes the contents n bytes longer behind and returns the new bytes, which are not zeroed. It panics when n
// exceeds the tailroom.
func (b *Buf) Append(n int) []byte {
	if uint(n) > uint(len(b.full)-b.end) {
		b.noRoom("Append", n, b.Tailroom())
	}
	b.end += n
	return b.full[b.end-n : b.end : b.end]
}

// TrimFront takes n bytes off the front of the contents; they become headroom. It panics when there are fewer.
func (b *Buf) TrimFront(n int) {
	if uint(n) > uint(b.end-b.off) {
		b.noRoom("TrimFront", n, b.Len())
	}
	b.off += n
}

// TrimBack takes n bytes off the end of the contents; they become tailroom. It panics when there are fewer.
func (b *Buf) TrimBack(n int) {
	if uint(n) > uint(b.end-b.off) {
		b.noRoom("TrimBack", n, b.Len())
	}
	b.end -= n
}

// Tail returns the tailroom as an empty slice for append-style calls, such as cipher.AEAD.Seal. Give what came back to
// Adopt.
func (b *Buf) Tail() []byte { return b.full[b.end:b.end] }

// Adopt makes p the new end of the contents, where p is what an append-style call made of Tail. It costs nothing when p
// is still in place. When append had to move it, the contents move to an array of their own with the same headroom and
// at least tail bytes of tailroom.
func (b *Buf) Adopt(p []byte, tail int) {
	if len(p) == 0 {
		return
	}
	if len(p) <= b.Tailroom() && &p[0] == &b.full[b.end] {
		b.end += len(p)
		return
	}
	if len(p)+tail > b.Tailroom() {
		full := make([]byte, b.end+len(p)+tail)
		copy(full[b.off:], b.full[b.off:b.end])
		b.drop()
		b.full = full
	}
	b.end += copy(b.full[b.end:], p)
}

// Release gives b back to where it came from. Neither b nor any slice of it may be used afterwards.
func (b *Buf) Release() {
	if b.storage == nil && b.pool == nil {
		return
	}
	p := b.pool
	b.drop()
	*b = Buf{}
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
	b.storage.B = b.full[:b.pool.size]
	b.pool.arrays.Put(b.storage)
	b.storage, b.full = nil, nil
}

func (b *Buf) noRoom(op string, n, have int) {
	panic(fmt.Sprintf("frame: Buf.%s(%d): only %d bytes; do Limits and Get agree?", op, n, have))
}
