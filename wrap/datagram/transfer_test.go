package datagram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// A transfer sends numbered messages from one end and collects what arrives at the other.
type transfer struct {
	from, to net.Conn
	count    int
	size     func(i int) int // of message i, at least 4
	on       *exchange
}

// An exchange is what moves both ways at once. No more is on the way at a time than sockets hold while nobody has time
// to read them: so what gets lost was meant to be lost, however busy the machine is.
type exchange struct {
	total         int64 // messages, both ways
	sent, arrived atomic.Int64
	lost          func() uint64 // how many the network has lost, or somewhat more
	before        uint64        // of them
	vanished      atomic.Int64  // that nobody waits for any more
}

const (
	atOnce   = 32 // messages on the way
	patience = 20 * time.Second
)

// underway returns how many messages may still arrive; less than 0 means that more was lost than messages.
func (e *exchange) underway() int64 {
	return e.sent.Load() - e.arrived.Load() - e.vanished.Load() - int64(e.lost()-e.before)
}

// accounted reports whether of each message it is known what has become of it.
func (e *exchange) accounted() bool { return e.sent.Load() == e.total && e.underway() <= 0 }

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

// run returns how many messages have arrived, whole and once, in which order whatsoever. It ends when all have, when the
// rest is known to be lost and nothing comes for a while, or when its patience ends.
func (x *transfer) run() (arrived int, err error) {
	sent := make(chan error, 1)
	go func() { sent <- x.send() }()
	seen := make([]bool, x.count)
	buf := make([]byte, 1<<15)
	for newest := time.Now(); arrived < x.count; {
		x.to.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, rerr := x.to.Read(buf)
		switch {
		case errors.Is(rerr, os.ErrDeadlineExceeded):
			if x.on.accounted() || time.Since(newest) > patience {
				return arrived, <-sent
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
		seen[i], newest = true, time.Now()
		arrived++
		x.on.arrived.Add(1)
	}
	x.to.SetReadDeadline(time.Time{})
	return arrived, <-sent
}

func (x *transfer) send() error {
	for i := range x.count {
		for start := time.Now(); x.on.underway() >= atOnce; time.Sleep(100 * time.Microsecond) {
			if time.Since(start) > patience/2 {
				return fmt.Errorf("message %d: %d have not arrived that are not known to be lost", i, x.on.underway())
			}
		}
		if _, err := x.from.Write(x.message(i)); err != nil {
			return fmt.Errorf("Write of message %d: %w", i, err)
		}
		x.on.sent.Add(1)
	}
	return nil
}

// both sends messages both ways at once and fails if fewer arrive, both ways together, than were not lost on the way;
// lost counts those, nil stands for none.
func both(t *testing.T, c, s *Conn, count int, lost func() uint64) {
	t.Helper()
	if lost == nil {
		lost = func() uint64 { return 0 }
	}
	on, arrived := &exchange{total: 2 * int64(count), lost: lost, before: lost()}, 0
	type result struct {
		way     string
		arrived int
		err     error
	}
	results := make(chan result)
	for way, ends := range map[string][2]*Conn{"to the server": {c, s}, "to the client": {s, c}} {
		x := transfer{from: ends[0], to: ends[1], count: count, size: sizes(ends[0].MTU()), on: on}
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
	if missing, most := uint64(2*count-arrived), lost()-on.before; missing > most {
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
