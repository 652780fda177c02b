package openvpn_test

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/openvpn"
	"github.com/encase-tls/encase/frame"
)

// sentAt returns after how long a Machine whose peer says nothing sends a packet, until its time is over.
func sentAt(t *testing.T, n *network, e *node) (at []time.Duration, err error) {
	t.Helper()
	begin := n.now
	for range 100 {
		n.underway = nil
		deadline, ok := e.Machine.(frame.Timed).Deadline()
		if !ok {
			return at, nil
		}
		if n.now = deadline; n.now.Before(begin) {
			n.now = begin
		}
		if err := n.do(e, nil); err != nil {
			return append(at, n.now.Sub(begin)), err
		}
		if len(n.underway) > 0 {
			at = append(at, n.now.Sub(begin))
		}
	}
	t.Fatal("no end")
	return nil, nil
}

// A client repeats its reset, after twice the time each time and then after eight times the first, and gives up.
func TestBackOff(t *testing.T) {
	n := newNetwork(t, parse(t, ""))
	client := n.ends[frame.Client]
	n.start(t)
	at, err := sentAt(t, n, client)
	want := []time.Duration{2, 6, 14, 30, 46, 60}
	for i := range want {
		want[i] *= time.Second
	}
	if !errors.Is(err, openvpn.ErrTimeout) || !slices.Equal(at, want) {
		t.Errorf("%v, %v; want %v", at, err, want)
	}
	if err := n.send(client, []byte("hello"), true); !errors.Is(err, openvpn.ErrTimeout) {
		t.Errorf("Send, when all is over: %v", err)
	}
	if _, ok := client.Machine.(frame.Timed).Deadline(); ok || client.Machine.(frame.Backlogger).Backlog() != 0 {
		t.Error("when all is over there is still something to do")
	}
}

// Data is repeated as resets are, with the same contents, and newly acknowledged packets are not.
func TestRepeat(t *testing.T) {
	n := newNetwork(t, parse(t, "retry=100ms,timeout=1s,mtu=384"))
	n.start(t)
	n.settle(t)
	client, server := n.ends[frame.Client], n.ends[frame.Server]
	if err := n.send(client, bytes.Repeat([]byte{1}, 700), true); err != nil {
		t.Fatal(err)
	}
	n.underway = n.underway[:2] // the third is lost
	n.settle(t)
	if held := client.Machine.(frame.Backlogger).Backlog(); held != 700-2*346 {
		t.Errorf("%d bytes are not acknowledged, want %d", held, 700-2*346)
	}
	n.now = n.now.Add(100 * time.Millisecond)
	if err := n.do(client, nil); err != nil || len(n.underway) != 1 {
		t.Fatalf("%d packets are repeated (%v), want 1", len(n.underway), err)
	}
	n.settle(t)
	if len(server.got) != 700 {
		t.Errorf("%d of 700 bytes arrive", len(server.got))
	}
}

// What is not flushed waits until a packet is full of it, also when more stands in front of it than may be sent.
func TestFlush(t *testing.T) {
	n := newNetwork(t, parse(t, "mtu=384"))
	n.start(t)
	n.settle(t)
	client, server := n.ends[frame.Client], n.ends[frame.Server]
	const packet = 346
	for _, c := range []struct {
		size    int
		flush   bool
		arrives int // in all
	}{
		{10, false, 0}, {packet - 11, false, 0}, {2, false, packet}, {7 * packet, true, 8*packet + 1},
		{5, false, 8*packet + 1}, {0, true, 8*packet + 11},
	} {
		if err := n.send(client, make([]byte, c.size), c.flush); err != nil {
			t.Fatal(err)
		}
		if c.size == 7*packet { // before any is acknowledged
			if err := n.send(client, make([]byte, 5), false); err != nil {
				t.Fatal(err)
			}
		}
		if n.settle(t); len(server.got) != c.arrives {
			t.Errorf("%d bytes more, flushed: %t: %d have arrived, want %d", c.size, c.flush, len(server.got), c.arrives)
		}
	}
}

// Who sends a reset from an address that is not theirs makes the server send one packet for each, not twice as long,
// and nothing by the clock.
func TestServerDoesNotAmplify(t *testing.T) {
	n := newNetwork(t, parse(t, ""))
	server := n.ends[frame.Server]
	reset := []byte{7 << 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0}
	data := append([]byte{4 << 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 1}, "hello"...)
	for _, p := range [][]byte{reset, reset, data, reset, data} {
		n.underway = nil
		b := frame.NewBuf(0, p, 0)
		err := n.do(server, func(ev []frame.Event) ([]frame.Event, error) { return server.Recv(ev, b) })
		if err != nil || len(n.underway) != 1 || len(n.underway[0].p) >= 2*len(p) || len(server.got) > 0 {
			t.Errorf("%d packets answer one, %d bytes reach TLS (%v)", len(n.underway), len(server.got), err)
		}
		if at, ok := server.Machine.(frame.Timed).Deadline(); ok {
			t.Errorf("the server wants to do something at %v", at)
		}
	}
}

