package frame

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"
)

// quick switches poisoning off for one benchmark or allocation test, because it costs a pass over every array.
func quick(tb testing.TB) {
	PoisonReleased(false)
	tb.Cleanup(func() { PoisonReleased(true) })
}

func BenchmarkPool(b *testing.B) {
	quick(b)
	for _, room := range []int{400, 1500, 17000, 65000} {
		b.Run(fmt.Sprint(room), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Get(64, room).Release()
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				Get(64, 1500).Release()
			}
		})
	})
}

// BenchmarkReader reads from a source that always has more, and from one that has 20000 bytes at a time, as a socket
// has between two wake-ups.
func BenchmarkReader(b *testing.B) {
	quick(b)
	for _, size := range []int{1350, 16384} {
		for _, most := range []int{1 << 20, 20000} {
			b.Run(fmt.Sprintf("%d/%d", size, most), func(b *testing.B) {
				src := &endless{frame: lengthFrame(make([]byte, size)), most: most}
				r := NewReader(src, length16{}, 0)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := r.Next(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(src.reads)/float64(b.N), "reads/op")
			})
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	quick(b)
	for _, count := range []int{1, 32} {
		b.Run(fmt.Sprintf("%dx1350", count), func(b *testing.B) {
			w := NewWriter(io.Discard)
			frames := make([]*Buf, count)
			b.SetBytes(int64(count) * 1350)
			b.ReportAllocs()
			for b.Loop() {
				for i := range frames {
					frames[i] = Get(16, 1400)
					frames[i].Append(1350)
				}
				if _, err := w.Write(frames); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// endless repeats one frame for ever and gives at most so many bytes at once.
type endless struct {
	frame     []byte
	at, most  int
	reads     int
	delivered int
}

func (e *endless) Read(p []byte) (n int, err error) {
	e.reads++
	p = p[:min(len(p), e.most)]
	for n < len(p) {
		m := copy(p[n:], e.frame[e.at:])
		e.at = (e.at + m) % len(e.frame)
		n += m
	}
	e.delivered += n
	return n, nil
}

// length16 delimits frames that start with their payload's length in two bytes.
type length16 struct{}

func (length16) FrameLen(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, nil
	}
	return 2 + int(binary.BigEndian.Uint16(p)), nil
}

// lengthFrame returns payload with the header of length16.
func lengthFrame(payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(payload))), payload...)
}
