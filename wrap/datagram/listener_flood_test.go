package datagram

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/admission"
	"github.com/encase-tls/encase/wrap/udp"
)

// A flood sends ClientHellos, each with a random of its own from an address of its own: on the loopback, all of
// 127.0.0.0/8 is at hand.
type flood struct {
	sock  *udp.Socket
	to    netip.AddrPort
	hello []byte
	sent  int
}

const helloRandom = 13 + 12 + 2 // offset of the random in a ClientHello

func newFlood(tb testing.TB, l *Listener, hello []byte) *flood {
	tb.Helper()
	sock, err := udp.Open("udp4", "0.0.0.0:0", udp.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { sock.Close() })
	return &flood{sock: sock, to: netip.MustParseAddrPort(l.Addr().String()), hello: hello}
}

// batch sends n of them at once.
func (f *flood) batch(n int) error {
	packets := make([]udp.Packet, n)
	for i := range packets {
		f.sent++
		p := append([]byte(nil), f.hello...)
		binary.BigEndian.PutUint64(p[helloRandom+8:], uint64(f.sent)*0x9e3779b97f4a7c15)
		from := [4]byte{127, byte(f.sent>>16)&0x7f | 0x80, byte(f.sent >> 8), byte(f.sent)}
		packets[i] = udp.Packet{Addr: f.to, Local: netip.AddrFrom4(from), Data: p}
	}
	_, err := f.sock.WriteBatch(packets)
	return err
}

// A load is what a program takes at one time.
type load struct {
	memory     uint64 // bytes of heap and stacks
	goroutines int
}

func loadNow() load {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return load{m.HeapAlloc + m.StackInuse, runtime.NumGoroutine()}
}

func (l load) String() string {
	return fmt.Sprintf("%d KiB, %d goroutines", l.memory>>10, l.goroutines)
}

// settled returns the load when what can be collected is.
func settled() load {
	runtime.GC()
	runtime.GC()
	return loadNow()
}

// An effort is what a client needs to connect.
type effort struct {
	datagrams uint64
	took      time.Duration
}

// unreasonable reports whether a client that nobody disturbed on purpose should have needed less: one that has to repeat
// its first ClientHello sends four datagrams. How long that takes is a matter of the machine, too.
func (e effort) unreasonable() bool { return e.datagrams > 6 || soak() && e.took > 2*time.Second }

// TestFlood sends many ClientHellos from many false addresses, as many in a second as one socket can look at: what they
// take is bounded and stays what it is, and an honest client connects meanwhile.
func TestFlood(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux lets a socket choose its address with each datagram")
	}
	total, rate := 100_000, 100_000
	switch {
	case raceEnabled:
		total, rate = 20_000, 8_000
	case soak():
		total = max(int(1_000_000*soakShare()), total)
	}
	client, server := configs(t, "", slowFlights)
	server.Handler, server.Socket.ReadBuffer = echo, 4<<20
	limits := anybody
	limits.HalfOpen = 512
	l := listen(t, server, ListenOptions{Limits: limits})
	f := newFlood(t, l, firstHello(t, client))

	before, honest := settled(), make(chan effort, 1)
	var connected atomic.Bool
	go func() {
		time.Sleep(200 * time.Millisecond) // so that the flood is well under way
		start := time.Now()
		c, err := tryDial(l, client, 20*time.Second)
		e := effort{took: time.Since(start)}
		connected.Store(true)
		if err != nil {
			t.Error(err)
		} else {
			e.datagrams = c.Stats().FramesOut
			c.Close()
		}
		honest <- e
	}()
	var early, late load
	start := time.Now()
	for f.sent < total || !connected.Load() {
		if err := f.batch(50); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(start.Add(time.Duration(f.sent) * time.Second / time.Duration(rate))))
		if early.goroutines == 0 && f.sent >= total/10 {
			early = settled()
		}
	}
	took := time.Since(start)
	late = settled()
	stats := l.Stats()
	needed := <-honest
	lost := stats.Sockets[0].Dropped
	t.Logf("%d false ClientHellos in %v, %d lost by the kernel; %+v", f.sent, took, lost, stats.Admission)
	t.Logf("an honest client needs %+v; before %v, early %v, late %v", needed, before, early, late)
	perPeer := uint64(64 << 10) // of a handshake under way, by far
	if bound := before.memory + uint64(limits.HalfOpen)*perPeer; early.memory > bound || late.memory > bound {
		t.Errorf("more than %d KiB", bound>>10)
	}
	if late.memory > early.memory+(4<<20) {
		t.Error("memory grows with the flood")
	}
	if most := before.goroutines + 6*limits.HalfOpen + 20; early.goroutines > most || late.goroutines > most {
		t.Errorf("more than %d goroutines", most)
	}
	// What the kernel drops, for want of time on this machine, may be the honest client's.
	if needed.unreasonable() && lost < uint64(f.sent/100) {
		t.Errorf("an honest client needs %+v", needed)
	}
	if admitted := stats.Admission.Counts[admission.Admitted]; admitted > uint64(limits.HalfOpen+total/1000) {
		t.Errorf("%d were let in", admitted)
	}
}
