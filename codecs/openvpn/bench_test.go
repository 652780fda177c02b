package openvpn_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
)

// BenchmarkFrame sends payloads from a client to a server: all that it takes, acknowledgements included, on one core.
func BenchmarkFrame(b *testing.B) {
	for _, arg := range []string{"tcp", "tcp,tls-auth=KEY", "tcp,tls-crypt=KEY"} {
		for _, size := range []int{1350, 16384} {
			b.Run(strings.TrimSuffix(arg, "=KEY")+"/"+strconv.Itoa(size), func(b *testing.B) {
				newPair(b, parse(b, arg+",mtu=1500")).run(b, size)
			})
		}
	}
}

// A pair is a client and a server whose packets reach the other at once.
type pair struct {
	b      *testing.B
	ends   [2]frame.Machine
	frames int
	got    int
}

func newPair(b *testing.B, mk frame.Maker) *pair {
	p := &pair{b: b}
	for role := range p.ends {
		m, err := mk(frame.Role(role))
		if err != nil {
			b.Fatal(err)
		}
		p.ends[role] = m
	}
	for role, m := range p.ends {
		m.(frame.Timed).Tick(nil, time.Unix(1e9, 0))
		p.handle(role)(m.Start(nil))
	}
	return p
}

// handle does what the end of a role wants.
func (p *pair) handle(role int) func([]frame.Event, error) {
	return func(ev []frame.Event, err error) {
		if err != nil {
			p.b.Fatal(err)
		}
		for _, e := range ev {
			if e.Kind == frame.In {
				p.got += e.Buf.Len()
				continue // it is lent
			}
			p.frames++
			var lent frame.Buf
			q := e.Buf.Bytes()
			lent.Borrow(q, 0, len(q))
			p.handle(1 - role)(p.ends[1-role].Recv(make([]frame.Event, 0, 8), &lent))
			e.Buf.Release()
		}
	}
}

func (p *pair) run(b *testing.B, size int) {
	b.SetBytes(int64(size))
	for p.frames = 0; b.Loop(); {
		payload := frame.Get(0, size)
		payload.Append(size)
		p.handle(0)(p.ends[0].Send(make([]frame.Event, 0, 16), payload, true))
	}
	if p.got != size*b.N {
		b.Fatalf("%d bytes arrive, %d were sent", p.got, size*b.N)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(p.frames), "ns/frame")
}
