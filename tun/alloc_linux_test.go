package tun

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// A packet costs no memory, from the device at one end to the device at the other: both ends are in this process, and
// what they allocate is counted while packets move. What moves them does not allocate either.
//
// One thing is left: crypto/tls allocates 24 bytes whenever it asks for more of a stream, once or twice in a record.
func TestPacketsCostNoMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer func(rate int) { runtime.MemProfileRate = rate }(runtime.MemProfileRate)
	runtime.MemProfileRate = 1
	const short = 256 << 10 // queues that do not grow for long
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			r := newRig(t, func(c *ServerConfig) { c.Limits.Queue = short })
			c := r.client("alice.test", func(c *ClientConfig) { c.QueueLimit = short }, carrier)
			c.address()
			x := newTalk(t, c, "10.66.0.2", "10.66.0.1")
			bulk := tuntest.NewFlow(t, c.ns, r.ns, "10.66.0.1")
			block, sink := make([]byte, 256<<10), make([]byte, 256<<10)
			go func() {
				for {
					if _, err := bulk.Far.Read(sink); err != nil {
						return
					}
				}
			}()
			for _, kind := range []struct {
				name string
				n    uint64
				move func() error
			}{
				{"questions and answers", 5_000, func() error { return ask(x) }},
				{"large datagrams", 100_000, func() error { return send(x, 1300) }},
				{"TCP", 2_000, func() error { _, err := bulk.Near.Write(block); return err }},
			} {
				t.Run(kind.name, func(t *testing.T) { r.perPacket(t, kind.n, c, kind.move) })
			}
		})
	}
}

var payload [1500]byte

// send sends a datagram to somebody who does not read, whose kernel drops what is too much.
func send(x *talk, n int) error {
	_, err := x.near.Write(payload[:n])
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = nil
	}
	return err
}

// ask sends a datagram and waits for the answer, for a second: either may be lost.
func ask(x *talk) error {
	end := time.Now().Add(time.Second)
	x.far.SetReadDeadline(end)
	x.near.SetReadDeadline(end)
	if _, err := x.near.Write(payload[:200]); err != nil {
		return err
	}
	n, from, err := x.far.ReadFromUDPAddrPort(x.buf)
	if err == nil {
		_, err = x.far.WriteToUDPAddrPort(x.buf[:n], from)
	}
	if err == nil {
		_, err = x.near.Read(x.buf)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return err
}

// perPacket has the devices of both ends hand over n packets more, and checks how often memory was allocated meanwhile.
// What empties the pools, such as a collection in the middle, is no fault: the best of a few attempts counts.
func (r *rig) perPacket(t *testing.T, n uint64, c *traveller, move func() error) {
	r.drive(t, n/10, c, move) // until the pools are filled
	var report string
	for range 5 {
		before, began := allocations(), time.Now()
		moved := r.drive(t, n, c, move)
		took := time.Since(began)
		total, who := more(allocations(), before)
		t.Logf("%d allocations for %d packets in %v", total, moved, took.Round(time.Millisecond))
		const refill, perSecond = 800, 100 // pools, which counting empties; what looks after connections now and then
		if float64(total) <= refill+perSecond*took.Seconds() {
			return
		}
		report = strings.Join(who[max(0, len(who)-5):], "\n")
	}
	t.Errorf("that is more than none, most of it\n%s", report)
}

// drive moves packets until the devices of both ends have handed over n more, and returns how many there were.
func (r *rig) drive(t *testing.T, n uint64, c *traveller, move func() error) uint64 {
	t.Helper()
	read := func() uint64 { return r.server.dev.device.Stats().Read + c.client.dev.device.Stats().Read }
	from, end := read(), time.Now().Add(4*tuntest.Patience)
	for read() < from+n {
		if err := move(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("%d packets of %d in %v", read()-from, n, 4*tuntest.Patience)
		}
	}
	return read() - from
}

// more returns how many allocations there were since, and where, the most frequent last.
func more(now, before map[callers]int64) (total int64, who []string) {
	for stack, count := range now {
		count -= before[stack]
		trace := traceOf(stack)
		known := strings.Contains(trace, "crypto/tls.(*Conn).readFromUntil") || strings.Contains(trace, "tun.allocations")
		if count > 0 && !known {
			total += count
			who = append(who, fmt.Sprintf("%8d by %s", count, trace))
		}
	}
	slices.Sort(who)
	return total, who
}

type callers [32]uintptr

// allocations returns how many there have been, and where.
func allocations() map[callers]int64 {
	runtime.GC()
	runtime.GC() // only then all are told
	list := make([]runtime.MemProfileRecord, 1000)
	n, ok := runtime.MemProfile(list, true)
	for ; !ok; n, ok = runtime.MemProfile(list, true) {
		list = make([]runtime.MemProfileRecord, n+1000)
	}
	out := make(map[callers]int64, n)
	for _, r := range list[:n] {
		out[r.Stack0] += r.AllocObjects
	}
	return out
}

func traceOf(c callers) string {
	var b strings.Builder
	frames := runtime.CallersFrames(slices.DeleteFunc(c[:], func(pc uintptr) bool { return pc == 0 }))
	for f, more := frames.Next(); more; f, more = frames.Next() {
		if !strings.HasPrefix(f.Function, "runtime.") {
			fmt.Fprintf(&b, " < %s:%d", f.Function, f.Line)
		}
	}
	return b.String()
}
