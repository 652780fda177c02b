package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// TestNoGoroutineRemains counts goroutines after hand-overs and after ends in the middle of a handshake.
func TestNoGoroutineRemains(t *testing.T) {
	before := runtime.NumGoroutine()
	s := certSetup(t, ecKey)
	var kept []*Engine
	for range 10 {
		client, server := benchPair(t, s)
		kept = append(kept, client, server)
	}
	for i := range 10 {
		client, server := s.makePair(t)
		server.Open(nil, flushed(t, client))
		if i%2 == 0 {
			client.Abort(nil)
			server.Abort(nil)
		} else {
			client.TransportEOF()
			server.TransportEOF()
		}
	}
	for start := time.Now(); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			stacks := make([]byte, 64<<10)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before,
				stacks[:runtime.Stack(stacks, true)])
		}
	}
	runtime.KeepAlive(kept)
}

// TestEndsEverywhere ends both engines after each number of datagrams, in three ways. No goroutine may remain, which
// the bubble checks, and errors must say what has ended the engine.
func TestEndsEverywhere(t *testing.T) {
	errTest := errors.New("test")
	ways := map[string]func(e *Engine) error{
		"Abort":        func(e *Engine) error { e.Abort(errTest); return errTest },
		"AbortNil":     func(e *Engine) error { e.Abort(nil); return bio.ErrAborted },
		"TransportEOF": func(e *Engine) error { e.TransportEOF(); return bio.ErrTruncated },
	}
	for name, end := range ways {
		for datagrams := range 8 {
			t.Run(fmt.Sprintf("%s/%d", name, datagrams), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := certSetup(t, ecKey).makePair(t)
					for i := range datagrams {
						from, to := client, server
						if i%2 == 1 {
							from, to = server, client
						}
						from.Flush(nil, 0)
						synctest.Wait()
						for more := true; more; {
							var d []byte
							d, more = from.Flush(nil, 0)
							to.Open(nil, d)
						}
						synctest.Wait()
					}
					for _, e := range []*Engine{client, server} {
						want := end(e)
						_, _, openErr := e.Open(nil, noise(20))
						_, _, sealErr := e.Seal(nil, noise(20))
						_, _, batchErr := e.OpenBatch(nil, noise(20), 10)
						_, tickErr := e.Tick(time.Now())
						all := []error{openErr, sealErr, batchErr, tickErr, e.CloseWrite(), e.TransportEOF()}
						for _, err := range all {
							if !errors.Is(err, want) {
								t.Errorf("a call of the %v returns %v, want %v", e.role, err, want)
							}
						}
						if e.State().Phase != bio.PhaseFailed {
							t.Errorf("the %v is in phase %v", e.role, e.State().Phase)
						}
					}
				})
			})
		}
	}
}

// TestMute has pion write after its connection was taken over: nothing of it gets out.
func TestMute(t *testing.T) {
	client, server := certSetup(t, ecKey).makePair(t)
	mem := map[*Engine]*memConn{client: client.mem, server: server.mem}
	shake(t, client, server)
	for e, mem := range mem {
		mem.closed = false
		if n, err := mem.WriteTo(noise(100), nil); n != 100 || err != nil {
			t.Errorf("WriteTo after the hand-over: %d, %v", n, err)
		}
		if out, _ := e.Flush(nil, 0); len(out) > 0 {
			t.Errorf("the %v sends %x", e.role, out)
		}
	}
}

// TestTooLong refuses a message that does not fit one record, whole, and goes on.
func TestTooLong(t *testing.T) {
	client, server := benchPair(t, certSetup(t, ecKey))
	for _, size := range []int{MaxMessage + 1, 20_000, 70_000} {
		out, n, err := client.Seal([]byte("dst"), noise(size))
		var long *bio.TooLongError
		if string(out) != "dst" || n != 0 || !errors.As(err, &long) || !errors.Is(err, frame.ErrTooLarge) {
			t.Fatalf("Seal of %d bytes: %d, %v", size, n, err)
		}
		if long.Limit != MaxMessage || long.Len != size {
			t.Errorf("the error says %d, limit %d", long.Len, long.Limit)
		}
		if _, _, _, err := client.SealBatch(nil, [][]byte{noise(size)}, 0, 0); !errors.As(err, &long) {
			t.Errorf("SealBatch of %d bytes: %v", size, err)
		}
	}
	d, _, err := client.Seal(nil, noise(MaxMessage))
	check(t, err)
	if got, _, err := server.Open(nil, d); err != nil || !bytes.Equal(got, noise(MaxMessage)) {
		t.Errorf("the longest message: %d bytes, %v", len(got), err)
	}
}

