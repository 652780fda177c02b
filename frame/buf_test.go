package frame

import (
	"bytes"
	"math"
	"testing"
)

// TestBufOperations starts every case with "abcdef", four bytes of headroom and five of tailroom.
func TestBufOperations(t *testing.T) {
	tests := []struct {
		name       string
		do         func(b *Buf)
		want       string
		head, tail int
	}{
		{"nothing", func(b *Buf) {}, "abcdef", 4, 5},
		{"prepend", func(b *Buf) { copy(b.Prepend(2), "xy") }, "xyabcdef", 2, 5},
		{"prepend all", func(b *Buf) { copy(b.Prepend(4), "wxyz") }, "wxyzabcdef", 0, 5},
		{"prepend none", func(b *Buf) { b.Prepend(0) }, "abcdef", 4, 5},
		{"append", func(b *Buf) { copy(b.Append(2), "xy") }, "abcdefxy", 4, 3},
		{"append all", func(b *Buf) { copy(b.Append(5), "vwxyz") }, "abcdefvwxyz", 4, 0},
		{"append none", func(b *Buf) { b.Append(0) }, "abcdef", 4, 5},
		{"trim front", func(b *Buf) { b.TrimFront(2) }, "cdef", 6, 5},
		{"trim front all", func(b *Buf) { b.TrimFront(6) }, "", 10, 5},
		{"trim back", func(b *Buf) { b.TrimBack(2) }, "abcd", 4, 7},
		{"trim back all", func(b *Buf) { b.TrimBack(6) }, "", 4, 11},
		{"header and trailer", func(b *Buf) { b.Prepend(1)[0] = '<'; b.Append(1)[0] = '>' }, "<abcdef>", 3, 4},
		{"there and back", func(b *Buf) { b.Prepend(3); b.Append(3); b.TrimFront(3); b.TrimBack(3) }, "abcdef", 4, 5},
		{"room from contents", func(b *Buf) { b.TrimFront(3); copy(b.Prepend(7), "1234567") }, "1234567def", 0, 5},
		{"adopt in place", func(b *Buf) { b.Adopt(append(b.Tail(), "xy"...), 3) }, "abcdefxy", 4, 3},
		{"adopt to the brim", func(b *Buf) { b.Adopt(append(b.Tail(), "vwxyz"...), 0) }, "abcdefvwxyz", 4, 0},
		{"adopt nothing", func(b *Buf) { b.Adopt(b.Tail(), 5) }, "abcdef", 4, 5},
		{"adopt nil", func(b *Buf) { b.Adopt(nil, 5) }, "abcdef", 4, 5},
		{"adopt in place, room added", func(b *Buf) { b.Adopt(append(b.Tail(), "xy"...), 9) }, "abcdefxy", 4, 9},
		{"adopt nothing, room added", func(b *Buf) { b.Adopt(nil, 9) }, "abcdef", 4, 9},
		{"adopt moved", func(b *Buf) { b.Adopt(append(b.Tail(), "uvwxyz"...), 7) }, "abcdefuvwxyz", 4, 7},
		{"adopt moved, no tail", func(b *Buf) { b.Adopt(append(b.Tail(), "uvwxyz"...), 0) }, "abcdefuvwxyz", 4, 0},
		{"adopt from elsewhere", func(b *Buf) { b.Adopt([]byte("xy"), 1) }, "abcdefxy", 4, 3},
		{"adopt its own contents", func(b *Buf) { b.Adopt(b.Bytes()[3:], 0) }, "abcdefdef", 4, 2},
		{"adopt its own contents, moved", func(b *Buf) { b.Adopt(b.Bytes(), 2) }, "abcdefabcdef", 4, 2},
	}
	for _, source := range bufSources {
		for _, tt := range tests {
			t.Run(source.name+"/"+tt.name, func(t *testing.T) {
				b := source.make()
				defer b.Release()
				tt.do(b)
				if got := string(b.Bytes()); got != tt.want || b.Len() != len(tt.want) {
					t.Errorf("contents %q, length %d, want %q", got, b.Len(), tt.want)
				}
				if b.Cap() != tt.head+len(tt.want)+tt.tail {
					t.Errorf("the array has %d bytes", b.Cap())
				}
				if b.Headroom() != tt.head || b.Tailroom() != tt.tail {
					t.Errorf("room %d and %d, want %d and %d", b.Headroom(), b.Tailroom(), tt.head, tt.tail)
				}
			})
		}
	}
}

