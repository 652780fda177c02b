package link

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/wire"
)

// unit makes a UDP packet of a flow.
func unit(port, size int, ecn byte) *Unit {
	p := make([]byte, 28+size)
	p[0], p[1], p[8], p[9] = 0x45, ecn, 64, packet.UDP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(p[20:], uint16(port))
	binary.BigEndian.PutUint16(p[24:], uint16(8+size))
	h, err := packet.Parse(p)
	if err != nil {
		panic(err)
	}
	u := smallUnits.Get().(*Unit)
	if size > smallUnit {
		u = largeUnits.Get().(*Unit)
	}
	u.Packet = device.Packet{Data: append(u.buf[:unitHead], p...)[unitHead:], Header: h}
	return u
}

func portOf(u *Unit) int { return int(binary.BigEndian.Uint16(u.Data[20:])) }

func pop(t *testing.T, q *Queue) *Unit {
	t.Helper()
	_, u, ok := q.Pop(false)
	if !ok {
		t.Fatal("the queue is closed")
	}
	return u
}

// A flow that says little is served before one that has always something, and control before both.
func TestSparseFlowsGoFirst(t *testing.T) {
	q := NewQueue(0, 0)
	for range 50 {
		q.Push(unit(1, 1400, 0))
	}
	for range 3 { // it has used up what a fresh flow may send
		if u := pop(t, q); portOf(u) != 1 {
			t.Fatal("nothing else is there")
		}
	}
	q.Push(unit(2, 100, 0))
	q.PushControl(Message{wire.TypePing, []byte("ping")})
	if control, u, _ := q.Pop(false); len(control) != 1 || string(control[0].Body) != "ping" || u != nil {
		t.Errorf("control %q, and %v", control, u)
	}
	if u := pop(t, q); portOf(u) != 2 {
		t.Error("the short packet waits behind the long ones")
	}
}

// Flows that have always something get the same share, whatever the size of their packets.
func TestFlowsTakeTurns(t *testing.T) {
	q := NewQueue(64<<20, time.Hour)
	for range 3000 {
		q.Push(unit(1, 1400, 0))
		q.Push(unit(2, 300, 0))
	}
	bytes := map[int]int{}
	for range 3000 {
		u := pop(t, q)
		bytes[portOf(u)] += len(u.Data)
		u.Release()
	}
	if r := float64(bytes[1]) / float64(bytes[2]); r < 0.8 || r > 1.3 {
		t.Errorf("%v: not the same share", bytes)
	}
}

// A flow whose packets wait too long is told so, at a rate that grows, and left in peace when it has understood.
func TestLateFlowIsTold(t *testing.T) {
	for ecn, name := range map[byte]string{0: "by losses", 2: "by marks"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := NewQueue(64<<20, 5*time.Millisecond)
				told := func() uint64 { return q.dropped.Load() + q.marked.Load() }
				push := func(n int) {
					for range n {
						q.Push(unit(1, 1000, ecn))
					}
				}
				step := func() {
					time.Sleep(time.Millisecond)
					if u := pop(t, q); u != nil {
						u.Release()
					}
				}
				push(50) // 50 ms too many
				for range 90 {
					push(1)
					step()
				}
				if told() != 0 {
					t.Fatal("told before an interval was over")
				}
				for range 900 {
					push(1)
					step()
				}
				if n := told(); n < 10 || n > 100 {
					t.Errorf("told %d times in 900 ms", n)
				}
				if (q.marked.Load() > 0) != (ecn != 0) || (q.dropped.Load() > 0) != (ecn == 0) {
					t.Errorf("%d losses, %d marks", q.dropped.Load(), q.marked.Load())
				}
				for q.Len() > 0 {
					step()
				}
				before := told()
				for range 500 {
					push(1)
					step()
				}
				if told() != before {
					t.Error("still told when nothing waits")
				}
			})
		})
	}
}

