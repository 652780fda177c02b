package radius

import (
	"fmt"
	"testing"

	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

func BenchmarkMachine(b *testing.B) {
	frame.PoisonReleased(false)
	defer frame.PoisonReleased(true)
	for _, n := range []int{1350, 16384} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmark(b, n) })
	}
}

// A pair is two ends that hear each other at once.
type pair struct {
	ends        [2]frame.Machine
	events      []frame.Event
	buf         frame.Buf
	queue       []arrival
	frames, got int
}

type arrival struct {
	to  int
	buf *frame.Buf
}

// take puts the frames that an end wants sent into the queue, and counts what it has received.
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

// benchmark carries a flight to the server and a short one back, signatures and acknowledgements included.
func benchmark(b *testing.B, n int) {
	mk, err := New(Options{Secret: testSecret, EAP: eap.Options{MTU: 1400}})
	if err != nil {
		b.Fatal(err)
	}
	p := new(pair)
	for i := range p.ends {
		if p.ends[i], err = mk(frame.Role(i)); err != nil {
			b.Fatal(err)
		}
	}
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
