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
func numbered(port, number, size int) *Unit {
	u := unit(port, size, 0)
	binary.BigEndian.PutUint16(u.Data[28:], uint16(number))
	return u
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

// TestAlone has a packet sent by whoever brings it, only if it is short, comes alone and need not wait.
func TestAlone(t *testing.T) {
	conn := &narrow{room: 1 << 16}
	q := NewQueue(0, 0)
	s := NewStream(conn, q, nil, Config{MTU: tunnelMTU})
	for i, test := range []struct {
		name  string
		size  int
		room  int
		since time.Duration // the packet before
		waits bool          // the goroutine that sends
		sent  bool          // at once
	}{
		{"it comes alone", 100, 1 << 16, alone, true, true},
		{"another has come just before", 100, 1 << 16, -time.Minute, true, false},
		{"it is long", smallUnit + 1, 1 << 16, alone, true, false},
		{"there is little room", 100, smallUnit, alone, true, false},
		{"others are being sent", 100, 1 << 16, alone, false, false},
	} {
		conn.written.Reset()
		conn.room = test.room
		q.mu.Lock()
		q.last, q.waiting = time.Now().Add(-test.since), test.waits // for a goroutine that waits in Pop
		q.mu.Unlock()
		s.Push(numbered(1, i, test.size))
		if ports, _ := conn.packets(t); len(ports) == 1 != test.sent {
			t.Errorf("%s: %d packets are sent", test.name, len(ports))
		}
		if !test.sent {
			if _, u, _ := q.Pop(false); u == nil {
				t.Errorf("%s: and it is not queued", test.name)
			}
			for len(q.wake) > 0 {
				<-q.wake
			}
		}
	}
	q.Close()
	s.Push(numbered(1, 9, 100)) // is dropped
	if ports, _ := conn.packets(t); len(ports) != 0 {
		t.Error("a packet is sent though the queue is closed")
	}
}

// TestAloneKeepsOrder has packets of several flows come from several goroutines, at any time: each leaves once, and
// those of a flow in order.
func TestAloneKeepsOrder(t *testing.T) {
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
				s.Push(numbered(f, i, 100))
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
