package frame

import (
	"bytes"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
)

func TestGetPicksClass(t *testing.T) {
	tests := []struct{ head, room, size int }{
		{0, 0, 512},
		{0, 512, 512},
		{64, 448, 512},
		{64, 449, 2 << 10},
		{512, 0, 512},
		{513, 0, 2 << 10},
		{100, 1350, 2 << 10},
		{0, 4 << 10, 4 << 10},
		{1, 4 << 10, 18 << 10},
		{64, 16<<10 + 256 + 5, 18 << 10},
		{0, 18<<10 + 1, 64 << 10},
		{0, 64 << 10, 64 << 10},
		{0, DefaultMaxFrame, 128 << 10},
		{0, 128 << 10, 128 << 10},
		{1, 128 << 10, 128<<10 + 1},
		{1 << 20, 1 << 20, 2 << 20},
	}
	for _, tt := range tests {
		b := Get(tt.head, tt.room)
		if len(b.full) != tt.size || b.Headroom() != tt.head || b.Tailroom() != tt.size-tt.head || b.Len() != 0 {
			t.Errorf("Get(%d, %d): array %d, room %d and %d, length %d; want array %d", tt.head, tt.room,
				len(b.full), b.Headroom(), b.Tailroom(), b.Len(), tt.size)
		}
		b.Release()
	}
}

func TestPoolGetPanicsOnLackOfRoom(t *testing.T) {
	p := NewPool(16)
	mustPanic(t, "Buf.Get(17): there is room for 16", func() { p.Get(17) })
	mustPanic(t, "Buf.Get(-1)", func() { p.Get(-1) })
	if b := p.Get(16); b.Headroom() != 16 || b.Tailroom() != 0 {
		t.Errorf("room %d and %d, want 16 and 0", b.Headroom(), b.Tailroom())
	}
}

// TestPoolSurvivesCalibration takes each class more than once through as many puts as bytebufferpool waits for, first
// with contents trimmed and consumed in every way, then with hardly any, and wants every later Get served from the
// pool.
func TestPoolSurvivesCalibration(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector sync.Pool forgets at random: nothing to count")
	}
	quick(t)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools
	for _, class := range classes {
		t.Run(strconv.Itoa(class.size), func(t *testing.T) {
			p := NewPool(class.size)
			turn := 0
			cycles := func() {
				for range 1000 {
					b := p.Get(turn % 65)
					use(b, turn)
					b.Release()
					turn++
				}
			}
			cycles()
			wantNoAllocs(t, 10, cycles)
			for turn < 250_000 {
				cycles()
			}
			wantNoAllocs(t, 10, cycles)
			PoisonReleased(true)
			distinct(t, p, class.size)
			PoisonReleased(false)
		})
	}
}

// use leaves b as a connection might: full, empty, consumed from the front, or cut, and later hardly used.
func use(b *Buf, turn int) {
	if turn > 50_000 && turn%50 != 0 {
		b.Append(b.Tailroom() / 8)
		return
	}
	b.Append(b.Tailroom() * (turn % 5) / 4)
	switch turn % 4 {
	case 1:
		b.TrimFront(b.Len())
	case 2:
		b.TrimBack(b.Len() / 2)
	case 3:
		b.Prepend(b.Headroom())
		b.TrimFront(b.Len() / 3)
	}
}

// wantNoAllocs fails if f, which should repeat what it measures, allocates: the average is rounded down. It counts
// nothing under the race detector, which makes sync.Pool forget at random.
func wantNoAllocs(t *testing.T, runs int, f func()) {
	t.Helper()
	if raceEnabled {
		f()
		return
	}
	if n := testing.AllocsPerRun(runs, f); n != 0 {
		t.Errorf("%v allocations per run, want 0", n)
	}
}

// TestPoolConcurrent fills Bufs in several goroutines and looks whether any of them saw the bytes of another.
func TestPoolConcurrent(t *testing.T) {
	p := NewPool(256)
	var wg sync.WaitGroup
	for id := range byte(8) {
		wg.Go(func() {
			want := bytes.Repeat([]byte{id}, 200)
			for range 2000 {
				b := p.Get(16)
				copy(b.Append(200), want)
				other := Get(16, 300)
				copy(other.Append(200), want)
				if !bytes.Equal(b.Bytes(), want) || !bytes.Equal(other.Bytes(), want) {
					t.Error("two goroutines share an array")
				}
				b.Release()
				other.Release()
			}
		})
	}
	wg.Wait()
}

// TestPoolReleaseElsewhere gives Bufs back in another goroutine than the one that took them, as a writer does.
func TestPoolReleaseElsewhere(t *testing.T) {
	p := NewPool(64)
	taken := make(chan *Buf, 16)
	go func() {
		defer close(taken)
		for i := range 5000 {
			b := p.Get(0)
			b.Append(1)[0] = byte(i)
			taken <- b
		}
	}()
	next := byte(0)
	for b := range taken {
		if b.Bytes()[0] != next {
			t.Errorf("Buf holds %d, want %d", b.Bytes()[0], next)
		}
		next++
		b.Release()
	}
}
