package link

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/wire"
)

// narrow is a connection that has room now and then, and keeps what is written.
type narrow struct {
	mu      sync.Mutex
	written bytes.Buffer
	room    int
}

func (n *narrow) Available() int { return n.room }

func (n *narrow) Read([]byte) (int, error) { return 0, io.EOF }

func (n *narrow) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.written.Write(p)
}

// packets returns the source ports of the packets that were written, and the numbers that they carry.
func (n *narrow) packets(t *testing.T) (ports, numbers []int) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := n.written.Bytes(); len(p) > 0; {
		f, err := wire.ParseHeader(p)
		if err != nil || len(p) < wire.HeaderLen+f.Length {
			t.Fatalf("%d bytes: %+v, %v", len(p), f, err)
		}
		ports = append(ports, int(binary.BigEndian.Uint16(p[wire.HeaderLen+20:])))
		numbers = append(numbers, int(binary.BigEndian.Uint16(p[wire.HeaderLen+28:])))
		p = p[wire.HeaderLen+f.Length:]
	}
	return ports, numbers
}

// numbered returns a packet of a flow with a number.
func numbered(port, number int) *Unit {
	u := unit(port, 100, 0)
	binary.BigEndian.PutUint16(u.Data[28:], uint16(number))
	return u
}

// ago sets how long it is since the last packet came.
func ago(q *Queue, d time.Duration) {
	q.mu.Lock()
	q.last = time.Now().Add(-d)
	q.mu.Unlock()
}

// waits waits until the goroutine that sends waits for packets.
func waits(q *Queue) {
	for {
		q.mu.Lock()
		waiting := q.waiting
		q.mu.Unlock()
		if waiting {
			return
		}
		runtime.Gosched()
	}
}

// TestSendNow sends from where a packet comes only if it is short, comes alone and need not wait.
func TestSendNow(t *testing.T) {
	conn := &narrow{room: 1 << 16}
	q := NewQueue(0, 0)
	s := NewStream(conn, q, nil, Config{MTU: tunnelMTU})
	ended := make(chan error)
	go func() { ended <- s.Send() }()
	waits(q)

	if u := unit(1, 100, 0); !s.SendNow(u) {
		t.Error("a packet that comes alone is not sent")
	}
	if got, _ := conn.packets(t); len(got) != 1 {
		t.Errorf("when SendNow returns, %v has been written", got)
	}
	refused := func(why string, u *Unit) {
		t.Helper()
		if s.SendNow(u) {
			t.Errorf("SendNow takes a packet although %s", why)
		} else {
			u.Release()
		}
	}
	ago(q, -time.Minute) // however slow this machine is
	refused("another has come just before", unit(2, 100, 0))
	ago(q, alone)
	refused("it is long", unit(3, smallUnit+1, 0))
	conn.room = smallUnit
	refused("there is little room", unit(4, 100, 0))
	conn.room = 1 << 16
	q.Push(unit(5, 100, 0))
	waits(q)
	ago(q, alone)
	if !s.SendNow(unit(7, 100, 0)) {
		t.Error("a packet that comes alone is not sent after others")
	}
	q.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	refused("the queue is closed", unit(8, 100, 0))
	if got, _ := conn.packets(t); len(got) != 3 || got[0] != 1 || got[1] != 5 || got[2] != 7 {
		t.Errorf("%v is written, want 1, 5 and 7", got)
	}
}

// TestSendNowKeepsOrder has packets of several flows come from several goroutines, at any time: each leaves once, and
// those of a flow in order.
func TestSendNowKeepsOrder(t *testing.T) {
	const flows, each = 4, 300
	conn := &narrow{room: 1 << 16}
	q := NewQueue(64<<20, time.Hour) // so that none is dropped
	s := NewStream(conn, q, nil, Config{MTU: tunnelMTU})
	ended := make(chan error)
	go func() { ended <- s.Send() }()
	var all sync.WaitGroup
	for f := range flows {
		all.Go(func() {
			for i := range each {
				if u := numbered(f, i); !s.SendNow(u) {
					q.Push(u)
				}
				if i%7 == 0 {
					time.Sleep(alone)
				}
			}
		})
	}
	all.Wait()
	waits(q)
	q.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var next [flows]int
	ports, numbers := conn.packets(t)
	for i, f := range ports {
		if numbers[i] != next[f] {
			t.Fatalf("of flow %d, packet %d comes where %d belongs", f, numbers[i], next[f])
		}
		next[f]++
	}
	for f, n := range next {
		if n != each {
			t.Errorf("of flow %d, %d packets have left, want %d", f, n, each)
		}
	}
}
