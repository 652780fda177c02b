package link

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/tuntest"
)

// newFlood returns a device whose kernel sends it what is written to source.
func newFlood(t testing.TB) (d *device.Device, source net.Conn) {
	t.Helper()
	ns := tuntest.New(t)
	d, err := device.Open(device.Config{Namespace: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	ns.IP("addr", "add", "10.77.0.1/24", "dev", d.Name())
	ns.IP("link", "set", d.Name(), "up", "mtu", "1400", "txqueuelen", "2000")
	ns.Do(func() (err error) { source, err = net.Dial("udp4", "10.77.0.2:9"); return err })
	t.Cleanup(func() { source.Close() })
	return d, source
}

// A Reader returns all packets that wait, in order, but not more than some at once; and waits when there are none.
func TestReadBursts(t *testing.T) {
	d, source := newFlood(t)
	r := NewReader(d.Queues()[0])
	defer r.Close()
	const count = burstUnits * 3 / 2 // short ones, and then as many long ones
	for i := range 2 * count {
		if _, err := source.Write(append([]byte{byte(i)}, make([]byte, i/count*1300)...)); err != nil {
			t.Fatal(err)
		}
	}
	next := 0
	for next < 2*count {
		units, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if next == 0 && len(units) != burstUnits {
			t.Errorf("of all that wait, %d packets come at once, want %d", len(units), burstUnits)
		}
		bytes := 0
		for _, u := range units {
			if portOf(u) != source.LocalAddr().(*net.UDPAddr).Port {
				continue // the kernel's own
			}
			if got := u.Data[28]; got != byte(next) {
				t.Fatalf("packet %d comes where %d belongs", got, next)
			}
			bytes += len(u.Data)
			next++
			u.Release()
		}
		if len(units) > burstUnits || bytes >= burstBytes+1400 {
			t.Errorf("%d packets, of %d bytes, come at once", len(units), bytes)
		}
	}
}

// BenchmarkFlood reads what a flow floods the device with and puts it into a Queue: one that is full, and one that takes
// all. What counts is the time of the processor for a packet, which does not depend on what else goes on.
func BenchmarkFlood(b *testing.B) {
	for _, size := range []int{64, 1200} {
		for _, limit := range []int{100 * smallUnit, DefaultLimit} {
			b.Run(fmt.Sprintf("%d bytes/limit %d KiB", size, limit>>10), func(b *testing.B) { flood(b, size, limit) })
		}
	}
}

func flood(b *testing.B, size, limit int) {
	const atOnce = 512
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d, source := newFlood(b)
	q := NewQueue(limit, time.Hour)
	r := NewReader(d.Queues()[0])
	defer r.Close()
	var spent time.Duration
	packets := 0
	p := make([]byte, size)
	for b.Loop() {
		for range atOnce {
			source.Write(p)
		}
		began := threadTime(b)
		for end := packets + atOnce; packets < end; {
			units, err := r.Read()
			if err != nil {
				b.Fatal(err)
			}
			packets += len(units)
			q.Push(units...)
		}
		spent += threadTime(b) - began
		for _, u, _ := q.Pop(false); u != nil; _, u, _ = q.Pop(false) {
			u.Release()
		}
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(packets), "cpu-ns/packet")
	b.ReportMetric(0, "ns/op")
}

// threadTime returns how much time of a processor this thread has had.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}
