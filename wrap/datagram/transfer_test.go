package datagram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// A transfer sends numbered messages from one end and collects what arrives at the other.
type transfer struct {
	from, to net.Conn
	count    int
	size     func(i int) int // of message i, at least 4
	pace     int             // messages between two pauses; 0: none
}

// sizes returns a size for each message, the longest first.
func sizes(most int) func(i int) int {
	list := []int{most, 4, 17, most - 1, most / 2}
	return func(i int) int { return max(list[i%len(list)], 4) }
}

func (x *transfer) message(i int) []byte {
	p := noise(x.size(i), uint64(i))
	binary.BigEndian.PutUint32(p, uint32(i))
	return p
}

// run returns how many messages have arrived, whole and once, in which order whatsoever. It ends when all have, or when
// none comes for a while after the last was sent.
func (x *transfer) run() (arrived int, err error) {
	sent := make(chan error, 1)
	go func() { sent <- x.send() }()
	seen := make([]bool, x.count)
	buf := make([]byte, 1<<15)
	quiet := 0
	for arrived < x.count && quiet < 3 {
		x.to.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, rerr := x.to.Read(buf)
		switch {
		case errors.Is(rerr, os.ErrDeadlineExceeded):
			if len(sent) > 0 {
				quiet++
			}
			continue
		case rerr != nil:
			return arrived, fmt.Errorf("Read: %w", rerr)
		case n < 4:
			return arrived, fmt.Errorf("a message of %d bytes arrives", n)
		}
		i := int(binary.BigEndian.Uint32(buf))
		if i >= x.count || seen[i] || !bytes.Equal(buf[:n], x.message(i)) {
			return arrived, fmt.Errorf("message %d of %d bytes arrives twice, or changed", i, n)
		}
		seen[i] = true
		arrived++
		quiet = 0
	}
	x.to.SetReadDeadline(time.Time{})
	return arrived, <-sent
}

func (x *transfer) send() error {
	for i := range x.count {
		if _, err := x.from.Write(x.message(i)); err != nil {
			return fmt.Errorf("Write of message %d: %w", i, err)
		}
		if x.pace > 0 && i%x.pace == x.pace-1 {
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// both sends messages both ways at once and fails if fewer arrive, both ways together, than were not lost on the way;
// lost counts those, nil stands for none.
func both(t *testing.T, c, s *Conn, count, pace int, lost func() uint64) {
	t.Helper()
	if lost == nil {
		lost = func() uint64 { return 0 }
	}
	before, arrived := lost(), 0
	type result struct {
		way     string
		arrived int
		err     error
	}
	results := make(chan result)
	for way, ends := range map[string][2]*Conn{"to the server": {c, s}, "to the client": {s, c}} {
		x := transfer{from: ends[0], to: ends[1], count: count, size: sizes(ends[0].MTU()), pace: pace}
		go func() {
			arrived, err := x.run()
			results <- result{way, arrived, err}
		}()
	}
	for range 2 {
		r := <-results
		if arrived += r.arrived; r.err != nil {
			t.Errorf("%s: %d of %d messages arrive, %v", r.way, r.arrived, count, r.err)
		}
	}
	if missing, most := uint64(2*count-arrived), lost()-before; missing > most {
		t.Errorf("%d messages are missing, and the network has lost %d; client %+v, server %+v",
			missing, most, c.Stats(), s.Stats())
	}
}

// goodbye closes one end and then the other, which has read that the first has.
func goodbye(t *testing.T, first, second *Conn) {
	t.Helper()
	if err := first.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	second.SetReadDeadline(time.Now().Add(10 * time.Second))
	var err error
	for err == nil { // what came before is read before
		_, err = second.Read(make([]byte, 1<<15))
	}
	if err != io.EOF {
		t.Errorf("Read after the peer has closed: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, c := range []*Conn{first, second} {
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close after Close: %v", err)
		}
	}
}