var bufSources = []struct {
	name string
	make func() *Buf
}{
	{"owned", func() *Buf { return NewBuf(4, []byte("abcdef"), 5) }},
	{"pooled", func() *Buf {
		b := NewPool(15).Get(4)
		copy(b.Append(6), "abcdef")
		return b
	}},
	{"borrowed", func() *Buf {
		b := new(Buf)
		b.Borrow([]byte("....abcdef.....out of reach")[:15], 4, 10)
		return b
	}},
}

func TestBufPanicsOnLackOfRoom(t *testing.T) {
	tests := []struct {
		name, says string
		do         func(b *Buf)
	}{
		{"prepend", "Buf.Prepend(5): there is room for 4", func(b *Buf) { b.Prepend(5) }},
		{"prepend negative", "Buf.Prepend(-1)", func(b *Buf) { b.Prepend(-1) }},
		{"prepend most negative", "Buf.Prepend", func(b *Buf) { b.Prepend(math.MinInt) }},
		{"append", "Buf.Append(6): there is room for 5", func(b *Buf) { b.Append(6) }},
		{"append negative", "Buf.Append(-1)", func(b *Buf) { b.Append(-1) }},
		{"append most", "Buf.Append", func(b *Buf) { b.Append(math.MaxInt) }},
		{"trim front", "Buf.TrimFront(7): the contents are 6", func(b *Buf) { b.TrimFront(7) }},
		{"trim front negative", "Buf.TrimFront(-1)", func(b *Buf) { b.TrimFront(-1) }},
		{"trim back", "Buf.TrimBack(7): the contents are 6", func(b *Buf) { b.TrimBack(7) }},
		{"trim back negative", "Buf.TrimBack(-1)", func(b *Buf) { b.TrimBack(-1) }},
	}
	for _, source := range bufSources {
		for _, tt := range tests {
			t.Run(source.name+"/"+tt.name, func(t *testing.T) {
				b := source.make()
				mustPanic(t, tt.says, func() { tt.do(b) })
				if got := string(b.Bytes()); got != "abcdef" || b.Headroom() != 4 || b.Tailroom() != 5 {
					t.Errorf("the Buf has changed: %q, room %d and %d", got, b.Headroom(), b.Tailroom())
				}
			})
		}
	}
}

// TestBufSlicesAreClipped appends to every slice that a Buf gives out and looks whether its neighbours notice.
func TestBufSlicesAreClipped(t *testing.T) {
	const before = "0123abcdef45678"
	backing := []byte(before + "not ours")
	var b Buf
	slices := map[string]func() []byte{
		"Bytes":       func() []byte { return b.Bytes() },
		"Bytes empty": func() []byte { b.TrimBack(6); return b.Bytes() },
		"Prepend":     func() []byte { return b.Prepend(2) },
		"Append":      func() []byte { return b.Append(2) },
		"full Tail":   func() []byte { return b.Tail()[:5] },
	}
	for name, slice := range slices {
		b.Borrow(backing[:15], 4, 10)
		_ = append(slice(), "OVERWRITTEN"...)
		if got := string(backing); got != before+"not ours" {
			t.Fatalf("%s: append reached beyond the slice: %q", name, got)
		}
	}
}

