package udp_test

import (
	"net"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/udp"
)

const (
	benchPayload = 1350
	benchBatch   = 48 // as many as GSO takes at once
)

// A way moves batches of benchBatch datagrams over loopback.
type way struct {
	name string
	open func() (*udp.Socket, error)
	out  []udp.Packet
	in   []udp.Packet
}

func ways() []way {
	one := udp.Packet{Data: make([]byte, benchPayload)}
	var each []udp.Packet
	for range benchBatch {
		each = append(each, one)
	}
	flat := []udp.Packet{{Data: make([]byte, benchBatch*benchPayload), Segment: benchPayload}}
	opened := func(o udp.Offload) func() (*udp.Socket, error) {
		return func() (*udp.Socket, error) {
			return udp.Open("udp4", "127.0.0.1:0", udp.Options{Offload: o, ReadBuffer: 8 << 20, WriteBuffer: 8 << 20})
		}
	}
	single := func() (*udp.Socket, error) {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		conn.(*net.UDPConn).SetReadBuffer(8 << 20)
		return udp.Portable(conn.(*net.UDPConn)), nil
	}
	return []way{
		{"one by one", single, each, rooms(1, 2048)},
		{"mmsg", opened(udp.OffloadOff), each, rooms(benchBatch, 2048)},
		{"offload, one buffer each", opened(udp.OffloadOn), each, rooms(4, udp.MaxRead)},
		{"offload, one flat buffer", opened(udp.OffloadOn), flat, rooms(4, udp.MaxRead)},
	}
}

// BenchmarkBatch moves batches from one socket to another, and waits for each: nothing is lost. ns/op and B/op are
// those of a batch, written and read; ns/write and ns/read are those of one datagram.
func BenchmarkBatch(b *testing.B) {
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			from, to := w.socket(b), w.socket(b)
			for i := range w.out {
				w.out[i].Addr = addrOf(to)
			}
			w.trip(b, from, to)
			var writing, reading time.Duration
			in, out := to.Stats(), from.Stats()
			b.SetBytes(benchBatch * benchPayload)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				wrote, read := w.trip(b, from, to)
				writing, reading = writing+wrote, reading+read
				n += benchBatch
			}
			per := func(v float64, unit string) { b.ReportMetric(v/float64(n), unit) }
			per(float64(writing), "ns/write")
			per(float64(reading), "ns/read")
			per(float64(from.Stats().SyscallsOut-out.SyscallsOut), "syscalls/write")
			per(float64(to.Stats().SyscallsIn-in.SyscallsIn), "syscalls/read")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "datagrams/s")
		})
	}
}

func (w *way) socket(b *testing.B) *udp.Socket {
	s, err := w.open()
	must(b, s, err)
	s.SetDeadline(time.Time{})
	return s
}

// trip moves one batch and returns how long it took to write and to read.
func (w *way) trip(b *testing.B, from, to *udp.Socket) (wrote, read time.Duration) {
	start := time.Now()
	if _, err := from.WriteBatch(w.out); err != nil {
		b.Fatal(err)
	}
	middle := time.Now()
	for got := 0; got < benchBatch; {
		n, err := to.ReadBatch(w.in)
		if err != nil {
			b.Fatal(err)
		}
		for i := range w.in[:n] {
			got += w.in[i].Count()
		}
	}
	return middle.Sub(start), time.Since(middle)
}
