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

const tunnelMTU = 1400

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

// TestFew has packets sent by whoever brings them, only if they are short and few and need not wait.
func TestFew(t *testing.T) {
	conn := &narrow{room: 1 << 16}
	q := NewQueue(0, 0)
	s := NewStream(conn, q, nil, Config{MTU: tunnelMTU})
	for i, test := range []struct {
		name  string
		count int
		size  int // of the last
		room  int
		waits bool // the goroutine that sends
		sent  bool // at once
	}{
		{"one", 1, 100, 1 << 17, true, true},
		{"few", few, 100, 1 << 17, true, true},
		{"many", few + 1, 100, 1 << 17, true, false},
		{"one of them is long", 3, smallUnit + 1, 1 << 17, true, false},
		{"there is little room", 1, 100, smallUnit, true, false},
		{"there is little room for so many", few, 1400, 3 * smallUnit, true, false},
		{"others are being sent", 1, 100, 1 << 17, false, false},
	} {
		conn.written.Reset()
		conn.room = test.room
		q.mu.Lock()
		q.waiting = test.waits // a goroutine, in Pop
		q.mu.Unlock()
		var units []*Unit
		for n := range test.count - 1 {
			units = append(units, numbered(1, n, 100))
		}
		s.Push(append(units, numbered(1, i, test.size))...)
		want, queued := 0, 0
		if test.sent {
			want = test.count
		}
		if ports, _ := conn.packets(t); len(ports) != want {
			t.Errorf("%s: %d packets are sent, want %d", test.name, len(ports), want)
		}
		for _, u, _ := q.Pop(false); u != nil; _, u, _ = q.Pop(false) {
			queued++
		}
		if queued != test.count-want {
			t.Errorf("%s: and %d are queued, want %d", test.name, queued, test.count-want)
		}
		for len(q.wake) > 0 {
			<-q.wake
		}
	}
	q.Close()
	s.Push(numbered(1, 9, 100)) // is dropped
	if ports, _ := conn.packets(t); len(ports) != 0 {
		t.Error("a packet is sent though the queue is closed")
	}
}

// TestFewKeepOrder has packets of several flows come from several goroutines, at any time: each leaves once, and
// those of a flow in order.
func TestFewKeepOrder(t *testing.T) {
	const flows, each = 4, 300
	conn := &narrow{room: 1 << 16}
	q := NewQueue(64<<20, time.Hour) // so that none is dropped
	s := NewStream(conn, q, nil, Config{MTU: tunnelMTU})
	ended := make(chan error)
	go func() { ended <- s.Send() }()
	var all sync.WaitGroup
	for f := range flows {
		all.Go(func() {
			for i := 0; i < each; i += 3 {
				s.Push(numbered(f, i, 100), numbered(f, i+1, 100), numbered(f, i+2, 100))
				if i%7 == 0 {
					time.Sleep(50 * time.Microsecond)
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