// TestBatch seals and opens batches of all shapes.
func TestBatch(t *testing.T) {
	for _, cid := range []int{0, 8} {
		client, server := benchPair(t, certSetup(t, ecKey).both(func(o *Options) { o.CIDLen = cid }))
		over := client.Overhead()
		server.Open(nil, nil) // what came with the handshake
		for _, test := range []struct {
			name    string
			sizes   []int
			taken   int
			segment int
		}{
			{"none", nil, 0, 0},
			{"one", []int{100}, 1, 100},
			{"equal", []int{100, 100, 100}, 3, 100},
			{"a short last", []int{100, 100, 40}, 3, 100},
			{"behind a short one", []int{100, 40, 100}, 2, 100},
			{"a longer one", []int{100, 100, 101, 100}, 2, 100},
			{"an overlong one", []int{100, MaxMessage + 1}, 1, 100},
			{"the most", slicesRepeat(1000, 64), 64, 1000},
		} {
			var messages [][]byte
			for i, size := range test.sizes {
				messages = append(messages, noise(size + i)[i:])
			}
			out, segment, n, err := client.SealBatch([]byte("dst"), messages, 0, 0)
			if err != nil || n != test.taken || n > 0 && segment != test.segment+over {
				t.Errorf("%s: %d taken, segment %d, %v", test.name, n, segment, err)
				continue
			}
			got, st, err := server.OpenBatch(nil, out[3:], segment)
			if err != nil || len(got) != n || st.Consumed != len(out)-3 {
				t.Errorf("%s: OpenBatch returns %d messages of %d, %+v, %v", test.name, len(got), n, st, err)
				continue
			}
			for i := range got {
				if !bytes.Equal(got[i], messages[i]) {
					t.Errorf("%s: message %d has changed", test.name, i)
				}
			}
			if st.Events.Has(bio.EventNewest) != (cid > 0 && n > 0) {
				t.Errorf("%s: events %b", test.name, st.Events)
			}
		}
	}
}

// TestBatchAliases: whoever appends to a message must not change the next.
func TestBatchAliases(t *testing.T) {
	client, server := benchPair(t, certSetup(t, ecKey))
	d, segment, _, err := client.SealBatch(nil, [][]byte{[]byte("first"), []byte("other")}, 0, 0)
	check(t, err)
	got, _, err := server.OpenBatch(nil, d, segment)
	if err != nil || len(got) != 2 {
		t.Fatalf("%q, %v", got, err)
	}
	_ = append(got[0], noise(50)...) // as much as buf has behind it
	if string(got[1]) != "other" {
		t.Errorf("the second message is %q now", got[1])
	}
}

// TestBatchRoom leaves room for a frame around each record, and nothing else in it.
func TestBatchRoom(t *testing.T) {
	client, server := benchPair(t, certSetup(t, ecKey))
	const head, tail = 5, 3
	dst := bytes.Repeat([]byte{0xaa}, 1000)[:2]
	out, segment, n, err := client.SealBatch(dst, [][]byte{[]byte("first"), []byte("other"), []byte("last")}, head, tail)
	if err != nil || n != 3 || segment != head+5+client.Overhead()+tail || len(out) != 2+3*segment-1 {
		t.Fatalf("%d bytes, segment %d, %d taken, %v", len(out), segment, n, err)
	}
	out = out[2:]
	for i, want := range []string{"first", "other", "last"} {
		d := out[i*segment : min((i+1)*segment, len(out))]
		free := append(d[:head:head], d[len(d)-tail:]...)
		if !bytes.Equal(free, bytes.Repeat([]byte{0xaa}, head+tail)) {
			t.Errorf("the room of record %d is %x: written to", i, free)
		}
		got, _, err := server.OpenBatch(nil, d[head:len(d)-tail], 0)
		if err != nil || len(got) != 1 || string(got[0]) != want {
			t.Errorf("record %d holds %q, %v", i, got, err)
		}
	}
}

// TestReplayWindowOption delays a message by more and more others.
func TestReplayWindowOption(t *testing.T) {
	for _, size := range []int{0, 64, 1024, 65536} {
		client, server := benchPair(t, certSetup(t, ecKey).both(func(o *Options) { o.ReplayWindow = size }))
		for _, late := range []int{max(size, 64) - 1, max(size, 64)} {
			delayed, _, err := client.Seal(nil, []byte("late"))
			check(t, err)
			client.tx.number += uint64(late - 1)
			newest, _, err := client.Seal(nil, []byte("newest"))
			check(t, err)
			if _, _, err := server.Open(nil, newest); err != nil {
				t.Fatal(err)
			}
			got, _, _ := server.Open(nil, delayed)
			if taken := len(got) > 0; taken != (late < max(size, 64)) {
				t.Errorf("window %d: a message that comes %d too late is taken: %v", size, late, taken)
			}
		}
	}
}

