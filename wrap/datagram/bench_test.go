package datagram

import (
	"testing"
)

// BenchmarkOneWay moves messages of 1350 bytes over UDP on loopback, none of which may get lost: the sender is at most
// half a queue ahead.
func BenchmarkOneWay(b *testing.B) {
	for _, codec := range []string{"", "length:16be", "channeldata:udp"} {
		for _, many := range []int{1, 32} {
			name := map[int]string{1: "/one by one", 32: "/batches"}[many]
			if codec == "" {
				name = "none" + name
			}
			b.Run(codec+name, func(b *testing.B) { oneWay(b, codec, many) })
		}
	}
}

func oneWay(b *testing.B, codec string, many int) {
	const size, ahead = 1350, 512
	client, server := configs(b, codec)
	client.MTU, server.MTU = 1472, 1472
	server.Queue = 2 * ahead * size
	c, s := connect(b, client, server)
	batch := make([][]byte, many)
	for i := range batch {
		batch[i] = noise(size, 1)
	}
	tokens := make(chan struct{}, ahead/many)
	done := make(chan int)
	total := (b.N + many - 1) / many * many
	go func() {
		got := make([][]byte, 64)
		for i := range got {
			got[i] = make([]byte, size)
		}
		n := 0
		for n < total {
			m, err := s.ReadBatch(got)
			if err != nil {
				break
			}
			for range (n+m)/many - n/many {
				<-tokens
			}
			n += m
		}
		done <- n
	}()
	b.SetBytes(size)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < total; n += many {
		tokens <- struct{}{}
		if _, err := c.WriteBatch(batch); err != nil {
			b.Fatal(err)
		}
	}
	if n := <-done; n != total {
		b.Fatalf("%d of %d messages arrive: %+v %+v", n, total, c.Stats(), s.Stats())
	}
}