// A client that has not been told the time begins when it is.
func TestStartBeforeTime(t *testing.T) {
	m, err := parse(t, "")(frame.Client)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := m.Start(nil)
	if err != nil || len(ev) != 0 {
		t.Fatalf("Start: %v, %v", ev, err)
	}
	timed := m.(frame.Timed)
	if at, ok := timed.Deadline(); !ok || at.After(time.Now()) {
		t.Fatalf("the deadline is %v, %t", at, ok)
	}
	if ev, err = timed.Tick(ev, time.Now()); err != nil || len(ev) != 1 || ev[0].Kind != frame.Out {
		t.Errorf("Tick: %v, %v", ev, err)
	}
}

// A soft reset ends the connection, and the error says why; one that is not authentic is refused.
func TestSoftReset(t *testing.T) {
	for _, arg := range []string{"udp", "tcp"} {
		n := newNetwork(t, parse(t, arg+",session=0102030405060708"))
		n.start(t)
		n.settle(t)
		client := n.ends[frame.Client]
		p := []byte{3<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0}
		if arg == "tcp" {
			p = append([]byte{0, byte(len(p))}, p...)
		}
		b := frame.NewBuf(0, p, 0)
		if err := n.do(client, func(ev []frame.Event) ([]frame.Event, error) { return client.Recv(ev, b) }); err != nil {
			t.Fatal(err)
		}
		if client.done != openvpn.ErrSoftReset {
			t.Errorf("%s: Done says %v", arg, client.done)
		}
		if err := n.send(client, []byte("hello"), true); err != openvpn.ErrSoftReset {
			t.Errorf("%s: Send, after that: %v", arg, err)
		}
		if err := n.send(n.ends[frame.Server], []byte("hello"), true); err != nil {
			t.Fatal(err)
		}
		if n.settle(t); len(client.got) > 0 || n.ends[frame.Server].Machine.(frame.Backlogger).Backlog() != 5 {
			t.Errorf("%s: what comes after that is taken, or acknowledged", arg)
		}
	}
	n := newNetwork(t, parse(t, "udp,session=0102030405060708,tls-auth=KEY"))
	n.start(t)
	n.settle(t)
	p := make([]byte, 50)
	copy(p, []byte{3<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8})
	n.carry(n.ends[frame.Client], p)
	n.settle(t)
	if n.refused != 1 || n.ends[frame.Client].done != nil {
		t.Error("a soft reset without a MAC ends the connection")
	}
	converse(t, n)
}

// Packets of the data channel go both ways beside TLS.
func TestData(t *testing.T) {
	for _, arg := range []string{"udp", "tcp"} {
		n := newNetwork(t, parse(t, arg))
		n.start(t)
		n.settle(t)
		for _, e := range n.ends {
			for _, c := range []struct {
				p  []byte
				ok bool
			}{
				{[]byte{9 << 3, 0, 0, 1, 42}, true},
				{[]byte{6<<3 | 1, 42}, true},
				{[]byte{4 << 3, 42}, false},
				{nil, false},
				{append([]byte{9 << 3}, make([]byte, 65534)...), true},
				{append([]byte{9 << 3}, make([]byte, 65535)...), false},
			} {
				peer := n.ends[e.role.Peer()]
				b := frame.Get(0, len(c.p))
				copy(b.Append(len(c.p)), c.p)
				err := n.do(e, func(ev []frame.Event) ([]frame.Event, error) {
					return e.Machine.(frame.SideSender).SendSide(ev, b)
				})
				n.settle(t)
				arrived := len(peer.side) > 0 && bytes.Equal(peer.side[len(peer.side)-1], c.p)
				if (err == nil) != c.ok || c.ok != arrived {
					t.Errorf("%s: %d bytes, %.8x: %v, arrived: %t", arg, len(c.p), c.p, err, arrived)
				}
			}
		}
	}
}

// What a peer can make an end keep is twelve packets, however many it sends.
func TestHostilePeerIsBounded(t *testing.T) {
	n := newNetwork(t, parse(t, "udp,session=0102030405060708"))
	n.start(t)
	n.settle(t)
	server := n.ends[frame.Server]
	var before, after runtime.MemStats
	p := append([]byte{4 << 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0}, make([]byte, 2048)...)
	lent := frame.NewBuf(0, p, 0)
	flood := func(count uint32) {
		for i := range count {
			id := 2 + i*7919 // never the one that is missing
			p[10], p[11], p[12], p[13] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
			lent.Borrow(p, 0, len(p))
			ev, err := server.Recv(nil, lent)
			if err != nil || len(ev) > 1 || len(server.got) > 0 {
				t.Fatalf("packet %d: %d events, %v", id, len(ev), err)
			}
			for _, e := range ev {
				e.Buf.Release()
			}
		}
	}
	flood(100)
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	flood(100000)
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 256<<10 {
		t.Errorf("100000 packets make the heap %d bytes larger", grown)
	}
	if took > time.Minute {
		t.Errorf("100000 packets take %v", took)
	}
}
