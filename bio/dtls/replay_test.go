package dtls

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestWindow(t *testing.T) {
	type step struct {
		seq    uint64
		fresh  bool
		newest bool
	}
	tests := []struct {
		name  string
		size  int
		steps []step
	}{
		{"in order", 64, []step{{0, true, true}, {1, true, true}, {2, true, true}}},
		{"twice", 64, []step{{0, true, true}, {0, false, false}, {5, true, true}, {5, false, false},
			{0, false, false}}},
		{"out of order", 64, []step{{9, true, true}, {3, true, false}, {8, true, false}, {3, false, false}}},
		{"the oldest of 64", 64, []step{{63, true, true}, {0, true, false}, {0, false, false}}},
		{"older than 64", 64, []step{{64, true, true}, {0, false, false}, {1, true, false}}},
		{"the oldest of 1024", 1024, []step{{5000, true, true}, {5000 - 1023, true, false},
			{5000 - 1024, false, false}}},
		{"a jump over all words", 64, []step{{10, true, true}, {10 + 1<<20, true, true}, {10, false, false},
			{10 + 1<<20 - 63, true, false}}},
		{"a jump that comes back to the same word", 64, []step{{3, true, true}, {3 + 128, true, true},
			{2 + 128, true, false}, {4 + 64, true, false}, {3 + 64, false, false}}},
		{"the last number", 64, []step{{maxSeq, true, true}, {maxSeq, false, false}, {maxSeq - 63, true, false},
			{maxSeq - 64, false, false}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWindow(test.size)
			for i, s := range test.steps {
				if got := w.fresh(s.seq); got != s.fresh {
					t.Fatalf("step %d: fresh(%d) = %v", i, s.seq, got)
				}
				if s.fresh {
					if got := w.commit(s.seq); got != s.newest {
						t.Fatalf("step %d: commit(%d) = %v", i, s.seq, got)
					}
				}
			}
		})
	}
}

// TestWindowOracle compares windows with one that remembers everything.
func TestWindowOracle(t *testing.T) {
	for _, size := range []int{64, 128, 1024, 65536} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w, seen, newest := newWindow(size), map[uint64]bool{}, int64(-1)
			rng := rand.New(rand.NewPCG(uint64(size), 1))
			for range 200_000 {
				at := max(0, newest+rng.Int64N(int64(2*size))-int64(size)*3/2)
				if rng.IntN(1000) == 0 {
					at += rng.Int64N(int64(5 * size))
				}
				seq := uint64(at)
				want := at > newest-int64(size) && !seen[seq]
				if got := w.fresh(seq); got != want {
					t.Fatalf("fresh(%d) = %v, newest %d", seq, got, newest)
				}
				if want && rng.IntN(4) > 0 { // the others do not authenticate
					if got := w.commit(seq); got != (at > newest) {
						t.Fatalf("commit(%d) = %v, newest %d", seq, got, newest)
					}
					seen[seq], newest = true, max(newest, at)
				}
			}
		})
	}
}