// The memory that waits is bounded, and who fills it loses.
func TestFullQueue(t *testing.T) {
	q := NewQueue(100*(unitHead+smallUnit), time.Hour)
	q.seed = 1 // no two of these flows in one place
	for i := range 20 {
		q.Push(unit(1000+i, 50, 0))
	}
	for range 1000 {
		q.Push(unit(1, 1400, 0))
	}
	if q.Len() > 100*(unitHead+smallUnit) || q.full.Load() != 920 {
		t.Errorf("%d bytes wait, %d packets lost", q.Len(), q.full.Load())
	}
	others := 0
	for u := pop(t, q); u != nil; u = pop(t, q) {
		if portOf(u) >= 1000 {
			others++
		}
		u.Release()
	}
	if others != 20 {
		t.Errorf("%d of 20 packets of flows that did nothing are left", others)
	}
	for range 100 {
		q.PushControl(Message{wire.TypePing, make([]byte, 1000)})
	}
	if control, _, _ := q.Pop(false); len(control) != maxControl/1000 {
		t.Errorf("%d messages of control", len(control))
	}
}

// Memory of flows is given back when nothing has come for some time, and not before.
func TestTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(0, 0)
		q.Push(unit(1, 100, 0))
		time.Sleep(2 * forgetAfter)
		if q.Trim(time.Now()); q.flows == nil {
			t.Fatal("a packet that waits is forgotten")
		}
		pop(t, q).Release()
		pop(t, q)
		q.Push(unit(1, 100, 0))
		pop(t, q).Release()
		pop(t, q)
		if q.Trim(time.Now()); q.flows == nil {
			t.Error("what a flow was told just now is forgotten")
		}
		time.Sleep(2 * forgetAfter)
		if q.Trim(time.Now()); q.flows != nil {
			t.Error("an idle queue keeps its memory")
		}
		q.Push(unit(1, 100, 0))
		if u := pop(t, q); u == nil || portOf(u) != 1 {
			t.Errorf("%v comes behind", u)
		}
	})
}

// Queues that nobody empties share what there is, and leave room for one whose packets go at once.
func TestBudget(t *testing.T) {
	const limit = 16 << 20
	b := NewBudget(limit)
	full := make([]*Queue, 3)
	for i := range full {
		full[i] = NewQueue(1<<30, time.Hour)
		b.Share(full[i])
	}
	quick := NewQueue(0, time.Hour)
	b.Share(quick)
	for range 3 * limit / (unitHead + smallUnit) {
		for _, q := range full {
			q.Push(unit(1, 1400, 0))
		}
		quick.Push(unit(1, 1400, 0))
		pop(t, quick).Release()
	}
	if b.Used() > limit || quick.full.Load() != 0 {
		t.Errorf("%d bytes wait, %d allowed; %d packets lost that could go", b.Used(), limit, quick.full.Load())
	}
	for i, q := range full {
		if q.Len() < limit/8 {
			t.Errorf("queue %d got %d bytes", i, q.Len())
		}
		q.Close()
	}
	if b.Used() != 0 {
		t.Errorf("%d bytes are still accounted for", b.Used())
	}
}

// Who waits is woken, by a packet, a message and the end.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(0, 0)
		go func() {
			time.Sleep(time.Second)
			q.Push(unit(1, 1, 0))
			time.Sleep(time.Second)
			q.PushControl(Message{wire.TypeBye, []byte("x")})
			time.Sleep(time.Second)
			q.Push(unit(2, 1, 0))
			q.PushControl(Message{wire.TypeBye, []byte("y")})
			q.Close()
			q.Push(unit(3, 1, 0)) // released
		}()
		if _, u, ok := q.Pop(true); u == nil || !ok {
			t.Error("no packet")
		}
		if c, _, ok := q.Pop(true); len(c) != 1 || string(c[0].Body) != "x" || !ok {
			t.Error("no message")
		}
		time.Sleep(2 * time.Second)
		if c, _, ok := q.Pop(true); len(c) != 1 || string(c[0].Body) != "y" || !ok {
			t.Error("the last message is lost")
		}
		if _, u, ok := q.Pop(true); u != nil || ok {
			t.Error("the queue is closed, and something comes")
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	q := NewQueue(0, time.Hour)
	u := unit(1, 1400, 0)
	b.ReportAllocs()
	for b.Loop() {
		q.Push(u)
		_, u, _ = q.Pop(false)
	}
}