// TestCID finds connections by what their datagrams carry, and the address of the peer by what is newest.
func TestCID(t *testing.T) {
	s := certSetup(t, ecKey)
	next := byte(0)
	s.serverOpts.CIDLen = 4
	s.serverOpts.NewCID = func() []byte {
		next++
		return []byte{'i', 'd', 0, next}
	}
	s.clientOpts.SendCID = true
	for n := range byte(3) {
		client, server := benchPair(t, s)
		want := []byte{'i', 'd', 0, n + 1}
		if !bytes.Equal(server.LocalCID(), want) || len(client.LocalCID()) > 0 {
			t.Fatalf("connection IDs: server %q, client %q", server.LocalCID(), client.LocalCID())
		}
		server.Open(nil, nil)
		var datagrams [][]byte
		for range 3 {
			d, _, err := client.Seal(nil, []byte("x"))
			check(t, err)
			if cid, ok := bio.PeekCID(d, 4); !ok || !bytes.Equal(cid, want) {
				t.Errorf("PeekCID finds %q, %v, want %q", cid, ok, want)
			}
			datagrams = append(datagrams, d)
		}
		back, _, err := server.Seal(nil, []byte("x"))
		check(t, err)
		if cid, ok := bio.PeekCID(back, 4); ok {
			t.Errorf("the client, which asked for none, gets %q", cid)
		}
		foreign := bytes.Clone(datagrams[2])
		foreign[cidOffset+3]++
		for i, step := range []struct {
			d      []byte
			newest bool
		}{{datagrams[1], true}, {datagrams[1], false}, {foreign, false}, {datagrams[0], false}, {datagrams[2], true}} {
			_, st, err := server.Open(nil, bytes.Clone(step.d))
			if err != nil || st.Events.Has(bio.EventNewest) != step.newest {
				t.Errorf("step %d: events %b, %v", i, st.Events, err)
			}
		}
		if _, st, err := client.Open(nil, back); err != nil || st.Events.Has(bio.EventNewest) {
			t.Errorf("the client: events %b, %v", st.Events, err)
		}
	}
}

func slicesRepeat(v, n int) (list []int) {
	for range n {
		list = append(list, v)
	}
	return list
}

// TestAllocations holds Seal and Open to what they cost.
func TestAllocations(t *testing.T) {
	for _, cid := range []int{0, 8} {
		for _, id := range []uint16{suites[0].id, suites[2].id, suites[4].id} {
			s := certSetup(t, ecKey).suite(id).both(func(o *Options) { o.CIDLen = cid })
			client, server := benchPair(t, s)
			p, wire, plain := noise(1350), make([]byte, 0, 2048), make([]byte, 0, 2048)
			batch, opened := [][]byte{p, p, p}, make([][]byte, 0, 3)
			room := make([]byte, 0, 8192)
			allocs := testing.AllocsPerRun(100, func() {
				d, _, _ := client.Seal(wire, p)
				got, _, err := server.Open(plain, d)
				d, segment, _, _ := client.SealBatch(room, batch, 0, 0)
				list, _, _ := server.OpenBatch(opened, d, segment)
				if len(got) != len(p) || err != nil || len(list) != 3 {
					t.Fatal(len(got), err, len(list))
				}
			})
			if allocs > 0 && !raceEnabled {
				t.Errorf("%#04x with connection IDs of %d bytes: %v allocations", id, cid, allocs)
			}
		}
	}
}

// TestClose closes in both orders; what the peer sends after its close_notify is not delivered.
func TestClose(t *testing.T) {
	client, server := benchPair(t, certSetup(t, ecKey))
	late, _, _ := client.Seal(nil, []byte("late"))
	check(t, client.CloseWrite())
	alert, _ := client.Flush(nil, 0)
	if _, st, err := server.Open(nil, alert); err != nil || !st.Events.Has(bio.EventPeerClosed) {
		t.Fatalf("close_notify: %+v, %v", st, err)
	}
	if got, st, err := server.Open(nil, late); len(got) > 0 || err != nil || st.Consumed != len(late) {
		t.Errorf("after close_notify: %q, %+v, %v", got, st, err)
	}
	if got, _, err := server.OpenBatch(nil, late, 0); len(got) > 0 || err != nil || server.Stats().AfterClosed != 2 {
		t.Errorf("after close_notify: %q, %v, %+v", got, err, server.Stats())
	}
	check(t, server.TransportEOF())
	check(t, server.CloseWrite())
	if server.State().Phase != bio.PhaseClosed || client.State().Phase != bio.PhaseOpen {
		t.Errorf("phases: server %v, client %v", server.State().Phase, client.State().Phase)
	}
	if err := client.TransportEOF(); !errors.Is(err, bio.ErrTruncated) {
		t.Errorf("the end of the carrier without close_notify: %v", err)
	}
}

// TestQueueIsBounded has a client ask for as long as it may, and flushes nothing.
func TestQueueIsBounded(t *testing.T) {
	client, server := benchPair(t, certSetup(t, ecKey))
	for range 5000 {
		request := server.tx.seal(nil, typeHandshake, message(msgHelloRequest, 7, 0, 0, nil))
		if _, st, err := client.Open(nil, request); err != nil || st.Out > maxQueued {
			t.Fatalf("%+v, %v", st, err)
		}
	}
	if lost := client.Stats().OutputLost; lost == 0 {
		t.Error("nothing was lost: the bound was not reached")
	}
}
