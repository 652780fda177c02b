package codectest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/encase-tls/encase/frame"
)

// Benchmark measures Encode and Decode of a codec, of payloads as long as a datagram and as a record. The figures have
// the copy in them that gives each round its bytes. Payloads are random and change, so that the processor cannot learn
// what lies in them.
func Benchmark(b *testing.B, c frame.Codec) {
	l := c.Limits()
	full := make([]byte, l.Head+l.MaxFrame())
	for _, n := range []int{1350, 16384} {
		payloads, frames := encoded(b, c, n)
		run := func(name string, inputs [][]byte, f func(*frame.Buf) error) {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				var buf frame.Buf
				for i := 0; b.Loop(); i++ {
					p := inputs[i%len(inputs)]
					buf.Borrow(full, l.Head, l.Head+copy(full[l.Head:], p))
					if err := f(&buf); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("encode", payloads, c.Encode)
		run("decode", frames, c.Decode)
	}
}

// encoded returns random payloads of n bytes and their frames.
func encoded(b *testing.B, c frame.Codec, n int) (payloads, frames [][]byte) {
	l := c.Limits()
	r := rand.NewChaCha8([32]byte{})
	for range 64 {
		p := make([]byte, n)
		r.Read(p)
		buf := frame.NewBuf(l.Head, p, l.Tail)
		if err := c.Encode(buf); err != nil {
			b.Fatal(err)
		}
		payloads, frames = append(payloads, p), append(frames, buf.Bytes())
	}
	return payloads, frames
}

// BenchmarkExchange measures Machines that answer each other, such as those of a protocol in lock-step: a flight of n
// bytes goes to the server and a short one comes back, acknowledgements and all. It reports the time of a frame, too.
// Buffers must not be poisoned meanwhile, see [frame.PoisonReleased].
func BenchmarkExchange(b *testing.B, mk frame.Maker, n int) {
	p := &pair{ends: [2]frame.Machine{Machine(b, mk, frame.Client), Machine(b, mk, frame.Server)}}
	for i, m := range p.ends {
		ev, err := m.Start(nil)
		p.take(b, i, ev, err)
	}
	p.deliver(b)
	flight, short := make([]byte, n), make([]byte, 50)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	p.frames = 0
	for b.Loop() {
		p.got = 0
		p.send(b, 0, flight)
		p.send(b, 1, short)
		if p.got != n+len(short) {
			b.Fatalf("%d bytes arrive", p.got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(p.frames), "ns/frame")
}

// A pair is two ends that hear each other at once.
type pair struct {
	ends        [2]frame.Machine // by role
	events      []frame.Event
	buf         frame.Buf
	queue       []arrival
	frames, got int
}

type arrival struct {
	to  int
	buf *frame.Buf
}

// take puts the frames that an end wants sent into the queue, and counts the bytes that it has received.
func (p *pair) take(b *testing.B, from int, ev []frame.Event, err error) {
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range ev {
		switch e.Kind {
		case frame.Out:
			p.queue = append(p.queue, arrival{1 - from, e.Buf})
		case frame.In:
			p.got += e.Buf.Len()
		}
	}
	p.events = ev[:0]
}

// deliver empties the queue.
func (p *pair) deliver(b *testing.B) {
	for len(p.queue) > 0 {
		a := p.queue[0]
		p.queue = p.queue[:copy(p.queue, p.queue[1:])]
		p.frames++
		ev, err := p.ends[a.to].Recv(p.events, a.buf)
		p.take(b, a.to, ev, err)
		a.buf.Release()
	}
}

func (p *pair) send(b *testing.B, from int, payload []byte) {
	p.buf.Borrow(payload, 0, len(payload))
	ev, err := p.ends[from].Send(p.events, &p.buf, true)
	p.take(b, from, ev, err)
	p.deliver(b)
}