func TestBufBorrow(t *testing.T) {
	array := []byte("0123456789")
	var b Buf
	b.Borrow(array, 2, 8)
	b.Prepend(1)[0] = '<'
	b.Append(1)[0] = '>'
	b.Release()
	b.Release()
	if string(array) != "0<234567>9" {
		t.Errorf("the array is %q after Release", array)
	}
	b.Borrow(array, 10, 10)
	if b.Len() != 0 || b.Headroom() != 10 || b.Tailroom() != 0 {
		t.Errorf("empty at the end: length %d, room %d and %d", b.Len(), b.Headroom(), b.Tailroom())
	}
	for _, bad := range [][2]int{{-1, 5}, {6, 5}, {0, 11}, {11, 11}} {
		mustPanic(t, "out of range", func() { b.Borrow(array[:10:10], bad[0], bad[1]) })
		mustPanic(t, "out of range", func() { b.Borrow(append(array, "more"...)[:10], bad[0], bad[1]) })
	}
}

func TestZeroBuf(t *testing.T) {
	var b Buf
	if b.Len() != 0 || b.Headroom() != 0 || b.Tailroom() != 0 || len(b.Bytes()) != 0 || cap(b.Tail()) != 0 {
		t.Error("the zero Buf is not empty")
	}
	b.Adopt([]byte("abc"), 2)
	if string(b.Bytes()) != "abc" || b.Tailroom() != 2 {
		t.Errorf("adopted %q with %d bytes of tailroom", b.Bytes(), b.Tailroom())
	}
	b.Release()
}

func TestNewBufCopies(t *testing.T) {
	contents := []byte("abc")
	b := NewBuf(1, contents, 1)
	contents[0] = 'X'
	if string(b.Bytes()) != "abc" {
		t.Errorf("contents are %q", b.Bytes())
	}
}

// TestAdoptMovedFromPool looks whether the array that was left goes back to its pool once, and the new one never.
func TestAdoptMovedFromPool(t *testing.T) {
	p := NewPool(64)
	b := p.Get(8)
	old := b.full
	copy(b.Append(40), "contents")
	b.Adopt(append(b.Tail(), make([]byte, 100)...), 4)
	if &b.full[0] == &old[0] {
		t.Fatal("the contents have not moved")
	}
	if old[0] != poisonByte || old[63] != poisonByte {
		t.Error("the old array was not given back")
	}
	if !bytes.HasPrefix(b.Bytes(), []byte("contents")) || b.Len() != 140 || b.Headroom() != 8 || b.Tailroom() != 4 {
		t.Errorf("%d bytes, room %d and %d", b.Len(), b.Headroom(), b.Tailroom())
	}
	moved := b.Bytes()
	b.Release()
	if !bytes.HasPrefix(moved, []byte("contents")) {
		t.Error("the new array went to the pool")
	}
	distinct(t, p, 64)
}

// distinct takes several Bufs from p and fails if two share an array or one has the wrong size.
func distinct(t *testing.T, p *Pool, size int) {
	t.Helper()
	seen := make(map[*byte]bool)
	bufs := make(map[*Buf]bool)
	for range 20 {
		b := p.Get(0)
		if len(b.full) != size || b.Tailroom() != size {
			t.Errorf("array of %d bytes, want %d", len(b.full), size)
		}
		if seen[&b.full[0]] || bufs[b] {
			t.Fatal("the pool handed out one Buf twice")
		}
		seen[&b.full[0]], bufs[b] = true, true
	}
	for b := range bufs {
		b.Release()
	}
}

func TestReleasePoisons(t *testing.T) {
	b := NewPool(32).Get(4)
	kept := b.Append(8)
	copy(kept, "plaintxt")
	b.Release()
	if want := bytes.Repeat([]byte{poisonByte}, 8); !bytes.Equal(kept, want) {
		t.Errorf("a kept slice still reads %q", kept)
	}
	mustPanic(t, "released twice", b.Release)
}

func TestReleaseWithoutPool(t *testing.T) {
	b := NewBuf(0, []byte("abc"), 0)
	b.Release()
	b.Release()
	large := Get(1, 1<<20)
	large.Append(1 << 20)
	large.Release()
	if large.pool != nil {
		t.Error("an array beyond the largest class belongs to a pool")
	}
}
